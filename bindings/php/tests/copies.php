<?php

// No copy of an object that stands for memory of the library harms it, whichever tool makes the copy:
// copies.php SCRATCH. Each story runs in a process of its own, because what it guards against is a crash, or a call that never ends.

declare(strict_types=1);

require_once __DIR__ . '/promises.php';

use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\ClientInterface;
use Meditopia\PartnerEvents\Cursor;
use Meditopia\PartnerEvents\EventType;
use Meditopia\PartnerEvents\Exception\Closed;
use Meditopia\PartnerEvents\Handle;
use Meditopia\PartnerEvents\Operator;

$directory = $argv[1];

/** Everything with a pointer of the library behind it. */
const NATIVE = [Client::class, Operator::class, Cursor::class, Handle::class];

/** An object and all objects that it holds, by whatever property. */
function reachable(object $object, array &$found = []): array
{
    if (isset($found[spl_object_id($object)])) {
        return $found;
    }
    $found[spl_object_id($object)] = $object;
    foreach ((new ReflectionObject($object))->getProperties() as $property) {
        if (!$property->isStatic() && $property->isInitialized($object) && is_object($value = $property->getValue($object))) {
            reachable($value, $found);
        }
    }

    return $found;
}

/** A copy that asks nobody: a new object without its constructor, with the same in each property, copied likewise. */
function copyByReflection(object $object, array &$copies = []): object
{
    if (isset($copies[spl_object_id($object)])) {
        return $copies[spl_object_id($object)];
    }
    if (!str_starts_with($object::class, 'Meditopia')) {
        return $object;
    }
    $class = new ReflectionClass($object);
    $copies[spl_object_id($object)] = $copy = $class->newInstanceWithoutConstructor();
    foreach ($class->getProperties() as $property) {
        if (!$property->isStatic() && $property->isInitialized($object)) {
            $value = $property->getValue($object);
            $property->setValue($copy, is_object($value) ? copyByReflection($value, $copies) : $value);
        }
    }

    return $copy;
}

/** Ends well or throws; a crash would end the process, which `apart` sees. */
$stories = [
    'a clone is refused, and the client goes on' => static function (Client $client): void {
        thrown(Error::class, static fn () => clone $client);
        gc_collect_cycles();
    },
    'a clone from inside of a class is refused, and the client goes on' => static function (Client $client): void {
        foreach (reachable($client) as $object) {
            if (in_array($object::class, NATIVE, true)) {
                thrown(LogicException::class, Closure::bind(static fn () => clone $object, null, $object::class));
            }
        }
        gc_collect_cycles();
    },
    'a clone of a list and of what an operator has is refused' => static function (Client $client): void {
        $client->enqueue('t', 'bad-1', EventType::Video);
        $client->flush(20);
        $operator = $client->operator();
        thrown(Error::class, static fn () => clone $operator);
        $rows = $operator->rejected();
        thrown(Error::class, static fn () => clone $rows);
        check(count([...$rows]) === 1, 'the list is walked');
    },
    'PHPUnit\'s cloning of arguments leaves a client as it is' => static function (Client $client): void {
        require_once 'PHPUnit/Autoload.php';
        $test = new class () extends PHPUnit\Framework\TestCase {
            public function mockOf(string $type): PHPUnit\Framework\MockObject\MockBuilder
            {
                return $this->getMockBuilder($type);
            }
        };
        $mock = $test->mockOf(ArrayObject::class)->enableArgumentCloning()->onlyMethods(['append'])->getMock();
        $mock->expects($test->any())->method('append');
        $mock->append($client);
        $mock->append($client->operator());
        unset($mock, $test);
        gc_collect_cycles();
    },
    'an application may double the interface with PHPUnit' => static function (): void {
        require_once 'PHPUnit/Autoload.php';
        $test = new class () extends PHPUnit\Framework\TestCase {
            public function doubled(): ClientInterface
            {
                return $this->createMock(ClientInterface::class);
            }
        };
        $double = $test->doubled();
        $double->enqueue('t', 'u', EventType::Video);
        check($double->tryEnqueue('t', 'u', EventType::Video) === false, 'it does nothing');
    },
    'DeepCopy leaves a client as it is, or refuses' => static function (Client $client): void {
        require_once 'DeepCopy/autoload.php';
        $holder = new ArrayObject(['client' => $client]);
        thrown(DeepCopy\Exception\CloneException::class, static fn () => (new DeepCopy\DeepCopy())->copy([$client, $holder]));
        $copy = (new DeepCopy\DeepCopy())->skipUncloneable()->copy([$client, $client->operator()]);
        check($copy[0] === $client, 'it is the same client');
        unset($copy);
        gc_collect_cycles();
    },
    'serialize and unserialize refuse' => static function (Client $client): void {
        foreach (reachable($client) as $object) {
            if (in_array($object::class, NATIVE, true)) {
                thrown(LogicException::class, static fn () => serialize($object));
            }
        }
        foreach (NATIVE as $class) {
            thrown(LogicException::class, static fn () => unserialize(sprintf('O:%d:"%s":0:{}', strlen($class), $class)));
        }
        gc_collect_cycles();
    },
    'var_export shows no secret and makes no client' => static function (Client $client): void {
        $text = var_export($client, true) . print_r($client, true) . json_encode($client);
        check(!str_contains($text, 'hidden-token'), $text);
        thrown(Throwable::class, static fn () => eval('return ' . var_export($client, true) . ';'));
    },
    'an object without its constructor ends nothing and does nothing' => static function (): void {
        foreach (NATIVE as $class) {
            $blank = (new ReflectionClass($class))->newInstanceWithoutConstructor();
            unset($blank);
        }
        $blank = (new ReflectionClass(Client::class))->newInstanceWithoutConstructor();
        thrown(Error::class, static fn () => $blank->enqueue('t', 'u', EventType::Video));
        thrown(Error::class, static fn () => $blank->operator());
    },
    'a copy by reflection has no handle, and the client goes on' => static function (Client $client): void {
        $copy = copyByReflection($client);
        thrown(Closed::class, static fn () => $copy->enqueue('t', 'u', EventType::Video));
        thrown(Closed::class, static fn () => $copy->flush(1));
        unset($copy);
        gc_collect_cycles();
    },
    'a shallow copy by reflection that outlives the client is closed' => static function (): void {
        global $directory;
        $client = Client::fromEnvironment(['spool' => "$directory/outlived"]);
        $class = new ReflectionClass($client);
        $copy = $class->newInstanceWithoutConstructor();
        foreach ($class->getProperties() as $property) {
            $property->setValue($copy, $property->getValue($client));
        }
        unset($client);
        gc_collect_cycles();
        thrown(Closed::class, static fn () => $copy->enqueue('t', 'u', EventType::Video));
        unset($copy);
    },
    'a shallow copy by reflection that ends first leaves the client open' => static function (Client $client): void {
        $class = new ReflectionClass($client);
        $copy = $class->newInstanceWithoutConstructor();
        foreach ($class->getProperties() as $property) {
            $property->setValue($copy, $property->getValue($client));
        }
        $copy->enqueue('t', 'u', EventType::Video);
        unset($copy);
        gc_collect_cycles();
    },
    'Symfony\'s VarExporter refuses' => static function (Client $client): void {
        require_once 'Symfony/Component/VarExporter/autoload.php';
        thrown(Throwable::class, static fn () => Symfony\Component\VarExporter\VarExporter::export($client));
        gc_collect_cycles();
    },
    'a client is a key of a WeakMap' => static function (Client $client): void {
        $map = new WeakMap();
        $map[$client] = 1;
        check(count($map) === 1 && WeakReference::create($client)->get() === $client, 'it is found');
    },
    'each child of a fork ends its copy, and the client goes on' => static function (Client $client): void {
        $children = [];
        for ($number = 0; $number < 8; ++$number) {
            $child = pcntl_fork();
            if ($child === 0) {
                $client->enqueue('t', "u-child-$number", EventType::Video);
                exit(0);
            }
            $children[] = $child;
        }
        foreach ($children as $child) {
            pcntl_waitpid($child, $status);
            check(pcntl_wifexited($status) && pcntl_wexitstatus($status) === 0, "a child ends well: $status");
        }
    },
];

/** The story in a process of its own; afterwards the client enqueues and everything arrives. */
if (isset($argv[2])) {
    $client = Client::fromEnvironment(['spool' => "$directory/copied-" . md5($argv[2])]);
    $client->enqueue('t', 'u-before', EventType::Video);
    $stories[$argv[2]]($client);
    for ($number = 0; $number < 100; ++$number) {
        $client->enqueue('t', "u-after-$number", EventType::Video);
    }
    $report = $client->flush(20);
    check($report->pending === 0 && $report->delivered >= 100, 'all is delivered: ' . json_encode($report));
    exit(0);
}

run(array_combine(array_keys($stories), array_map(
    static fn (string $story): callable => static function () use ($story, $directory): void {
        said(['timeout', '60', PHP_BINARY, '-d', 'error_reporting=E_ALL & ~E_DEPRECATED', __FILE__, $directory, $story]);
    },
    array_keys($stories),
)));
