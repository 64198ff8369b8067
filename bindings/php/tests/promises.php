<?php

// What the tests of this directory have in common: promises with their stories, run one after the other.

declare(strict_types=1);

require_once __DIR__ . '/../bin/autoload.php';

function check(bool $held, string $what): void
{
    if (!$held) {
        throw new LogicException("not so: $what");
    }
}

/** @template T of Throwable @param class-string<T> $class @return T */
function thrown(string $class, callable $act): Throwable
{
    try {
        $act();
    } catch (Throwable $failure) {
        check($failure instanceof $class, "$class, but " . $failure::class . ': ' . $failure->getMessage());

        return $failure;
    }
    throw new LogicException("not so: $class is thrown");
}

/** Waits for a condition. */
function until(callable $holds, string $what, float $seconds = 60): void
{
    $deadline = microtime(true) + $seconds;
    while (!$holds()) {
        check(microtime(true) < $deadline, "within $seconds s $what");
        usleep(20_000);
    }
}

/** As if the last sender had been at work in this spool so long ago. */
function abandon(string $spool, int $seconds): void
{
    $old = time() - $seconds;
    $seen = json_decode(file_get_contents("$spool/sender.json"), true, flags: JSON_THROW_ON_ERROR);
    file_put_contents("$spool/sender.json", json_encode(['seen_ms' => $old * 1000] + $seen));
    touch("$spool/sender.json", $old);
}

/** The first code of the README below this heading in this language. */
function readme(string $heading, string $language): string
{
    preg_match("/^## $heading\$(.*?)(?=^## |\\z)/ms", file_get_contents(__DIR__ . '/../README.md'), $section);
    check(preg_match("/^```$language\n(.*?)^```\$/ms", $section[1] ?? '', $found) === 1, "the README has $language below $heading");

    return $found[1];
}

/** A command that has to end well. Gives what it said. */
function said(array $command, ?array $environment = null): string
{
    $process = proc_open($command, [1 => ['pipe', 'w'], 2 => ['redirect', 1]], $pipes, null, $environment);
    $said = stream_get_contents($pipes[1]);
    $status = proc_close($process);
    check($status === 0, implode(' ', $command) . " ends with 0, not $status:\n$said");

    return $said;
}

/** @param array<string, callable> $promises the exit code tells whether all held */
function run(array $promises): never
{
    $failed = 0;
    foreach ($promises as $promise => $story) {
        try {
            $told = $story();
            echo "ok      $promise", $told === null ? '' : ": $told", "\n";
        } catch (Throwable $failure) {
            ++$failed;
            echo "FAILED  $promise\n        $failure\n";
        }
    }
    exit($failed === 0 ? 0 : 1);
}
