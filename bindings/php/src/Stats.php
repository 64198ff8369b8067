<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use FFI\CData;

/** Counters and states of a spool, all its processes together. Times are milliseconds since 1970; null: none. */
final class Stats
{
    private function __construct(
        public readonly int $enqueued,
        public readonly int $delivered,
        public readonly int $rejected,
        public readonly int $expired,
        public readonly int $pending,
        public readonly int $inDoubt,
        public readonly int $requests,
        public readonly int $retriedRequests,
        public readonly int $refusedRequests,
        public readonly int $isolationRequests,
        public readonly int $journalBytes,
        public readonly int $segments,
        public readonly int $damagedRecords,
        public readonly int $tornTails,
        public readonly int $lost,
        public readonly ?PauseReason $pauseReason,
        public readonly ?int $pausedSinceMs,
        public readonly ?int $nextProbeMs,
        public readonly ?int $oldestPendingMs,
        public readonly ?int $senderSeenMs,
        public readonly ?int $senderPid,
    ) {
    }

    /** @internal what C fills in */
    public static function blank(FFI $library): CData
    {
        $struct = $library->new('meditopia_stats');
        $struct->struct_size = FFI::sizeof($struct);

        return $struct;
    }

    /** @internal */
    public static function of(CData $stats): self
    {
        $time = static fn (int $value): ?int => $value < 0 ? null : $value;

        return new self(
            $stats->enqueued,
            $stats->delivered,
            $stats->rejected,
            $stats->expired,
            $stats->pending,
            $stats->in_doubt,
            $stats->requests,
            $stats->retried_requests,
            $stats->refused_requests,
            $stats->isolation_requests,
            $stats->journal_bytes,
            $stats->segments,
            $stats->damaged_records,
            $stats->torn_tails,
            $stats->lost,
            PauseReason::of($stats->pause_reason),
            $time($stats->paused_since_ms),
            $time($stats->next_probe_ms),
            $time($stats->oldest_pending_ms),
            $time($stats->sender_seen_ms),
            $time($stats->sender_pid),
        );
    }
}
