<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;

/**
 * Why the loader has not taken a file: PHP keeps to itself what the loader says, so this looks at what it may be.
 *
 * @internal
 */
final class Unloadable
{
    /** Of ELF: how long the part of a header is that says for which machine a file is, and where. */
    private const HEADER_BYTES = 20;
    private const MACHINES = [3 => 'i386', 40 => 'arm', 62 => 'x86_64', 183 => 'aarch64', 243 => 'riscv64'];

    public static function because(string $file, string $loader): string
    {
        if (self::isMusl((string) @file_get_contents('/proc/self/maps'))) {
            return self::onMusl();
        }
        if (!str_contains($file, '/')) {
            return $loader;
        }
        if (!@is_file($file)) {
            return 'no such file';
        }
        $bytes = @file_get_contents($file);
        if ($bytes === false) {
            return 'it cannot be read by this user, or open_basedir forbids it';
        }

        return self::ofMachine($bytes, (string) @file_get_contents('/proc/self/exe', length: self::HEADER_BYTES))
            ?? self::ofGlibc($bytes, self::glibc())
            ?? $loader;
    }

    /** What the process has mapped tells: Alpine's loader is ld-musl-x86_64.so.1. */
    public static function isMusl(string $maps): bool
    {
        return preg_match('~/(?:ld-musl-[^/\s]+|[^/\s]+-linux-musl/libc\.so)$~m', $maps) === 1;
    }

    public static function onMusl(): string
    {
        return 'this PHP runs on musl (Alpine), and the library needs glibc, of which musl has no __register_atfork; use an'
            . ' image with glibc, such as php:8.3-fpm (Debian) instead of php:8.3-fpm-alpine';
    }

    private static function ofMachine(string $library, string $php): ?string
    {
        if (!str_starts_with($library, "\x7fELF")) {
            return 'it is no shared library';
        }
        [$its, $ours] = [self::machine($library), self::machine($php)];

        return $its === $ours || $ours === null ? null : "it is built for $its, and this PHP for $ours; install the library that is built for $ours";
    }

    private static function machine(string $header): ?string
    {
        if (\strlen($header) < self::HEADER_BYTES || !str_starts_with($header, "\x7fELF")) {
            return null;
        }
        $number = unpack('v', $header, 18)[1];

        return self::MACHINES[$number] ?? "machine $number";
    }

    private static function ofGlibc(string $library, ?string $ours): ?string
    {
        $found = [];
        preg_match_all('/\0GLIBC_(2\.\d+)(?=\0)/', $library, $found);
        usort($found[1], static fn (string $one, string $other): int => version_compare($one, $other));
        $needed = end($found[1]);

        return $needed === false || $ours === null || version_compare($ours, $needed, '>=')
            ? null
            : "it is built with glibc $needed, and this system has $ours; install a library that is built on this system or an older one";
    }

    private static function glibc(): ?string
    {
        try {
            return FFI::cdef('const char *gnu_get_libc_version(void);')->gnu_get_libc_version();
        } catch (FFI\Exception) {
            return null;
        }
    }
}
