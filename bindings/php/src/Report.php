<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use FFI\CData;

/** What a flush did: counts of events of the whole spool, other processes' included. */
final class Report
{
    public function __construct(
        public readonly int $delivered = 0,
        public readonly int $rejected = 0,
        public readonly int $expired = 0,
        public readonly int $pending = 0,
        public readonly int $inDoubt = 0,
        public readonly ?PauseReason $pauseReason = null,
        /** Milliseconds since 1970; null: it is not paused. */
        public readonly ?int $pausedSinceMs = null,
        /** When a request asks next whether the pause is over; null: only an operator ends it, or it is not paused. */
        public readonly ?int $nextProbeMs = null,
    ) {
    }

    /** @internal what C fills in */
    public static function blank(FFI $library): CData
    {
        $struct = $library->new('meditopia_report');
        $struct->struct_size = FFI::sizeof($struct);

        return $struct;
    }

    /** @internal */
    public static function of(CData $report): self
    {
        return new self(
            $report->delivered,
            $report->rejected,
            $report->expired,
            $report->pending,
            $report->in_doubt,
            PauseReason::of($report->pause_reason),
            $report->paused_since_ms ?: null,
            $report->next_probe_ms ?: null,
        );
    }
}
