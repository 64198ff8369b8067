<?php

// What an operator and a monitor read and change by this package, and that it is all of the C interface: operator.php SCRATCH

declare(strict_types=1);

require_once __DIR__ . '/promises.php';

use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\EventType;
use Meditopia\PartnerEvents\Exception\InputOutput;
use Meditopia\PartnerEvents\Exception\InvalidArgument;
use Meditopia\PartnerEvents\Filter;
use Meditopia\PartnerEvents\Library;
use Meditopia\PartnerEvents\Reason;
use Meditopia\PartnerEvents\Receipt;
use Meditopia\PartnerEvents\StoredEvent;

[, $directory] = $argv;
$spool = static fn (string $name): string => "$directory/operator-$name";
/** @return list<string> */
$users = static fn (iterable $events): array => array_map(static fn (StoredEvent $event): string => $event->event()['partner_user_id'], iterator_to_array($events, false));

/** A client with events of the users bad-1, bad-2 and u-3, of which the first two are rejected. */
$rejected = static function (string $name) use ($spool): Client {
    $client = Client::fromEnvironment(['spool' => $spool($name)]);
    foreach (['bad-1', 'bad-2', 'u-3'] as $user) {
        $client->enqueue('t', $user, EventType::Video);
    }
    check($client->flush(20)->rejected === 2, 'two are rejected');

    return $client;
};

/** Of each function of the C interface: by what this package calls it, or why not. */
const FUNCTIONS_LEFT_OUT = [
    'meditopia_status_name' => 'the class of an exception is the name',
    'meditopia_config_load_env' => 'Client::fromEnvironment: PHP sees variables that C does not',
    'meditopia_config_load_file' => 'a PHP application has a configuration of its own; meditopia run and flush read the file',
    'meditopia_enqueue' => 'enqueue_n, which takes NUL bytes as well',
    'meditopia_set_log_callback' => 'PHP may not run on a thread of the library; the log is polled',
    'meditopia_rejected_open' => 'rejected_find, which takes more',
    'meditopia_text_len' => 'no text of it has a NUL byte',
];

run([
    'a filter takes what its user, code, reason and time say' => static function () use ($rejected, $users): void {
        $operator = $rejected('filtered')->operator();
        $rows = [...$operator->rejected()];
        check($users($rows) === ['bad-1', 'bad-2'], 'both are listed');
        $hour = static fn (int $hours): DateTimeImmutable => new DateTimeImmutable("$hours hours");
        $cases = [
            [['bad-1', 'bad-2'], new Filter()],
            [['bad-2'], new Filter('bad-2')],
            [['bad-1', 'bad-2'], new Filter(apiCode: 'A_1104')],
            [[], new Filter(apiCode: 'A_1002')],
            [['bad-1', 'bad-2'], new Filter(reason: Reason::Refused)],
            [[], new Filter(reason: Reason::Expired)],
            [['bad-1', 'bad-2'], new Filter(from: $hour(-1), until: $hour(1))],
            [[], new Filter(from: $hour(1))],
            [[], new Filter(until: $hour(-1))],
            [[], new Filter(until: new DateTimeImmutable('@0'))],
            [['bad-2'], new Filter(afterId: $rows[0]->id)],
            [[], new Filter('bad-1', afterId: $rows[0]->id)],
        ];
        foreach ($cases as $number => [$expected, $filter]) {
            check($users($operator->rejected($filter)) === $expected, "filter $number: " . json_encode($users($operator->rejected($filter))));
        }
        thrown(InvalidArgument::class, static fn () => $operator->rejected(new Filter(reason: Reason::Unknown)));
        thrown(InvalidArgument::class, static fn () => $operator->rejected(new Filter(reason: Reason::Pending)));
    },
    'all that a filter takes is requeued or discarded, and nothing else' => static function () use ($rejected, $users): void {
        $client = $rejected('matched');
        $operator = $client->operator();
        check($operator->requeueMatching(new Filter('bad-1')) === 1 && $users($operator->rejected()) === ['bad-2'], 'one is sent again');
        check($client->flush(20)->rejected === 1, 'and rejected again');
        check($operator->discardMatching(new Filter('bad-2')) === 1 && $users($operator->rejected()) === ['bad-1'], 'one is gone');
    },
    'rejected events are exported to a new file, a line each' => static function () use ($rejected, $directory): void {
        $operator = $rejected('exported')->operator();
        check($operator->export("$directory/all.ndjson") === 2 && $operator->export("$directory/one.ndjson", new Filter('bad-2')) === 1, 'two, and one');
        $lines = file("$directory/one.ndjson");
        check(count($lines) === 1 && json_decode($lines[0])->event->partner_user_id === 'bad-2', implode($lines));
        thrown(InputOutput::class, static fn () => $operator->export("$directory/all.ndjson"));
        thrown(InvalidArgument::class, static fn () => $operator->export("$directory/all\0"));
    },
    'what waits is listed, of all and of one user' => static function () use ($spool, $users): void {
        $client = Client::fromEnvironment(['spool' => $spool('waiting')]);
        foreach (['u-1', 'u-2', 'u-1'] as $user) {
            $client->enqueue('t', $user, EventType::Video);
        }
        $pending = [...$client->operator()->pending()];
        check($users($pending) === ['u-1', 'u-2', 'u-1'] && $pending[0]->reason === Reason::Journalled, 'all are listed');
        check($users($client->operator()->pending('u-2')) === ['u-2'], 'those of one user');
        check($users($client->operator()->pending(afterId: $pending[1]->id)) === ['u-1'], 'those behind one');
    },
    'a receipt says when whose events arrived' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('receipts')]);
        $client->enqueue('t', 'u-1', EventType::Video);
        $client->enqueue('t', 'u-2', EventType::Register);
        $client->flush(20);
        $operator = $client->operator();
        [$receipt] = [...$operator->receipts()];
        check($receipt instanceof Receipt && [$receipt->events, $receipt->videoEvents, $receipt->registerEvents, $receipt->users] === [2, 1, 1, 2], json_encode($receipt));
        check($receipt->perUser === [['partner_user_id' => 'u-1', 'events' => ['video' => 1]], ['partner_user_id' => 'u-2', 'events' => ['register' => 1]]] && abs($receipt->timeMs / 1000 - time()) < 60 && $receipt->httpStatus === 204, json_encode($receipt));
        check(count([...$operator->receipts('u-2')]) === 1 && [...$operator->receipts('u-3')] === [], 'of one user');
        check([...$operator->receipts(from: new DateTimeImmutable('+1 hour'))] === [] && count([...$operator->receipts(until: new DateTimeImmutable('+1 hour'))]) === 1, 'of a time');
        check([...$operator->receipts(afterId: $receipt->id)] === [], 'behind one');
    },
    'a client knows when a sender was seen, and all statistics' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('seen')]);
        $client->enqueue('t', 'u-1', EventType::Video);
        check([$client->senderSeen()->seenMs, $client->senderSeen()->waiting] === [null, true], 'none was there');
        $client->flush(20);
        check(abs($client->senderSeen()->seenMs / 1000 - time()) < 60 && !$client->senderSeen()->waiting, 'one was there');
        $stats = $client->stats();
        check([$stats->deliveredRequests, $stats->pauses, $stats->request->count] === [1, 0, 1] && $stats->sentBytes > 50, json_encode($stats));
        check(array_sum($stats->request->buckets) === 1 && count($stats->request->buckets) === count($stats->request->boundsSeconds) + 1, json_encode($stats->request));
        $json = json_decode($client->statsJson(), true);
        check($json['delivered'] === 1, $client->statsJson());
        $fields = array_map(static fn (string $key): string => lcfirst(str_replace('_', '', ucwords($key, '_'))), array_keys($json));
        $fields = str_replace(['paused', 'Seconds'], ['pauseReason', ''], array_diff($fields, ['pausedSinceMs']));
        check(array_diff($fields, array_keys(get_object_vars($stats))) === [], 'missing: ' . implode(' ', array_diff($fields, array_keys(get_object_vars($stats)))));
    },
    'the bounds of the histograms are those of the library' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('bounds')]);
        $stats = $client->stats();
        foreach (['enqueue' => 'enqueue', 'request' => 'request', 'delivery' => 'delivery'] as $property => $name) {
            preg_match_all("/^meditopia_{$name}[a-z_]*_bucket\{.*?le=\"([0-9.e+-]+)\"/m", $client->prometheus(), $found);
            check(array_map(floatval(...), $found[1]) === $stats->$property->boundsSeconds, "$name: " . json_encode([$found[1], $stats->$property->boundsSeconds]));
        }
    },
    'the package and the library have one version' => static function (): void {
        $composer = json_decode(file_get_contents(__DIR__ . '/../composer.json'), true);
        check(Client::version() === $composer['version'], Client::version() . " and $composer[version]");
    },
    'each function of the C interface has its place in this package, or a reason' => static function (): void {
        preg_match_all('/\b(meditopia_[a-z_]+)\(/', file_get_contents(Library::header()), $found);
        $source = implode(array_map(file_get_contents(...), [...glob(__DIR__ . '/../src/*.php'), ...glob(__DIR__ . '/../src/*/*.php')]));
        foreach (array_unique($found[1]) as $function) {
            // The functions of a cursor are called by the name of its list.
            $called = preg_match("/\b{$function}\b/", $source) === 1 || preg_match('/^meditopia_(cursor|receipts)_(next|free)$/', $function) === 1;
            check($called xor isset(FUNCTIONS_LEFT_OUT[$function]), "$function is called, or there is a reason why not");
        }
    },
]);
