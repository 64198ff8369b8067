<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use Meditopia\PartnerEvents\Exception\LibraryNotFound;

/**
 * Writes the file that `ffi.preload` names. It is made at install because FFI_LIB has to be the path of the
 * library on this machine: a relative one is looked for where php-fpm was started.
 *
 * @internal
 */
final class Installation
{
    /** @return string the absolute path of the header */
    public static function write(?string $library, ?string $header): string
    {
        Library::get($library);
        $path = self::path();
        $header ??= \dirname(__DIR__) . '/include/preload.h';
        $text = '#define FFI_SCOPE "' . Library::SCOPE . "\"\n#define FFI_LIB \"$path\"\n"
            . file_get_contents(Library::header());
        // By its own name only when it is whole: php-fpm may be starting at this moment.
        $new = "$header." . getmypid();
        if (@file_put_contents($new, $text) !== \strlen($text) || !@rename($new, $header)) {
            @unlink($new);
            throw new LibraryNotFound("$header cannot be written: " . (error_get_last()['message'] ?? 'the disk is full'));
        }

        return realpath($header);
    }

    private static function path(): string
    {
        $path = Library::mapped() ?? throw new LibraryNotFound('the library is loaded, but no file of the name libmeditopia* is mapped');
        if (str_contains($path, '"') || str_contains($path, '\\') || str_ends_with($path, ' (deleted)')) {
            throw new LibraryNotFound("$path cannot be named in a header; put the library elsewhere");
        }

        return $path;
    }
}
