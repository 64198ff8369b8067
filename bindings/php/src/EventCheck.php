<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use Meditopia\PartnerEvents\Exception\MeditopiaException;
use SensitiveParameter;

/**
 * The rules of an event, for where there is no library: {@see Client::disabled()} and the recording client of
 * tests. The library has the last word; a test compares both on the same events.
 *
 * @internal
 *
 * @phpstan-type CheckedEvent array{token: string, partner_user_id: string, event: string, event_value: mixed, received_at: ?string}
 */
final class EventCheck
{
    private const MAX_BYTES = 65_536;
    private const TIME = '/^(\d{4})-(\d\d)-(\d\d)(?: |[Tt])(\d\d):(\d\d):(\d\d)(?:\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?$/D';

    /**
     * The event as the library would take it.
     *
     * @param array<mixed> $event
     *
     * @return CheckedEvent
     */
    public static function of(#[SensitiveParameter] array $event): array
    {
        foreach (array_keys($event) as $member) {
            if (!\in_array($member, ['token', 'partner_user_id', 'event', 'event_value', 'received_at'], true)) {
                throw Field::invalid("\"$member\" is no member of an event");
            }
        }
        $checked = [
            'token' => Field::id('token', $event['token'] ?? null),
            'partner_user_id' => Field::id('partner_user_id', $event['partner_user_id'] ?? null),
            'event' => Field::event($event['event'] ?? null),
            'event_value' => Field::value($event['event_value'] ?? null),
            'received_at' => Field::time($event['received_at'] ?? null),
        ];
        foreach (['token', 'partner_user_id'] as $name) {
            if ($checked[$name] === '') {
                throw Field::invalid("$name: is empty");
            }
        }
        if (EventType::tryFrom($checked['event']) === null) {
            $known = implode(', ', array_map(static fn (EventType $type): string => $type->value, EventType::cases()));
            throw Field::invalid('event: ' . json_encode($checked['event'], \JSON_INVALID_UTF8_SUBSTITUTE | \JSON_THROW_ON_ERROR) . " is not one of $known");
        }
        $bytes = \strlen(Field::json($checked));
        if ($bytes > self::MAX_BYTES) {
            throw Field::invalid("the event takes $bytes bytes or more; max_event_bytes is " . self::MAX_BYTES);
        }
        if ($checked['received_at'] !== null) {
            self::requireTime($checked['received_at']);
        }

        return $checked;
    }

    /**
     * Each of many events, in the chunks of {@see Client::enqueueMany()}: of a chunk all are kept or none.
     *
     * @param iterable<mixed> $events
     * @param callable(CheckedEvent): void $keep
     * @param-out int $kept
     */
    public static function each(#[SensitiveParameter] iterable $events, callable $keep, ?int &$kept = null): int
    {
        $kept = 0;
        $chunk = [];
        // @mago-expect analysis:mixed-assignment - it is checked here
        foreach ($events as $event) {
            try {
                $chunk[] = self::of(Field::eventOf($event));
            } catch (MeditopiaException $failure) {
                throw $failure->at($kept + \count($chunk), $kept);
            }
            if (\count($chunk) === Client::CHUNK_EVENTS) {
                array_map($keep, $chunk);
                $kept += \count($chunk);
                $chunk = [];
            }
        }
        array_map($keep, $chunk);

        return $kept += \count($chunk);
    }

    private static function requireTime(string $time): void
    {
        $parts = [];
        $is = preg_match(self::TIME, $time, $parts) === 1;
        /** @var array{string, string, string, string, string, string, string, 7?: string} $parts */
        // The API's own form has no offset; any other has to have one.
        $is = $is && (($parts[7] ?? '') !== '' || ($time[10] === ' ' && \strlen($time) === 19));
        if (!$is || !checkdate((int) $parts[2], (int) $parts[3], (int) $parts[1] ?: 2000) || $parts[4] > 23 || $parts[5] > 59 || $parts[6] > 59) {
            throw Field::invalid('received_at: ' . json_encode($time, \JSON_INVALID_UTF8_SUBSTITUTE | \JSON_THROW_ON_ERROR)
                . ' is no time; give YYYY-MM-DD HH:MM:SS, or RFC 3339 with an offset');
        }
    }
}
