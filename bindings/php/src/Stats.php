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
        public readonly int $deliveredRequests,
        public readonly int $tooLargeRequests,
        public readonly int $postponedRequests,
        public readonly int $inDoubtRequests,
        public readonly int $pausingRequests,
        public readonly int $sentBytes,
        public readonly int $pauses,
        /** How long enqueues of this process took, in seconds as the next two. */
        public readonly Histogram $enqueue,
        public readonly Histogram $request,
        /** From the enqueue of an event until the API accepted it. */
        public readonly Histogram $delivery,
        /** When the API last answered, and when it last accepted events. */
        public readonly ?int $answeredMs,
        public readonly ?int $acceptedMs,
        /** The store cannot be read, so its figures are missing: they are 0, whatever they were. */
        public readonly bool $storeUnreadable,
        /** Of the damaged records and lost events: how many no operator has acknowledged. */
        public readonly int $damageUnacknowledged,
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
            $stats->delivered_requests,
            $stats->too_large_requests,
            $stats->postponed_requests,
            $stats->in_doubt_requests,
            $stats->pausing_requests,
            $stats->sent_bytes,
            $stats->pauses,
            Histogram::of($stats->enqueue, Histogram::ENQUEUE_S),
            Histogram::of($stats->request, Histogram::REQUEST_S),
            Histogram::of($stats->delivery, Histogram::DELIVERY_S),
            $time($stats->answered_ms),
            $time($stats->accepted_ms),
            $stats->store_unreadable !== 0,
            $stats->damage_unacknowledged,
        );
    }
}
