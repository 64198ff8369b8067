<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI\CData;

/** A request that the API accepted: when it arrived, and whose events it carried. */
final class Receipt
{
    /** @param list<array{partner_user_id: string, events: array<string, int>}> $perUser how many events of each kind, by user */
    private function __construct(
        public readonly int $id,
        /** When the answer came, milliseconds since 1970. */
        public readonly int $timeMs,
        public readonly int $httpStatus,
        /** How many requests carried the batch; more than 1 if no answer settled an earlier one. */
        public readonly int $attempts,
        public readonly int $events,
        public readonly int $registerEvents,
        public readonly int $signinEvents,
        public readonly int $audioEvents,
        public readonly int $videoEvents,
        public readonly int $contentEvents,
        /** How many different users. */
        public readonly int $users,
        public readonly array $perUser,
    ) {
    }

    /** @internal */
    public static function of(CData $row): self
    {
        /** @var list<array{partner_user_id: string, events: array<string, int>}> $perUser */
        $perUser = json_decode((string) $row->users_json, true, flags: JSON_THROW_ON_ERROR);

        return new self(
            $row->id,
            $row->time_ms,
            $row->http_status,
            $row->attempts,
            $row->events,
            $row->register_events,
            $row->signin_events,
            $row->audio_events,
            $row->video_events,
            $row->content_events,
            $row->users,
            $perUser,
        );
    }
}
