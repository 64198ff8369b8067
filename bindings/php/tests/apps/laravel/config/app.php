<?php

return [
    'name' => 'site', 'env' => 'production', 'debug' => true, 'key' => env('APP_KEY'),
    'cipher' => 'AES-256-CBC', 'timezone' => 'UTC', 'locale' => 'en',
    'providers' => [
        Illuminate\Bus\BusServiceProvider::class,
        Illuminate\Cache\CacheServiceProvider::class,
        Illuminate\Database\DatabaseServiceProvider::class,
        Illuminate\Encryption\EncryptionServiceProvider::class,
        Illuminate\Filesystem\FilesystemServiceProvider::class,
        Illuminate\Foundation\Providers\ConsoleSupportServiceProvider::class,
        Illuminate\Queue\QueueServiceProvider::class,
        Illuminate\View\ViewServiceProvider::class,
        Meditopia\PartnerEvents\Laravel\MeditopiaServiceProvider::class,
    ],
];
