<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Console;

use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\Exception\InvalidArgument;
use Meditopia\PartnerEvents\Exception\InvalidConfiguration;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use Meditopia\PartnerEvents\Exception\Paused;
use Meditopia\PartnerEvents\Exception\TimedOut;
use Meditopia\PartnerEvents\PauseReason;
use Meditopia\PartnerEvents\Report;

/**
 * What a flush or a look at the status says and ends with: the same in `vendor/bin/meditopia-flush`, in
 * `artisan` and in Symfony's `bin/console`. The statuses are those of the command `meditopia`.
 *
 * @internal
 */
final class Outcome
{
    public const OK = 0;
    public const FAILED = 1;
    public const USAGE = 2;
    public const EVENTS_LEFT = 6;
    public const PAUSED = 7;

    public const FLUSH_HELP = <<<'TEXT'
        Exit status, as of the command `meditopia flush`:
          0  every event enqueued before is delivered or rejected
          1  it failed: see the message
          2  the command line or the configuration is wrong
          6  the timeout passed; the next sender delivers the rest
          7  delivery is paused and an operator has to look at the reason; every event is kept
        TEXT;

    private function __construct(
        public readonly int $status,
        /** What to print: to standard error if it is an error. */
        public readonly string $text,
        /** Whether cron should hear of it, although all went well. */
        public readonly bool $remarkable = false,
    ) {
    }

    /** @param callable(): Client $client */
    public static function ofFlush(callable $client, mixed $timeout): self
    {
        if (!is_numeric($timeout) || (float) $timeout < 0 || !is_finite((float) $timeout)) {
            return new self(self::USAGE, 'timeout: ' . (\is_scalar($timeout) ? (string) json_encode($timeout) : 'this') . ' is not a number of seconds');
        }
        try {
            $report = $client()->flush((float) $timeout);

            return new self(self::OK, self::told($report), $report->rejected + $report->expired > 0);
        } catch (MeditopiaException $failure) {
            return self::ofFailure($failure);
        }
    }

    /** @param callable(): Client $client */
    public static function ofStatus(callable $client): self
    {
        try {
            $stats = $client()->stats();
        } catch (MeditopiaException $failure) {
            return self::ofFailure($failure);
        }
        $time = static fn (?int $ms): string => $ms === null ? 'never' : gmdate('Y-m-d\TH:i:s\Z', intdiv($ms, 1000));
        $lines = [
            "pending:     $stats->pending" . ($stats->pending > 0 ? ", the oldest since {$time($stats->oldestPendingMs)}" : ''),
            "in doubt:    $stats->inDoubt",
            "delivered:   $stats->delivered",
            "rejected:    $stats->rejected",
            "expired:     $stats->expired",
            'paused:      ' . ($stats->pauseReason === null ? 'no' : "{$stats->pauseReason->name} since {$time($stats->pausedSinceMs)}"),
            "sender seen: {$time($stats->senderSeenMs)}",
        ];

        return new self($stats->pauseReason instanceof PauseReason ? self::PAUSED : self::OK, implode("\n", $lines), true);
    }

    /** Whether the text is about a failure, which a scheduler that drops output must not lose. */
    public function isFailure(): bool
    {
        return $this->status !== self::OK;
    }

    private static function ofFailure(MeditopiaException $failure): self
    {
        $left = $failure->report === null ? '' : ' (' . self::told($failure->report) . ')';

        return new self(match (true) {
            $failure instanceof TimedOut => self::EVENTS_LEFT,
            $failure instanceof Paused => self::PAUSED,
            $failure instanceof InvalidConfiguration, $failure instanceof InvalidArgument => self::USAGE,
            default => self::FAILED,
        }, $failure->getMessage() . $left);
    }

    private static function told(Report $report): string
    {
        return "$report->delivered delivered, $report->rejected rejected, $report->expired expired, $report->pending left";
    }
}
