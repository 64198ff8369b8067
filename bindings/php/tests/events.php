<?php

// What an application may pass, and what it does without a library or a sender: events.php SCRATCH

declare(strict_types=1);

require_once __DIR__ . '/promises.php';
require_once __DIR__ . '/CollectingLogger.php';
require_once __DIR__ . '/Ledger.php';

use Meditopia\PartnerEvents\Absence;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\ClientInterface;
use Meditopia\PartnerEvents\EventCheck;
use Meditopia\PartnerEvents\EventType;
use Meditopia\PartnerEvents\Exception\InvalidEvent;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use Meditopia\PartnerEvents\Exception\SpoolFull;
use Meditopia\PartnerEvents\Testing\RecordingClient;

$directory = $argv[1];
$spool = static fn (string $name): string => "$directory/events-$name";
$sender = static fn (string $name): Client => Client::fromEnvironment(['spool' => $spool($name)]);

/** The UUID of any package: an object that is text. */
final class Uuid implements Stringable
{
    public function __construct(private readonly string $text)
    {
    }

    public function __toString(): string
    {
        return $this->text;
    }
}
enum Watched: string
{
    case Film = 'video';
}
$uuid = new Uuid('6d1e4d3e-0b7c-4d0e-9a55-8a1a1a2f9f10');
$good = ['token' => 't', 'partner_user_id' => 'u', 'event' => EventType::Video];
/** What waits in the spool of a client. @return list<array<string, mixed>> */
$waiting = static fn (Client $client): array => array_map(
    static fn ($event): array => $event->event(), iterator_to_array($client->operator()->pending(), false),
);
/** What a PHP with these settings says to a script that has the package. */
$php = static function (string $code, string ...$settings) use ($directory): string {
    $options = array_merge(...array_map(static fn (string $setting): array => ['-d', $setting], ['display_errors=stderr', ...$settings]));

    return (string) shell_exec(implode(' ', array_map(escapeshellarg(...), [
        'timeout', '60', PHP_BINARY, ...$options, '-r', "require '" . realpath(__DIR__ . '/../bin/autoload.php') . "';
        use Meditopia\\PartnerEvents\\{Client, EventType}; $code",
    ])) . ' 2>&1');
};

run([
    'an int, a UUID, an enum and a string are ids, alone and among many' => static function () use ($sender, $waiting, $uuid, $good): void {
        $client = $sender('ids');
        foreach (['17', 17, $uuid] as $id) {
            $client->enqueue($id, $id, EventType::Video);
            $client->enqueueMany([['token' => $id, 'partner_user_id' => $id, 'event' => 'video']]);
        }
        $client->enqueue(Watched::Film, Watched::Film, Watched::Film, Watched::Film);
        $client->enqueueMany([['token' => Watched::Film, 'partner_user_id' => Watched::Film, 'event' => Watched::Film, 'event_value' => Watched::Film]]);
        $ids = array_map(static fn (array $event): array => [$event['token'], $event['partner_user_id']], $waiting($client));
        $text = (string) $uuid;
        check($ids === [['17', '17'], ['17', '17'], ['17', '17'], ['17', '17'], [$text, $text], [$text, $text], ['video', 'video'], ['video', 'video']], json_encode($ids));
        check(array_column($waiting($client), 'event_value') === [...array_fill(0, 6, null), 'video', 'video'], 'an enum is its value');
    },
    'whatever is no event is an error of this package that names the field and the type' => static function () use ($sender, $good): void {
        $client = $sender('types');
        $throwing = new class () implements Stringable, JsonSerializable {
            public function __toString(): string
            {
                throw new RuntimeException('no text today');
            }

            public function jsonSerialize(): mixed
            {
                throw new RuntimeException('no JSON today');
            }
        };
        $cases = [
            ['partner_user_id', 1.5, 'a float'], ['partner_user_id', null, 'null'], ['partner_user_id', true, 'a bool'],
            ['partner_user_id', [], 'an array'], ['partner_user_id', new stdClass(), 'a stdClass'], ['partner_user_id', $throwing, 'no text today'],
            ['token', null, 'null'], ['token', 1.0, 'a float'], ['token', fopen('php://memory', 'r'), 'a resource'],
            ['event', null, 'null'], ['event', 3, 'an int'], ['event', 'vidoe', 'vidoe'],
            ['event_value', new DateTimeImmutable(), 'a DateTimeImmutable'], ['event_value', NAN, 'a float'], ['event_value', INF, 'a float'],
            ['event_value', ['deep' => [new SplObjectStorage()]], 'a SplObjectStorage'], ['event_value', [static fn () => 1], 'a Closure'],
            ['event_value', ["\xff"], 'an array'], ['event_value', $throwing, 'no JSON today'],
            ['received_at', 1722956645, 'an int'], ['received_at', [], 'an array'], ['received_at', '2024-02-30 10:00:00', 'not a date'],
        ];
        foreach ($cases as [$field, $value, $named]) {
            $event = [$field => $value] + $good + ['event_value' => null, 'received_at' => null];
            $alone = thrown(InvalidEvent::class, static fn () => $client->enqueue(
                $event['token'], $event['partner_user_id'], $event['event'], $event['event_value'], $event['received_at'],
            ));
            $many = thrown(InvalidEvent::class, static function () use ($client, $good, $event, &$acknowledged): void {
                $client->enqueueMany([$good, $event], $acknowledged);
            });
            foreach ([$alone, $many] as $failure) {
                check(str_starts_with($failure->getMessage(), $field) && str_contains($failure->getMessage(), $named), "$field $named: {$failure->getMessage()}");
            }
            check($many->eventIndex === 1 && $acknowledged === 0 && str_contains($many->getMessage(), '(event 1, counted from 0; the 0 before its chunk are queued)'), $many->getMessage());
        }
        foreach ([17, null, 'u', new stdClass()] as $event) {
            check(thrown(InvalidEvent::class, static fn () => $client->enqueueMany([$event]))->eventIndex === 0, 'it is named');
        }
        check($client->stats()->pending === 0, 'nothing is queued');
    },
    'the place of a bad event and what is queued are told also after the first chunk, and the rest can be repeated' => static function () use ($sender, $good): void {
        $client = $sender('places');
        $events = array_fill(0, 1200, $good);
        $events[1100] = ['partner_user_id' => 1.5] + $good;
        $failure = thrown(InvalidEvent::class, static function () use ($client, $events, &$acknowledged): void {
            $client->enqueueMany($events, $acknowledged);
        });
        check([$failure->eventIndex, $acknowledged] === [1100, 1000], $failure->getMessage());
        $events[1100]['partner_user_id'] = 15;
        check($client->enqueueMany(array_slice($events, $acknowledged)) === 200 && $client->stats()->pending === 1200, 'all are queued once');
    },
    'a generator that throws leaves what is acknowledged to the caller' => static function () use ($sender, $good): void {
        $client = $sender('generator');
        $events = static function () use ($good): Generator {
            for ($number = 0; $number < 700; ++$number) {
                yield $good;
            }
            throw new DomainException('the database has gone away');
        };
        thrown(DomainException::class, static function () use ($client, $events, &$acknowledged): void {
            $client->enqueueMany($events(), $acknowledged);
        });
        check($acknowledged === 500 && $client->stats()->pending === 500, "$acknowledged are acknowledged");
    },
    'an event_value that is no text is sent as the JSON that Python writes' => static function () use ($sender): void {
        $client = $sender('values');
        $values = [
            '{"b":1,"a":[1,2.5,true,null,"ü/ \u2028"]}' => ['b' => 1, 'a' => [1, 2.5, true, null, "ü/ \u{2028}"]],
            '[]' => [], '{}' => new stdClass(), '5' => 5, '1.0' => 1.0, 'true' => true, '"\u0001\u007f"' => "\u{1}\u{7f}", 'null' => null,
        ];
        $python = 'import json, sys; [print(json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":"))) for line in sys.stdin]';
        $process = proc_open(['python3', '-c', $python], [['pipe', 'r'], ['pipe', 'w']], $pipes, null, ['PYTHONIOENCODING' => 'utf-8']);
        fwrite($pipes[0], implode("\n", array_keys($values)));
        fclose($pipes[0]);
        $written = explode("\n", trim(stream_get_contents($pipes[1])));
        foreach ($values as $value) {
            $client->enqueue('t', 'u', EventType::Content, $value);
            $client->enqueueMany([['token' => 't', 'partner_user_id' => 'u', 'event' => 'content', 'event_value' => $value]]);
        }
        $sent = [];
        foreach ($client->operator()->pending() as $event) {
            preg_match('/"event_value":(.*),"received_at"/s', $event->json, $found);
            $sent[] = $found[1];
        }
        // Text is escaped by the library, for both.
        $sent = str_replace('\u007f', "\u{7f}", $sent);
        check($sent === array_merge(...array_map(static fn (string $json): array => [$json, $json], $written)), json_encode([$sent, $written]));
        check($client->flush(20)->delivered === 2 * count($values), 'the API accepts them');
    },
    'a time is sent as the same moment, whatever its zone' => static function () use ($sender, $waiting): void {
        $client = $sender('times');
        foreach (['2024-08-06T15:04:05+00:00', '2024-08-06T18:04:05.75+03:00'] as $time) {
            $client->enqueue('t', 'u', EventType::Video, null, new DateTimeImmutable($time));
            $client->enqueue('t', 'u', EventType::Video, null, $time);
        }
        $client->enqueue('t', 'u', EventType::Video, null, new DateTime('1900-01-01 00:00:00', new DateTimeZone('Europe/Amsterdam')));
        $times = array_column($waiting($client), 'received_at');
        check(array_unique(array_slice($times, 0, 4)) === ['2024-08-06 15:04:05'] && str_starts_with($times[4], '1899-12-31 23:4'), json_encode($times));
    },
    'a request that tries to enqueue an invalid event goes on, and the log names the field' => static function () use ($spool, $good): void {
        $logger = new CollectingLogger();
        $client = Client::fromEnvironment(['spool' => $spool('tried')], $logger);
        check($client->tryEnqueue('secret-user-token', null, EventType::Video) === false, 'it says that it is not queued');
        check($client->tryEnqueue('secret-user-token', 'u', 'vidoe') === false, 'it says so');
        check($client->tryEnqueue('t', 17, 'video') === true && $client->stats()->pending === 1, 'a good one is queued');
        check(count($logger->of('error meditopia: an event was not queued: partner_user_id: null is no text')) === 1, implode("\n", $logger->lines));
        check($logger->of('secret-user-token') === [], 'without the token');
        ini_set('error_log', $spool('php.log'));
        Client::fromEnvironment(['spool' => $spool('tried')])->tryEnqueue('t', '', EventType::Video);
        check(str_contains(file_get_contents($spool('php.log')), 'an event was not queued: partner_user_id: is empty'), 'without a logger PHP logs it');
    },
    'no trace of an error about an event has its token' => static function () use ($sender): void {
        ini_set('zend.exception_ignore_args', '0');
        ini_set('zend.exception_string_param_max_len', '1000');
        $clients = [$sender('traced'), Client::disabled(new CollectingLogger())];
        $token = 'secret-user-token';
        foreach ($clients as $client) {
            foreach ([[$token, 1.5, 'video'], [$token, 'u', 'vidoe'], [$token, 'u', 'video', NAN], [$token, "\xff", 'video'], [$token, 'u', 'video', ["\xff"]]] as $event) {
                $failures = [thrown(MeditopiaException::class, static fn () => $client->enqueue(...$event))];
                $many = array_combine(array_slice(['token', 'partner_user_id', 'event', 'event_value'], 0, count($event)), $event);
                $failures[] = thrown(MeditopiaException::class, static fn () => $client->enqueueMany([$many]));
                foreach ($failures as $failure) {
                    $calls = array_filter($failure->getTrace(), static fn (array $call): bool => str_starts_with($call['class'] ?? '', 'Meditopia'));
                    check($calls !== [] && !str_contains(print_r($calls, true) . $failure->getMessage(), $token), "$failure");
                }
            }
        }
    },
    'a full spool is false for a try, and an exception otherwise' => static function () use ($spool): void {
        $client = Client::fromEnvironment(['spool' => $spool('full'), 'max_spool_bytes' => 200_000], new CollectingLogger());
        // The limit is approximate: the library measures again after many bytes.
        for ($queued = 0; $queued < 5000 && $client->tryEnqueue('t', 'u', EventType::Video, str_repeat('v', 50_000)); ++$queued) {
        }
        check($queued > 0 && $queued < 5000, "it is full after $queued events");
        thrown(SpoolFull::class, static fn () => $client->enqueue('t', 'u', EventType::Video, str_repeat('v', 500)));
    },
    'nobody sends is said in a worker that lives long, where PHP may not see the spool and may call neither touch nor chmod nor error_log' =>
    static function () use ($php, $spool): void {
        $enqueue = static fn (string $name): string => '$client = Client::fromEnvironment(["spool" => "' . $spool($name) . '"]);
            $client->enqueue("t", "u", EventType::Video);';
        foreach ([
            'closed' => '$client->close();',
            'ended' => 'unset($client);',
            // As after a minute.
            'living' => '(new ReflectionProperty($client, "watchAt"))->setValue($client, 0); for ($i = 0; $i < 3; ++$i) {
                $client->enqueue("t", "u", EventType::Video); } posix_kill(getmypid(), SIGKILL);',
        ] as $name => $end) {
            Client::fromEnvironment(['spool' => $spool("unseen-$name")])->flush(20);
            abandon($spool("unseen-$name"), 2 * Absence::GRACE_S);
            $said = $php($enqueue("unseen-$name") . $end, 'open_basedir=' . dirname(__DIR__), 'disable_functions=touch,chmod,error_log');
            check(substr_count($said, 'no sender was seen since') === 1, "$name: $said");
            check(!str_contains($said, 'rror:') && !str_contains($said, 'Warning'), $said);
        }
        $said = $php($enqueue('unseen-living') . '$client->close();', 'disable_functions=touch,chmod,error_log,filemtime,clearstatcache,fopen');
        check($said === '', "where nothing at all is allowed it is silent: $said");
    },
    'nobody sends is said at the end of a process, in whatever order PHP calls destructors' => static function () use ($php, $spool): void {
        foreach (range(0, 5) as $number) {
            Client::fromEnvironment(['spool' => $spool("order-$number")])->flush(20);
            abandon($spool("order-$number"), 2 * Absence::GRACE_S);
            // Slots of objects that have gone are used again, the last one first: it decides the order at the end.
            $said = $php('$gone = []; for ($i = 0; $i < 40; ++$i) { $gone[$i] = new stdClass(); }
                for ($i = 0; $i < 40; $i += 1 + ' . $number . ') { unset($gone[$i]); }
                $client = new Client(["spool" => "' . $spool("order-$number") . '", "endpoint" => getenv("MEDITOPIA_ENDPOINT")]);
                $client->enqueue("t", "u", EventType::Video);
                // A cycle, which no reference count ends.
                $holder = new stdClass(); $holder->client = $client; $holder->self = $holder; unset($client, $holder); exit(0);', 'error_log=/dev/stderr');
            check(substr_count($said, 'no sender was seen since') === 1, "$number: $said");
        }
    },
    'a spool whose sender is at work is not complained of where PHP does not see it' => static function () use ($php, $spool): void {
        Client::fromEnvironment(['spool' => $spool('seen')])->flush(20);
        $said = $php('$client = Client::fromEnvironment(["spool" => "' . $spool('seen') . '"]); $client->enqueue("t", "u", EventType::Video);
            $client->close();', 'open_basedir=' . dirname(__DIR__), 'disable_functions=touch,chmod');
        check($said === '', $said);
    },
    'a disabled client checks events and keeps none, says so once, and needs neither library nor FFI' => static function () use ($php): void {
        $logger = new CollectingLogger();
        $client = Client::disabled($logger);
        $client->enqueue('t', 17, EventType::Video);
        $client->enqueueMany(array_fill(0, 1200, ['token' => 't', 'partner_user_id' => 'u', 'event' => 'video']), $acknowledged);
        check($acknowledged === 1200 && count($logger->of('warning meditopia: this client is disabled')) === 1, implode("\n", $logger->lines));
        thrown(InvalidEvent::class, static fn () => $client->enqueue('t', '', EventType::Video));
        check($client->tryEnqueue('t', null, EventType::Video) === false && $client->flush()->pending === 0, 'as the other one');
        $said = $php('$client = Client::disabled(); $client->enqueue("t", "u", EventType::Video); $client->enqueue("t", "u", EventType::Video); echo "went on";',
            'ffi.enable=0', 'error_log=/dev/stderr');
        check(substr_count($said, 'disabled') === 1 && str_contains($said, 'went on'), $said);
    },
    'a recording client keeps what a test looks at' => static function (): void {
        $client = new RecordingClient();
        $of = static function (ClientInterface $meditopia): void {
            $meditopia->enqueue('t', 17, EventType::Video, ['a' => 1], new DateTimeImmutable('2024-08-06T15:04:05Z'));
            $meditopia->tryEnqueue('t', 'other', 'vidoe');
        };
        $of($client);
        check($client->events === [[
            'token' => 't', 'partner_user_id' => '17', 'event' => 'video', 'event_value' => ['a' => 1], 'received_at' => '2024-08-06T15:04:05Z',
        ]], json_encode($client->events));
        check(count($client->eventsOf('17')) === 1 && count($client->failures) === 1, 'a test finds them');
        $client->failWith(new SpoolFull('the spool is full', -6, retryable: true));
        thrown(SpoolFull::class, static fn () => $client->enqueue('t', 'u', EventType::Video));
        $client->failWith(null);
        $client->close();
        thrown(MeditopiaException::class, static fn () => $client->enqueue('t', 'u', EventType::Video));
    },
    'the checks without a library are those of the library' => static function () use ($sender, $good): void {
        $client = $sender('checks');
        $times = ['2024-08-06 15:04:05', '2024-08-06T15:04:05Z', '2024-08-06T15:04:05', '2024-08-06t15:04:05.5+03:00', '2024-02-30 10:00:00', '2024-02-29 10:00:00',
            '2023-02-29 10:00:00', '2024-08-06 24:00:00', '2024-08-06 15:60:00', '2024-08-06 15:04:60', '2024-08-06', '', 'now', '2024-08-06 15:04:05 ', "2024-08-06 15:04:05\n",
            '2024-08-06 15:04:05Z', '2024-8-6 15:04:05', '0000-01-01 00:00:00', '9999-12-31 23:59:59', '2024-08-06T15:04:05+25:00', '2024-08-06T15:04:05+0300', '2024-08-06T15:04:05-00:00',
            '2024-08-06 15:04:05.123', '2024-08-06 15:04:05+03:00'];
        $events = [...array_map(static fn (string $time): array => ['received_at' => $time], $times),
            ['token' => ''], ['partner_user_id' => ''], ['event' => 'Video'], ['event' => ''], ['event_value' => ''], ['event_value' => str_repeat('v', 70_000)],
            ['event_value' => str_repeat('v', 65_000)], ['event_value' => ['v' => str_repeat('v', 70_000)]], ['token' => "\xff"], ['event_value' => "\xff"], ['colour' => 'red'],
            ['event_value' => 1e300], ['event_value' => array_fill(0, 3, [[[]]])]];
        foreach ($events as $event) {
            $verdicts = array_map(static function (callable $check) use ($event, $good): string {
                try {
                    $check($event + $good);

                    return 'good';
                } catch (MeditopiaException) {
                    return 'refused';
                }
            }, [static fn (array $event) => $client->enqueueMany([$event]), EventCheck::of(...)]);
            check($verdicts[0] === $verdicts[1], substr(json_encode($event, JSON_INVALID_UTF8_SUBSTITUTE), 0, 90) . ': ' . implode(' and ', $verdicts));
        }
    },
]);
