<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use Meditopia\PartnerEvents\Exception\LibraryNotFound;

/**
 * Writes the files that php.ini names for php-fpm, into a directory outside of composer's `vendor`: php-fpm and
 * every site of it do not start without them, and an update of the package takes `vendor` away for a while.
 *
 * The header is made at install because FFI_LIB has to be the path of the library on this machine: a relative
 * one is looked for where php-fpm was started.
 *
 * @internal
 */
final class Installation
{
    public const DIRECTORY = '/usr/local/lib/meditopia-php';

    private const HEADER = 'preload.h';
    private const PRELOAD = 'preload.php';

    private function __construct(private readonly string $directory)
    {
    }

    /** @return string the real path of the directory */
    public static function write(?string $library, string $directory): string
    {
        Library::get($library);
        $path = self::libraryPath();
        if (!@is_dir($directory) && !@mkdir($directory, 0755, true)) {
            throw self::unwritable($directory);
        }
        $installation = new self((string) realpath($directory));
        if (self::isInVendor($installation->directory)) {
            throw new LibraryNotFound(
                "$directory is in composer's vendor, which an update takes away; name a directory outside of it: --directory=DIR",
            );
        }
        if (self::isInVendor($path)) {
            $path = $installation->put(Places::FILE, (string) file_get_contents($path));
        }
        $installation->put(self::HEADER, '#define FFI_SCOPE "' . Library::SCOPE . "\"\n#define FFI_LIB \"$path\"\n"
            . Library::headerText());
        $installation->put(self::PRELOAD, self::preload());

        return $installation->directory;
    }

    private static function libraryPath(): string
    {
        $path = Library::mapped() ?? throw new LibraryNotFound('the library is loaded, but no file of the name libmeditopia* is mapped');
        self::requireName($path);

        return $path;
    }

    private static function requireName(string $path): void
    {
        if (str_contains($path, '"') || str_contains($path, '\\') || str_ends_with($path, ' (deleted)')) {
            throw new LibraryNotFound("$path cannot be named in a header; put the library elsewhere");
        }
    }

    private static function isInVendor(string $path): bool
    {
        $package = (string) realpath(\dirname(__DIR__));
        /** @var array{_composer_autoload_path?: string} $globals */
        $globals = $GLOBALS;
        $autoload = $globals['_composer_autoload_path'] ?? "$package/vendor/autoload.php";
        foreach ([$package, realpath(\dirname($autoload))] as $vendor) {
            if ($vendor !== false && str_starts_with("$path/", "$vendor/")) {
                return true;
            }
        }

        return false;
    }

    /** What php-fpm runs at its start, which must not fail where composer is at work in `vendor`. */
    private static function preload(): string
    {
        $package = var_export((string) realpath(\dirname(__DIR__) . '/preload.php'), true);

        return <<<PHP
            <?php

            // Written by meditopia-install, for opcache.preload: the classes that a request uses.

            (static function (string \$file): void {
                if (!is_file(\$file)) {
                    error_log("meditopia: \$file is not there, so the classes are not preloaded; reload php-fpm when composer has ended");

                    return;
                }
                try {
                    require \$file;
                } catch (Throwable \$failure) {
                    error_log("meditopia: the classes are not preloaded: {\$failure->getMessage()}; reload php-fpm when composer has ended");
                }
            })($package);

            PHP;
    }

    /** Under its own name only when it is whole: php-fpm may be starting, or may use the file of before. */
    private function put(string $name, string $content): string
    {
        $file = "$this->directory/$name";
        self::requireName($file);
        $new = "$file." . (int) getmypid();
        if (@file_put_contents($new, $content) !== \strlen($content) || !@chmod($new, 0644) || !@rename($new, $file)) {
            @unlink($new);
            throw self::unwritable($file);
        }

        return $file;
    }

    private static function unwritable(string $file): LibraryNotFound
    {
        return new LibraryNotFound("$file cannot be written: " . (error_get_last()['message'] ?? 'the disk is full')
            . '; run it as root, or name another directory outside of vendor: --directory=DIR');
    }
}
