<?php

// The package behind nginx and php-fpm, under load: load.php PROJECT SCRATCH [REQUESTS]
//
// PROJECT has the package installed by composer. The sandbox stands around. wrk asks from eight threads, each a
// user whose requests follow one another, whichever worker answers; an answer of 200 says "acknowledged".

declare(strict_types=1);

require_once __DIR__ . '/promises.php';
require_once __DIR__ . '/Ledger.php';
require_once __DIR__ . '/Server.php';

const USERS = 8;
const RECYCLED_AFTER = 50;
/** What a worker may grow by after it is warm: caches that fill, and less a request than the least that could leak. */
const GROWTH_KIB = 128;
const GROWTH_BYTES_A_REQUEST = 64;

[, $project, $scratch] = $argv;
$requests = (int) ($argv[3] ?? 8_000);

$server = static function (string $name, int $requestsPerWorker) use ($project, $scratch): Server {
    $spool = "$scratch/$name-spool";
    $server = new Server("$scratch/$name", $project, [
        'MEDITOPIA_SPOOL' => $spool,
        'MEDITOPIA_ENDPOINT' => getenv('MEDITOPIA_ENDPOINT'),
    ], [
        'ffi.enable' => 'preload',
        'ffi.preload' => "$project-preload/preload.h",
        'opcache.enable' => '1',
        'opcache.preload' => "$project-preload/preload.php",
        'error_log' => "$scratch/$name.log",
        'log_errors' => '1',
        'display_errors' => '0',
    ], $requestsPerWorker);

    return $server->ready('/nothing');
};

/** Asks until each user has so many answers, and does `meanwhile` again and again. */
$ask = static function (Server $server, string $users, int $each, callable $meanwhile) use ($scratch): array {
    $directory = "$scratch/$users-acknowledged";
    mkdir($directory);
    $wrk = proc_open(
        ['wrk', '-t' . USERS, '-c' . USERS, '-d', '3600s', '--timeout', '60s', '-s', __DIR__ . '/load.lua', "$server->url/plain", '--', $users, $directory, "$each"],
        [1 => ['file', "$directory/report", 'w']], $pipes,
    );
    $answers = static fn (): array => array_map(static fn (int $user): array => @file("$directory/$user", FILE_IGNORE_NEW_LINES) ?: [], range(0, USERS - 1));
    $ended = static fn (): bool => array_filter($answers(), static fn (array $lines): bool => end($lines) !== 'end') === [];
    try {
        until(static function () use ($ended, $meanwhile, $answers): bool {
            $meanwhile(array_sum(array_map(count(...), $answers())));

            return $ended();
        }, 'all requests are answered', 900);
    } finally {
        // Its main thread sleeps until then.
        proc_terminate($wrk, SIGINT);
        proc_close($wrk);
    }

    $acknowledged = [];
    foreach (array_merge(...$answers()) as $line) {
        if (preg_match("/^($users-\d+) (\d+)$/D", $line, $found)) {
            $acknowledged[$found[1]][] = (int) $found[2];
        }
    }

    return [$acknowledged, USERS * $each - array_sum(array_map(count(...), $acknowledged))];
};

/** The sender, as cron would start it. */
$flush = static fn (string $name): array => Server::asUser(
    'env', "MEDITOPIA_SPOOL=$scratch/$name-spool", PHP_BINARY, "$project/vendor/bin/meditopia-flush", '--timeout=60',
);

/** Every acknowledged event has come, each user's in order, none twice, and no file of the journal is left. */
$allCame = static function (string $name, array $acknowledged) use ($scratch, $flush): void {
    said($flush($name));
    $arrived = Ledger::numbers("$name-");
    foreach ($acknowledged as $user => $numbers) {
        $came = $arrived[$user] ?? [];
        $missing = array_diff($numbers, $came);
        check($missing === [], "all of $user's acknowledged events arrive: missing " . implode(' ', array_slice($missing, 0, 10)));
        $sorted = $came;
        sort($sorted);
        check($came === array_values(array_unique($sorted)), "$user's events arrive in order and once");
    }
    $left = array_diff(scandir("$scratch/$name-spool/journal"), ['.', '..']);
    check($left === [], 'no segment is left: ' . implode(' ', $left));
};

/** What a process holds: KiB in memory, descriptors, threads. */
$holds = static function (int $pid): array {
    preg_match('/VmRSS:\s+(\d+).*Threads:\s+(\d+)/s', file_get_contents("/proc/$pid/status"), $found);

    return [(int) $found[1], count(scandir("/proc/$pid/fd")), (int) $found[2]];
};

run([
    "all that recycled and reloaded workers acknowledge arrives, each user's events in order" =>
    static function () use ($server, $ask, $flush, $allCame, $requests, $scratch): string {
        $server = $server('recycled', RECYCLED_AFTER);
        $reloaded = false;
        $sender = null;
        $flushes = 0;
        [$acknowledged, $failed] = $ask($server, 'recycled', intdiv($requests, USERS),
            static function (int $answers) use ($server, &$reloaded, &$sender, &$flushes, $flush, $requests, $scratch): void {
                if (!$reloaded && $answers >= intdiv($requests, 2)) {
                    $server->reload();
                    $reloaded = true;
                }
                if ($answers > 0 && ($sender === null || !proc_get_status($sender)['running'])) {
                    $log = ['file', "$scratch/recycled-flushes", 'a'];
                    $sender = proc_open($flush('recycled'), [1 => $log, 2 => $log], $pipes);
                    ++$flushes;
                }
            });
        proc_close($sender);
        $server->stop();
        $allCame('recycled', $acknowledged);

        $ended = substr_count($server->log('fpm.log'), 'exited with code 0');
        check($ended > $requests / RECYCLED_AFTER / 2, "workers are recycled: $ended ended\n" . $server->logs());
        check(str_contains($server->log('fpm.log'), 'reloading: execvp'), "it was reloaded\n" . $server->logs());
        $complaints = (string) @file_get_contents("$scratch/recycled.log") . $server->log('start.log');
        check(!preg_match('/PHP |warning|fatal/i', $complaints), "PHP complains of nothing:\n$complaints");
        $events = array_sum(array_map(count(...), $acknowledged));
        check($failed < $requests / 10, "$failed requests fail, more than a reload costs");

        return "$events acknowledged and accepted, $failed requests cut by the reload, $ended workers recycled, $flushes senders";
    },

    'a worker that lives on does no network, starts no thread and leaks nothing' =>
    static function () use ($server, $ask, $allCame, $requests, $holds, $scratch): string {
        $connections = Ledger::counts()['connections'];
        $server = $server('lasting', 0);
        [$first] = $ask($server, 'lasting-warm', 250, static fn () => null);
        $workers = $server->workers();
        $warm = array_map($holds, $workers);
        [$second, $failed] = $ask($server, 'lasting', intdiv($requests, USERS), static fn () => null);
        check($server->workers() === $workers, 'the same workers are there');
        $same = static fn (): bool => array_map($holds, $workers) !== []
            && array_column(array_map($holds, $workers), 1) === array_column($warm, 1);
        until($same, 'each worker has the descriptors that it had: ' . json_encode([$warm, array_map($holds, $workers)]), 10);
        $after = array_map($holds, $workers);
        check(array_unique(array_column($after, 2)) === [1], 'no worker has a thread');
        $grown = max(array_map(static fn (array $before, array $now): int => $now[0] - $before[0], $warm, $after));
        $limit = GROWTH_KIB + intdiv($requests * GROWTH_BYTES_A_REQUEST, count($workers) * 1024);
        check($grown <= $limit, "no worker grows by more than $limit KiB, but by $grown");
        check($failed === 0, "no request fails: $failed");
        check(Ledger::counts()['connections'] === $connections, 'no request has connected to the API');
        $server->stop();
        $allCame('lasting', $first + $second);
        $complaints = (string) @file_get_contents("$scratch/lasting.log");
        check($complaints === '', "PHP complains of nothing:\n$complaints");

        $events = array_sum(array_map(count(...), $first + $second));
        $rss = round(max(array_column($after, 0)) / 1024, 1);

        return "$events acknowledged and accepted, at most $grown KiB more than warm, $rss MiB a worker, "
            . max(array_column($after, 1)) - 2 . ' descriptors';
    },
]);
