<?php

// Laravel and Symfony as php-fpm serves them, with the package's provider and bundle: frameworks.php PROJECT SCRATCH

declare(strict_types=1);

require_once __DIR__ . '/promises.php';
require_once __DIR__ . '/Ledger.php';
require_once __DIR__ . '/Server.php';

use Meditopia\PartnerEvents\Absence;

const REQUESTS = 40;

[, $project, $scratch] = $argv;

/** The applications as a deployment lays them out; both frameworks write to directories of their own. */
said(['cp', '-r', __DIR__ . '/apps/laravel', __DIR__ . '/apps/symfony', $project]);
foreach (['bootstrap/cache', 'storage/logs', 'storage/framework/views', 'storage/framework/cache'] as $folder) {
    mkdir("$project/laravel/$folder", recursive: true);
}
mkdir("$project/symfony/var");
$endpoint = getenv('MEDITOPIA_ENDPOINT');
file_put_contents("$project/laravel/.env", implode("\n", [
    'APP_KEY=base64:' . base64_encode(str_repeat('k', 32)),
    "MEDITOPIA_SPOOL=$scratch/laravel-spool",
    "MEDITOPIA_ENDPOINT=$endpoint",
    'MEDITOPIA_BEARER_TOKEN=' . getenv('MEDITOPIA_BEARER_TOKEN'),
    'MEDITOPIA_DURABILITY=power',
    '',
]));
(new PDO("sqlite:$project/laravel/storage/jobs.sqlite"))->exec(
    'create table jobs (id integer primary key, queue text, payload text, attempts int, reserved_at int, available_at int, created_at int)',
);
if (posix_geteuid() === 0) {
    said(['chown', '-R', 'www-data', "$project/laravel", "$project/symfony"]);
}

$server = (new Server("$scratch/frameworks", $project, [
    'MEDITOPIA_ENDPOINT' => $endpoint,
    'SYMFONY_SPOOL' => "$scratch/symfony-spool",
], [
    'ffi.preload' => "$project-preload/preload.h",
    'opcache.preload' => "$project-preload/preload.php",
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
$arrived = static function (string $framework, int ...$numbers): void {
    $numbers = $numbers ?: range(1, REQUESTS);
    $came = static fn (): array => Ledger::numbers("$framework-");
    until(static fn (): bool => $came() === ["$framework-1" => $numbers], 'all arrive in order: ' . json_encode($came()), 30);
};
/** Ends a command of a framework, as the user whose spool it is and without a variable of the library but these. @return array{int, string} */
$command = static function (string $directory, array $variables, string ...$command): array {
    $environment = ['PATH' => getenv('PATH'), 'MEDITOPIA_LIBRARY' => getenv('MEDITOPIA_LIBRARY')] + $variables;
    $process = proc_open(Server::asUser(PHP_BINARY, ...$command), [1 => ['pipe', 'w'], 2 => ['redirect', 1]], $pipes, $directory, $environment);
    $said = stream_get_contents($pipes[1]);

    return [proc_close($process), $said];
};
$artisan = static fn (string ...$arguments): array => $command("$project/laravel", [], 'artisan', ...$arguments);
$symfony = [
    'SYMFONY_SPOOL' => "$scratch/symfony-spool", 'MEDITOPIA_ENDPOINT' => $endpoint, 'MEDITOPIA_BEARER_TOKEN' => getenv('MEDITOPIA_BEARER_TOKEN'),
];
$console = static fn (array $variables, string ...$arguments): array => $command("$project/symfony", $variables + $symfony, 'bin/console', ...$arguments);
$logged = static fn (string $file): string => (string) @file_get_contents("$project/$file");
$abandon = static fn (string $framework) => abandon("$scratch/$framework-spool", 2 * Absence::GRACE_S);

run([
    'Laravel gives its controllers a client of its configuration, and artisan delivers' =>
    static function () use ($asked, $artisan, $arrived): void {
        $asked('laravel');
        [$status, $said] = $artisan('meditopia:status');
        check($status === 0 && str_contains($said, 'pending:     ' . REQUESTS), $said);
        [$status, $said] = $artisan('meditopia:flush');
        check($status === 0 && str_starts_with($said, REQUESTS . ' delivered, 0 rejected'), $said);
        $arrived('laravel');
    },
    'an invalid event is no error 500 in Laravel and in Symfony' => static function () use ($server, $logged): void {
        foreach (['laravel' => 'laravel/storage/logs/laravel.log', 'symfony' => 'symfony/var/site.log'] as $framework => $log) {
            $answer = $server->get("/$framework/try");
            check($answer === [200, 'went on'], json_encode($answer));
            check(str_contains($logged($log), 'an event was not queued: partner_user_id: null is no text'), $logged($log));
        }
    },
    'artisan config:cache keeps every option, and the schedule delivers without .env' =>
    static function () use ($server, $artisan, $arrived, $project): void {
        [$status, $said] = $artisan('config:cache');
        check($status === 0, $said);
        rename("$project/laravel/.env", "$project/laravel/.env.away");
        $cached = (require "$project/laravel/bootstrap/cache/config.php")['meditopia'];
        check($cached['durability'] === 'power' && array_key_exists('lanes', $cached), json_encode($cached));
        foreach ([41, 42] as $number) {
            $server->get("/laravel?user=laravel-1&number=$number");
        }
        [$status, $said] = $artisan('schedule:run');
        check(str_contains($said, 'meditopia:flush'), $said);
        $arrived('laravel', ...range(1, 42));
    },
    'a scheduled flush that fails is in Laravel\'s log, and its status is that of meditopia flush' =>
    static function () use ($artisan, $command, $logged, $project, $server, $arrived): void {
        [$status, $said] = $artisan('meditopia:flush', '--timeout=soon');
        check($status === 2 && str_contains($said, 'timeout'), "$status $said");
        $cache = "$project/laravel/bootstrap/cache/config.php";
        $config = file_get_contents($cache);
        $server->get('/laravel?user=laravel-1&number=43');
        file_put_contents($cache, str_replace("'bearer_token' => '" . getenv('MEDITOPIA_BEARER_TOKEN') . "'", "'bearer_token' => 'wrong'", $config));
        [$status, $said] = $artisan('meditopia:flush');
        check($status === 7 && str_contains($said, 'A_1002'), "$status $said");
        check(str_contains($logged('laravel/storage/logs/laravel.log'), 'ERROR: meditopia:flush: '), $logged('laravel/storage/logs/laravel.log'));
        check($artisan('meditopia:status')[0] === 7, 'the status says that it is paused');
        file_put_contents($cache, str_replace("'spool' => ", "'colour' => 'red', 'spool' => ", $config));
        [$status, $said] = $artisan('meditopia:flush');
        check($status === 2 && str_contains($said, 'unknown key "colour"'), "$status $said");
        file_put_contents($cache, $config);
        [$status, $said] = $artisan('meditopia:flush');
        check($status === 0, "$status $said");
        $arrived('laravel', ...range(1, 43));
    },
    'a queue worker of Laravel enqueues with one client, and its log hears that nobody sends' =>
    static function () use ($server, $artisan, $arrived, $abandon, $logged): void {
        foreach (range(44, 60) as $number) {
            check($server->get("/laravel/job?user=laravel-1&number=$number")[1] === 'dispatched', 'a job is dispatched');
        }
        $abandon('laravel');
        [$status, $said] = $artisan('queue:work', '--stop-when-empty');
        check($status === 0 && substr_count($said, 'Processed:') === 17, "$status $said");
        check(str_contains($logged('laravel/storage/logs/laravel.log'), 'no sender was seen since'), "it is in Laravel's log");
        [$status, $said] = $artisan('meditopia:flush');
        check($status === 0, "$status $said");
        $arrived('laravel', ...range(1, 60));
    },
    'a test of a Laravel application puts a recording client in the place of the real one, and the configuration can be copied' =>
    static function () use ($artisan, $command, $project): void {
        $line = '$this->app->instance(ClientInterface::class, new RecordingClient());';
        file_put_contents("$project/laravel/storage/double.php", '<?php
            use Meditopia\PartnerEvents\ClientInterface;
            use Meditopia\PartnerEvents\Testing\RecordingClient;
            $app = require "bootstrap/app.php";
            $app->make(Illuminate\Contracts\Console\Kernel::class)->bootstrap();
            (new class ($app) { public function __construct(public $app) { ' . $line . ' } });
            Illuminate\Support\Facades\Bus::dispatchSync(new Watched("doubled", "1"));
            echo count($app->make(ClientInterface::class)->eventsOf("doubled"));');
        [$status, $said] = $command("$project/laravel", [], 'storage/double.php');
        check($said === '1', "$status $said");
        [$status, $said] = $artisan('vendor:publish', '--tag=meditopia');
        check(file_get_contents("$project/laravel/config/meditopia.php") === file_get_contents(__DIR__ . '/../config/meditopia.php'), "$status $said");
    },
    'Symfony gives its controllers a client of its configuration, and its console delivers' =>
    static function () use ($server, $asked, $console, $arrived, $abandon, $logged): void {
        check($console([], 'cache:warmup')[0] === 0, 'its container is cached');
        $asked('symfony');
        [$status, $said] = $console([], 'meditopia:status');
        check($status === 0 && str_contains($said, 'pending:     ' . REQUESTS), "$status $said");
        [$status, $said] = $console(['MEDITOPIA_BEARER_TOKEN' => 'wrong'], 'meditopia:flush');
        check($status === 7 && str_contains($said, 'A_1002'), "$status $said");
        check(str_contains($logged('symfony/var/site.log'), 'meditopia:flush: '), $logged('symfony/var/site.log'));
        [$status, $said] = $console([], 'meditopia:flush', '--timeout=soon');
        check($status === 2, "$status $said");
        [$status, $said] = $console([], 'meditopia:flush');
        check($status === 0 && str_starts_with($said, REQUESTS . ' delivered'), "$status $said");
        $arrived('symfony');
        $abandon('symfony');
        $server->get('/symfony?user=late&number=1');
        until(static fn (): bool => str_contains($logged('symfony/var/site.log'), 'no sender was seen since'), "it is in Symfony's log", 10);
    },
    'the console of Symfony lists its commands where no spool is' => static function () use ($console): void {
        [$status, $said] = $console(['SYMFONY_SPOOL' => '/nowhere/at/all'], 'list');
        check($status === 0 && str_contains($said, 'meditopia:flush') && str_contains($said, 'meditopia:status'), $said);
    },
]);
