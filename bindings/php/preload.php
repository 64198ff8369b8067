<?php

/*
 * For opcache.preload: the classes that a request uses, so that no request compiles them. An
 * application that has a preload file of its own says `require '.../meditopia/partner-events/preload.php';` there.
 *
 * The library itself is loaded by ffi.preload in php.ini, which vendor/bin/meditopia-install writes a
 * file for: FFI::load() in a preload file does not work together with opcache.preload_user.
 */

declare(strict_types=1);

(static function (): void {
    $files = [...glob(__DIR__ . '/src/Exception/*.php'), ...glob(__DIR__ . '/src/*.php')];
    foreach ($files as $file) {
        opcache_compile_file($file);
    }
})();
