<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use Meditopia\PartnerEvents\Exception\LibraryNotFound;

/**
 * The C interface. In php-fpm `ffi.preload` has loaded it before the first request, and it is taken by
 * the name of its scope; elsewhere the header is parsed once a process.
 *
 * @internal
 */
final class Library
{
    public const SCOPE = 'MEDITOPIA';

    /** The version of include/meditopia_ffi.h that this package is written for. */
    public const ABI_MAJOR = 0;
    public const ABI_MINOR = 3;

    private static ?FFI $loaded = null;
    private static ?string $loadedFrom = null;

    /** `$path` counts at the first use in a process, and not where the library was preloaded. */
    public static function get(?string $path = null): FFI
    {
        if (self::$loaded !== null) {
            if ($path !== null && self::$loadedFrom !== null && $path !== self::$loadedFrom) {
                throw new LibraryNotFound(
                    "$path is not the library that this process uses: it has loaded " . self::$loadedFrom . ' before',
                );
            }

            return self::$loaded;
        }

        if (!\extension_loaded('ffi')) {
            throw new LibraryNotFound(
                'PHP has no FFI here (the extension ffi is not installed or not loaded), so this package cannot call the library; where'
                . ' it cannot be had, write the events to a file and let `meditopia import -` queue them: see "Without FFI" in the README',
            );
        }

        return self::$loaded = self::preloaded() ?? self::load($path);
    }

    public static function header(): string
    {
        return \dirname(__DIR__) . '/include/meditopia_ffi.h';
    }

    public static function headerText(): string
    {
        $text = @file_get_contents(self::header());

        return $text !== false ? $text : throw new LibraryNotFound(self::header() . ' cannot be read: install the package again');
    }

    /** The file that the loader has found: only the kernel knows. */
    public static function mapped(): ?string
    {
        $maps = (string) @file_get_contents('/proc/self/maps');
        $found = [];
        preg_match_all('~^\S+ \S+ \S+ \S+ \S+ +(/.*/libmeditopia[^/\n]*)$~m', $maps, $found);

        return $found[1][0] ?? null;
    }

    /** Tries the places in their order; the error names them all. */
    private static function load(?string $path): FFI
    {
        if (!self::cdefIsAllowed()) {
            throw new LibraryNotFound(self::whyNotPreloaded());
        }
        $tried = [];
        foreach (Places::of($path) as $place => $file) {
            try {
                self::requireFit(FFI::cdef('uint32_t meditopia_abi_version(void);', $file), $place);
                $library = FFI::cdef(self::headerText(), $file);
                self::$loadedFrom = $file;

                return $library;
            } catch (FFI\Exception $failure) {
                $tried[] = "$place: " . Unloadable::because($file, $failure->getMessage());
            }
        }
        throw new LibraryNotFound(
            "libmeditopia could not be loaded. Tried:\n  " . implode("\n  ", $tried)
            . "\nInstall it, or name its file in " . Places::VARIABLE,
        );
    }

    private static function preloaded(): ?FFI
    {
        if (\ini_get('ffi.preload') === '') {
            return null;
        }
        try {
            $library = FFI::scope(self::SCOPE);
        } catch (FFI\Exception) {
            return null;
        }
        self::requireFit($library, null);
        self::requireHeader($library);

        return $library;
    }

    /** A library of another version would be called with the wrong arguments. */
    private static function requireFit(FFI $library, ?string $file): void
    {
        $version = $library->meditopia_abi_version();
        [$major, $minor] = [$version >> 16, $version & 0xffff];
        if ($major !== self::ABI_MAJOR || $minor < self::ABI_MINOR) {
            // Looked up only now: a request has no half a millisecond for it.
            $file ??= (self::mapped() ?? 'the library') . ' (preloaded by ' . (string) \ini_get('ffi.preload') . ')';
            throw new LibraryNotFound(
                "$file has version $major.$minor of the C interface; this package (" . \dirname(__DIR__) . ') needs '
                . self::ABI_MAJOR . '.' . self::ABI_MINOR . ' or a later ' . self::ABI_MAJOR
                . '.x: install the package and the library of the same release',
            );
        }
    }

    /** The header was written at install: an older one describes less than this package uses. */
    private static function requireHeader(FFI $library): void
    {
        [$major, $minor] = [$library->MEDITOPIA_ABI_MAJOR, $library->MEDITOPIA_ABI_MINOR];
        if ($major !== self::ABI_MAJOR || $minor < self::ABI_MINOR) {
            throw new LibraryNotFound(
                (string) \ini_get('ffi.preload') . " has version $major.$minor of the C interface; this package ("
                . \dirname(__DIR__) . ') needs ' . self::ABI_MAJOR . '.' . self::ABI_MINOR
                . ': run vendor/bin/meditopia-install again, then restart php-fpm',
            );
        }
    }

    private static function whyNotPreloaded(): string
    {
        $enable = \ini_get('ffi.enable');
        if (!\in_array(strtolower((string) $enable), ['preload', '1', 'on', 'true', 'yes'], true)) {
            return "ffi.enable = \"$enable\" switches PHP's FFI off: set ffi.enable = preload in php.ini; where that cannot be"
                . ' done, write the events to a file and let `meditopia import -` queue them: see "Without FFI" in the README';
        }
        $missing = \ini_get('ffi.preload') === ''
            ? 'ffi.preload is not set: run vendor/bin/meditopia-install, and put the lines that it prints into php.ini'
            : 'ffi.preload = ' . (string) \ini_get('ffi.preload') . ' does not help alone, or is not the file of'
            . ' vendor/bin/meditopia-install: with ffi.enable = preload only preloaded classes may call C, so'
            . ' opcache.preload has to name the preload.php that it has written beside that, or a file that requires it,'
            . ' and opcache.enable has to be on; after an update by composer php-fpm has to be reloaded';

        return 'libmeditopia is not preloaded, and ' . \PHP_SAPI . " may not load it in a request: $missing";
    }

    private static function cdefIsAllowed(): bool
    {
        return match (strtolower((string) \ini_get('ffi.enable'))) {
            '1', 'on', 'true', 'yes' => true,
            'preload' => \PHP_SAPI === 'cli',
            default => false,
        };
    }
}
