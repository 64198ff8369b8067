<?php

// The promises of the package, against the local API: run by test.sh, around which the sandbox stands.

declare(strict_types=1);

require_once __DIR__ . '/promises.php';
require_once __DIR__ . '/CollectingLogger.php';

use Meditopia\PartnerEvents\Absence;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\Configuration;
use Meditopia\PartnerEvents\Console\Outcome;
use Meditopia\PartnerEvents\EventType;
use Meditopia\PartnerEvents\Exception\Closed;
use Meditopia\PartnerEvents\Exception\InvalidConfiguration;
use Meditopia\PartnerEvents\Exception\InvalidArgument;
use Meditopia\PartnerEvents\Exception\InvalidEvent;
use Meditopia\PartnerEvents\Exception\LibraryNotFound;
use Meditopia\PartnerEvents\Exception\Paused;
use Meditopia\PartnerEvents\Filter;
use Meditopia\PartnerEvents\Library;
use Meditopia\PartnerEvents\PauseReason;
use Meditopia\PartnerEvents\Reason;

$directory = $argv[1];
$spool = static fn (string $name): string => "$directory/$name";
/** @return array{int, string} how a flush of cron ends with this in its environment, and what it says */
$flush = static function (string $name, string $variable, string ...$options) use ($spool): array {
    exec(implode(' ', array_map(escapeshellarg(...), [
        'env', $variable, PHP_BINARY, __DIR__ . '/../bin/meditopia-flush', '--spool=' . $spool($name), ...$options,
    ])) . ' 2>&1', $lines, $status);

    return [$status, implode("\n", $lines)];
};

run([
    'what is enqueued is delivered and counted' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('delivered')]);
        $client->enqueue('t', 'u-1', EventType::Video, "calm \0 morning", new DateTimeImmutable('2024-08-06T15:04:05Z'));
        check($client->flush(20)->delivered === 1, 'one is delivered');
    },
    'a child of a process that sends flushes and lists as its parent does' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('forked'), 'role' => 'both']);
        $client->enqueue('t', 'u-parent', EventType::Video);
        $client->flush(20);
        $child = pcntl_fork();
        if ($child === 0) {
            try {
                $client->enqueue('t', 'u-child', EventType::Video);
                $left = $client->flush(20)->pending + count([...$client->operator()->rejected()]);
            } catch (Throwable $failure) {
                fwrite(STDERR, $failure . "\n");
                $left = 1;
            }
            // Without the shutdown functions of the tests.
            posix_kill(getmypid(), $left === 0 ? SIGTERM : SIGABRT);
        }
        pcntl_waitpid($child, $status);
        check(pcntl_wifsignaled($status) && pcntl_wtermsig($status) === SIGTERM, 'the child has flushed and listed');
        check($client->flush(20)->pending === 0, 'nothing is left');
    },
    'a rejected event is listed with the reason of the API and can be discarded' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('rejected')]);
        check($client->enqueueMany([
            ['token' => 't', 'partner_user_id' => 'bad-1', 'event' => EventType::Audio],
            ['token' => 't', 'partner_user_id' => 'u-2', 'event' => EventType::Audio, 'event_value' => ''],
        ]) === 2, 'two are acknowledged');
        $report = $client->flush(20);
        check([$report->delivered, $report->rejected] === [1, 1], 'one is delivered and one rejected');
        [$event] = [...$client->operator()->rejected()];
        check($event->event()['partner_user_id'] === 'bad-1' && $event->apiCode === 'A_1104', 'the bad one has its code');
    },
    'a bad event of the second chunk is named by its place in the whole' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('chunks')]);
        $events = array_fill(0, 700, ['token' => 't', 'partner_user_id' => 'u-3', 'event' => 'signin']);
        $events[600]['event'] = 'vidoe';
        $failure = thrown(InvalidEvent::class, static function () use ($client, $events, &$acknowledged): void {
            $client->enqueueMany($events, $acknowledged);
        });
        check($failure->eventIndex === 600 && $acknowledged === 500, 'event 600, after 500 acknowledged');
    },
    'a mistake in the call ends a flush of cron with 2 and is named' => static function () use ($flush): void {
        foreach (['--timeout=abc' => '--timeout', '--lanes=44' => 'lanes', '--timeot=4' => 'timeot'] as $wrong => $named) {
            [$status, $said] = $flush('mistaken', 'MISTAKEN=1', $wrong);
            check($status === 2 && str_contains($said, $named), "$wrong ends with $status: $said");
        }
    },
    'a closed client says so' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('closed')]);
        $client->close();
        thrown(Closed::class, static fn () => $client->enqueue('t', 'u', EventType::Signin));
    },
    'no message or dump has the token' => static function () use ($spool): void {
        $secret = "very\nsecret";
        $failure = thrown(InvalidConfiguration::class, static fn () => new Client([
            'spool' => $spool('secret'), 'bearer_token' => $secret,
        ]));
        check(!str_contains((string) $failure, 'secret"') && !str_contains((string) $failure, $secret), 'it is in no trace');
    },
    'a library that was named and is not there is an error that names it' => static function () use ($directory): void {
        $code = 'require $argv[1]; new Meditopia\PartnerEvents\Client(["spool" => "x"], null, "/nowhere/lib.so");';
        exec(escapeshellarg(PHP_BINARY) . ' -d display_errors=1 -r ' . escapeshellarg($code) . ' -- '
            . escapeshellarg(realpath(__DIR__ . '/../bin/autoload.php')) . ' 2>&1', $output, $status);
        $told = implode("\n", $output);
        check($status === 255 && str_contains($told, LibraryNotFound::class) && str_contains($told, '/nowhere/lib.so (given)'), $told);
    },
    'the flush of cron delivers, says what is left and tells so by its exit code' => static function () use ($spool, $flush): void {
        $client = Client::fromEnvironment(['spool' => $spool('cron')]);
        $client->enqueue('t', 'u-4', EventType::Register);
        [$status, $said] = $flush('cron', 'X=1');
        check($status === 0 && $said === '1 delivered, 0 rejected, 0 expired, 0 left', "$status $said");
        [$status, $said] = $flush('cron', 'X=1', '--bearer-token=hidden-token');
        check($status === 2 && !str_contains($said, 'hidden-token'), 'a token on the command line is refused');
    },
    'the flush of cron tells by its exit code what it could not do' => static function () use ($spool, $flush): void {
        $client = Client::fromEnvironment(['spool' => $spool('codes')]);
        $client->enqueue('t', 'u-5', EventType::Register);
        [$status, $said] = $flush('codes', 'MEDITOPIA_BEARER_TOKEN=wrong');
        check($status === 7 && str_contains($said, 'A_1002') && str_contains($said, '1 left'), "$status $said");
        [$status, $said] = $flush('codes', 'MEDITOPIA_BEARER_TOKEN=wrong', '--timeout=0');
        check(\in_array($status, [6, 7], true), "$status $said");
        [$status, $said] = $flush('codes', 'MEDITOPIA_ACCOUNT=another');
        check($status === 1 && str_contains($said, 'account'), "$status $said");
        [$status, $said] = $flush('codes', 'X=1', '--colour=red');
        check($status === 2 && str_contains($said, 'unknown key "colour"'), "$status $said");
        [$status, $said] = $flush('codes', 'X=1', '--quiet');
        check($status === 0 && $said === '', "$status $said");
    },
    'the exit statuses are those of `meditopia flush`' => static function () use ($spool, $flush): void {
        $command = dirname(getenv('MEDITOPIA_LIBRARY')) . '/meditopia';
        foreach ([
            'X=1' => [], 'MEDITOPIA_BEARER_TOKEN=wrong' => [], 'MEDITOPIA_LANES=44' => [], 'MEDITOPIA_ACCOUNT=another' => [],
            'MEDITOPIA_ENDPOINT=http://127.0.0.1:1/' => ['--timeout=0'], 'X=2' => ['--colour=red'],
        ] as $variable => $options) {
            $name = 'status-' . md5($variable);
            $settings = str_contains($variable, 'ENDPOINT') ? ['endpoint' => 'http://127.0.0.1:1/'] : [];
            Client::fromEnvironment($settings + ['spool' => $spool($name)])->enqueue('t', 'u-5', EventType::Register);
            exec(implode(' ', array_map(escapeshellarg(...), ['env', $variable, $command, 'flush', '--spool=' . $spool($name), ...$options])) . ' 2>&1', $lines, $expected);
            // As long as nothing is delivered the package finds what the command found.
            [$status, $said] = $flush($name, $variable, ...$options);
            check($status === $expected, "$variable: $status $said, but $expected " . implode("\n", $lines));
            $statuses[] = $status;
        }
        check($statuses === [0, 7, 2, 1, 6, 2], json_encode($statuses));
        $help = shell_exec(escapeshellarg($command) . ' flush --help');
        preg_match_all('/^  \d  .*$/m', Outcome::FLUSH_HELP, $rows);
        foreach ($rows[0] as $row) {
            check(str_contains($help, explode(';', $row)[0]), "$row is in the help of meditopia flush");
        }
    },
    'every option of the library has a key in config/meditopia.php' => static function (): void {
        preg_match('/^## Every option$.*?<!-- end -->/ms', file_get_contents(__DIR__ . '/../../../docs/configuration.md'), $table);
        preg_match_all('/^\| `([a-z_]+)` \|/m', $table[0], $options);
        preg_match_all("/^    '([a-z_]+)' => env\('MEDITOPIA_([A-Z_]+)'\),$/m", file_get_contents(__DIR__ . '/../config/meditopia.php'), $keys);
        check(count($options[1]) > 20, 'the table of options is found');
        check(array_diff($options[1], $keys[1]) === [], 'missing: ' . implode(', ', array_diff($options[1], $keys[1])));
        check(array_map(strtolower(...), $keys[2]) === $keys[1], 'each is read from its variable');
        [$known] = Configuration::sort(Library::get(), array_fill_keys($keys[1], 'x'));
        check(array_keys($known) === $keys[1], 'the library knows each');
    },
    'options come from $_ENV and $_SERVER before the process, and an unknown one is told and ignored' => static function () use ($spool): void {
        $logger = new CollectingLogger();
        putenv('MEDITOPIA_SPOOL=' . $spool('process'));
        $_SERVER['MEDITOPIA_SPOOL'] = $spool('server');
        $_SERVER['MEDITOPIA_FLUSH_INTERVALL_MS'] = '10';
        Client::fromEnvironment([], $logger);
        check(is_dir($spool('server')) && !is_dir($spool('process')), '$_SERVER wins over the process');
        $_ENV['MEDITOPIA_SPOOL'] = $spool('env');
        Client::fromEnvironment(['account' => null], $logger);
        check(is_dir($spool('env')), '$_ENV wins over $_SERVER');
        Client::fromEnvironment(['spool' => $spool('array')]);
        check(is_dir($spool('array')), 'the array wins over all');
        unset($_SERVER['MEDITOPIA_SPOOL'], $_SERVER['MEDITOPIA_FLUSH_INTERVALL_MS'], $_ENV['MEDITOPIA_SPOOL']);
        putenv('MEDITOPIA_SPOOL');
        check(count($logger->of('did you mean "flush_interval_ms"')) === 2, implode("\n", $logger->lines));
    },
    'the library\'s log comes to a PSR-3 logger' => static function () use ($spool): void {
        $logger = new CollectingLogger();
        $client = Client::fromEnvironment(['spool' => $spool('log')], $logger);
        $client->enqueue('t', 'bad-6', EventType::Video);
        $client->flush(20);
        check($logger->of('warning meditopia: rejected event 1, of user "bad-6": A_1104') !== [], implode("\n", $logger->lines));
    },
    'a logger that throws ends nothing' => static function () use ($spool): void {
        $logger = new class () extends Psr\Log\AbstractLogger {
            public int $calls = 0;

            public function log($level, $message, array $context = []): void
            {
                $this->calls++;
                throw new RuntimeException('the disk of the log is full');
            }
        };
        $client = Client::fromEnvironment(['spool' => $spool('throws')], $logger);
        $client->enqueue('t', 'bad-7', EventType::Video);
        check($client->flush(20)->rejected === 1 && $logger->calls > 0, "$logger->calls calls");
        $client->close();
    },
    'that nobody sends is logged once in five minutes, by whoever enqueues, and not while a sender is there' => static function () use ($spool): void {
        $logger = new CollectingLogger();
        $enqueue = static function (?CollectingLogger $logger) use ($spool): void {
            Client::fromEnvironment(['spool' => $spool('alone')], $logger)->enqueue('t', 'u-7', EventType::Video);
        };
        $old = time() - 2 * Absence::GRACE_S;
        $enqueue($logger);
        check($logger->of('sender') === [], 'a new spool needs none yet: ' . implode("\n", $logger->lines));
        touch($spool('alone') . '/identity.json', $old);
        $enqueue($logger);
        $enqueue($logger);
        check(count($logger->of('warning meditopia: events wait in ' . $spool('alone') . ' and there has never been a sender')) === 1,
            implode("\n", $logger->lines));
        Client::fromEnvironment(['spool' => $spool('alone')])->flush(20);
        touch($spool('alone') . '/absence-told', $old);
        $enqueue($logger);
        check(count($logger->of('sender')) === 1, 'a sender was there: ' . implode("\n", $logger->lines));
        abandon($spool('alone'), 2 * Absence::GRACE_S);
        Client::fromEnvironment(['spool' => $spool('alone')], $logger);
        check(count($logger->of('sender')) === 1, 'nothing was enqueued: ' . implode("\n", $logger->lines));
        ini_set('error_log', $spool('php.log'));
        $enqueue(null);
        check(str_contains((string) @file_get_contents($spool('php.log')), 'no sender was seen since'), 'without a logger PHP logs it');
        check((fileperms($spool('alone') . '/absence-told') & 0777) === 0600, 'what notes it is its owner\'s alone');
    },
    'a request starts no thread and a sender does' => static function () use ($spool): void {
        $threads = static fn (): int => count(glob('/proc/self/task/*'));
        $client = Client::fromEnvironment(['spool' => $spool('threads')]);
        $client->enqueue('t', 'u-8', EventType::Video);
        check($threads() === 1, 'by default there is none');
        $sender = Client::fromEnvironment(['spool' => $spool('sender'), 'role' => 'both']);
        $sender->enqueue('t', 'u-8', EventType::Video);
        check($threads() > 1, 'role = both starts one');
        $sender->close(20);
        check($sender->operator() !== null, 'it is there to the end');
    },
    'a bad event leaves its field, its place and the rest of its chunk to the caller' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('bad')]);
        $failure = thrown(InvalidEvent::class, static fn () => $client->enqueue('', 'u', EventType::Video));
        check(str_contains($failure->getMessage(), 'token') && !$failure->retryable && $failure->getCode() === -2, $failure->getMessage());
        $failure = thrown(InvalidArgument::class, static fn () => $client->enqueue('t', "\xff", EventType::Video));
        check(str_contains($failure->getMessage(), 'partner_user_id'), $failure->getMessage());
        $good = ['token' => 't', 'partner_user_id' => 'u', 'event' => EventType::Video];
        $failure = thrown(InvalidEvent::class, static fn () => $client->enqueueMany([$good, ['token' => "\xff"] + $good]));
        check($failure->eventIndex === 1 && str_starts_with($failure->getMessage(), 'token: '), $failure->getMessage());
        thrown(InvalidArgument::class, static fn () => $client->operator()->rejected(new Filter("u\0")));
        check($client->stats()->pending === 0, 'nothing is queued');
    },
    'an operator holds, resumes, requeues and discards' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('operated')]);
        $client->enqueue('t', 'bad-9', EventType::Video);
        $client->operator()->hold();
        check(thrown(Paused::class, static fn () => $client->flush(20))->pauseReason === PauseReason::Hold, 'it is held');
        $client->operator()->resume();
        check($client->flush(20)->rejected === 1, 'the bad one is rejected');
        [$event] = [...$client->operator()->rejected(new Filter(partnerUserId: "bad-9"))];
        check($event->reason === Reason::Refused, 'it is listed');
        check($client->operator()->requeue($event->id) === 1, 'it is sent again');
        check($client->flush(20)->rejected === 1, 'and rejected again');
        [$event] = [...$client->operator()->rejected()];
        check($client->operator()->discard($event->id, 999) === 1 && [...$client->operator()->rejected()] === [], 'it is gone');
        check(str_contains($client->prometheus(), 'meditopia_sender_seen_timestamp_seconds'), 'Prometheus can read it');
        check([...$client->operator()->inDoubt()] === [], 'nothing is in doubt');
    },
    'a user is erased, and what is left of the user is told' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $path = $spool('erased')]);
        foreach (['bad-9', 'goes', 'stays', 'goes'] as $user) {
            $client->enqueue('t', $user, EventType::Video);
        }
        $erasure = $client->operator()->forgetUser('goes');
        check($erasure->pending === 2 && $erasure->isComplete && $erasure->filesLeft === 0, 'the user is gone');
        check($client->flush(20)->delivered === 1, 'the others are not');
        check($client->operator()->forgetUser('bad-9')->rejected === 1, 'a rejected event is erased');
        check($client->operator()->forgetUser('stays')->receipts === 1, 'so is a receipt');
        thrown(InvalidArgument::class, static fn () => $client->operator()->forgetUser("u\0"));
    },
]);
