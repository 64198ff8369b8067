<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI\CData;

/** An event of a list (rejected, in doubt, pending), with what the API said about it. */
final class StoredEvent
{
    private function __construct(
        public readonly int $id,
        public readonly string $json,
        public readonly Reason $reason,
        public readonly ?string $apiCode,
        public readonly ?string $message,
        public readonly ?int $httpStatus,
        public readonly int $attempts,
        public readonly int $firstMs,
        public readonly int $lastMs,
    ) {
    }

    /** @return array<string, mixed> the event as it goes to the API */
    public function event(): array
    {
        /** @var array<string, mixed> $event */
        $event = json_decode($this->json, true, flags: JSON_THROW_ON_ERROR);

        return $event;
    }

    /** @internal */
    public static function of(CData $row): self
    {
        return new self(
            $row->id,
            (string) $row->event_json,
            Reason::tryFrom($row->reason) ?? Reason::Unknown,
            ((string) $row->api_code) ?: null,
            ((string) $row->message) ?: null,
            $row->http_status ?: null,
            $row->attempts,
            $row->first_ms,
            $row->last_ms,
        );
    }
}
