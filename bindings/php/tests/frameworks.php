<?php

// Laravel and Symfony as php-fpm serves them, with the package's provider and bundle: frameworks.php PROJECT SCRATCH

declare(strict_types=1);

require_once __DIR__ . '/promises.php';
require_once __DIR__ . '/Ledger.php';
require_once __DIR__ . '/Server.php';

use Meditopia\PartnerEvents\Absence;

const REQUESTS = 40;

[, $project, $scratch] = $argv;
$package = "$project/vendor/meditopia/partner-events";

/** Laravel wants the directories of its skeleton, and these files; both write to their own. */
foreach (['config', 'bootstrap/cache', 'storage/logs', 'storage/framework/views', 'storage/framework/cache'] as $folder) {
    mkdir("$project/laravel/$folder", recursive: true);
}
mkdir("$project/symfony/var", recursive: true);
$endpoint = getenv('MEDITOPIA_ENDPOINT');
file_put_contents("$project/laravel/.env", "MEDITOPIA_SPOOL=$scratch/laravel-spool\nMEDITOPIA_ENDPOINT=$endpoint\n");
file_put_contents("$project/laravel/config/app.php", '<?php return ' . var_export([
    'name' => 'site', 'env' => 'production', 'debug' => true, 'key' => 'base64:' . base64_encode(str_repeat('k', 32)),
    'cipher' => 'AES-256-CBC', 'timezone' => 'UTC', 'locale' => 'en',
    'providers' => [
        Illuminate\Filesystem\FilesystemServiceProvider::class,
        Illuminate\View\ViewServiceProvider::class,
        Meditopia\PartnerEvents\Laravel\MeditopiaServiceProvider::class,
    ],
], true) . ';');
file_put_contents("$project/laravel/config/view.php", '<?php return ["paths" => [], "compiled" => storage_path("framework/views")];');
file_put_contents("$project/laravel/config/logging.php", '<?php return ["default" => "single", "channels" => ["single" => ["driver" => "single", "path" => storage_path("logs/laravel.log")]]];');
if (posix_geteuid() === 0) {
    said(['chown', '-R', 'www-data', "$project/laravel", "$project/symfony"]);
}

$server = (new Server("$scratch/frameworks", $project, [
    'MEDITOPIA_ENDPOINT' => $endpoint,
    'SYMFONY_SPOOL' => "$scratch/symfony-spool",
], [
    'ffi.preload' => "$package/include/preload.h",
    'opcache.preload' => "$package/preload.php",
    'error_log' => "$scratch/frameworks.log",
    'log_errors' => '1',
    'display_errors' => '1',
]))->ready('/nothing');

$asked = static function (string $framework) use ($server, $scratch): void {
    foreach (range(1, REQUESTS) as $number) {
        [$status, $body] = $server->get("/$framework?user=$framework-1&number=$number");
        check($status === 200 && $body === 'acknowledged', "request $number: $status " . substr(strip_tags($body), 0, 2000)
            . "\n" . @file_get_contents("$scratch/frameworks.log"));
    }
};
$delivered = static function (string $framework) use ($project, $scratch): void {
    said(Server::asUser(
        'env', "MEDITOPIA_SPOOL=$scratch/$framework-spool", PHP_BINARY, "$project/vendor/bin/meditopia-flush", '--timeout=60',
    ));
    $arrived = Ledger::numbers("$framework-");
    check($arrived === ["$framework-1" => range(1, REQUESTS)], 'all arrive in order: ' . json_encode($arrived));
};
$abandon = static fn (string $framework) => abandon("$scratch/$framework-spool", 2 * Absence::GRACE_S);

run([
    'Laravel gives its controllers a client of its configuration, and its log hears that nobody sends' =>
    static function () use ($server, $asked, $delivered, $abandon, $project): void {
        $asked('laravel');
        $delivered('laravel');
        $abandon('laravel');
        $server->get('/laravel?user=late&number=1');
        // Laravel has sent its answer before.
        $log = static fn (): string => (string) @file_get_contents("$project/laravel/storage/logs/laravel.log");
        until(static fn (): bool => str_contains($log(), 'no sender was seen since'), "it is in Laravel's log", 10);
    },
    'Symfony gives its controllers a client of its configuration, and its log hears that nobody sends' =>
    static function () use ($server, $asked, $delivered, $abandon, $project): void {
        $asked('symfony');
        $delivered('symfony');
        $abandon('symfony');
        $server->get('/symfony?user=late&number=1');
        $log = static fn (): string => (string) @file_get_contents("$project/symfony/var/site.log");
        until(static fn (): bool => str_contains($log(), 'no sender was seen since'), "it is in Symfony's log", 10);
    },
]);
