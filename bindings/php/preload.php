<?php

/*
 * The classes that a request uses, so that no request compiles them. opcache.preload does not name this file, but
 * the one that vendor/bin/meditopia-install writes outside of vendor, which requires it where it is there.
 *
 * The library itself is loaded by ffi.preload in php.ini: FFI::load() in a preload file does not work together
 * with opcache.preload_user.
 */

declare(strict_types=1);

(static function (): void {
    $files = [...glob(__DIR__ . '/src/Exception/*.php'), ...glob(__DIR__ . '/src/*.php')];
    foreach ($files as $file) {
        opcache_compile_file($file);
    }
})();
