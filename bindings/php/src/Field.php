<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use DateTimeInterface;
use Meditopia\PartnerEvents\Exception\InvalidEvent;
use SensitiveParameter;

/**
 * What PHP has becomes the text or the JSON that the library checks. An error names the field and the type.
 *
 * @internal
 */
final class Field
{
    private const INVALID_EVENT = -2;
    /** The bytes are those of Python's `json.dumps(..., ensure_ascii=False, separators=(',', ':'))`. */
    private const JSON = \JSON_THROW_ON_ERROR | \JSON_UNESCAPED_UNICODE | \JSON_UNESCAPED_SLASHES
        | \JSON_UNESCAPED_LINE_TERMINATORS | \JSON_PRESERVE_ZERO_FRACTION;
    /** The library allows 100 levels in an `event_value`, which lies one level deep in the event. */
    private const DEPTH = 102;

    /** `token` or `partner_user_id`: ids are often an int or a UUID. */
    public static function id(string $name, #[SensitiveParameter] mixed $value): string
    {
        return match (true) {
            \is_string($value) => $value,
            \is_int($value) => (string) $value,
            $value instanceof \BackedEnum => (string) $value->value,
            $value instanceof \Stringable => self::textOf($name, $value),
            default => throw self::invalid("$name: " . self::typeOf($value) . ' is no text; give a string, an int or a Stringable'),
        };
    }

    public static function event(mixed $value): string
    {
        return match (true) {
            \is_string($value) => $value,
            // EventType, or an enum of the application with the same values.
            $value instanceof \BackedEnum && \is_string($value->value) => $value->value,
            default => throw self::invalid('event: ' . self::typeOf($value) . ' is no event; give an EventType or its name'),
        };
    }

    /** In UTC, because the offset of an old time may have seconds, which the text has no place for. */
    public static function time(mixed $value): ?string
    {
        return match (true) {
            $value === null, \is_string($value) => $value,
            $value instanceof DateTimeInterface => gmdate('Y-m-d\TH:i:s\Z', $value->getTimestamp()),
            default => throw self::invalid('received_at: ' . self::typeOf($value) . ' is no time; give a DateTimeInterface, a string, or null for now'),
        };
    }

    /** `event_value`: text stays text; the rest becomes JSON. */
    public static function value(mixed $value): mixed
    {
        if ($value instanceof \Stringable && !$value instanceof \JsonSerializable) {
            return self::textOf('event_value', $value);
        }
        self::requireJson($value);

        return $value;
    }

    /** @return array<mixed> */
    public static function eventOf(mixed $event): array
    {
        return \is_array($event) ? $event : throw self::invalid('the event is ' . self::typeOf($event)
            . '; give an array with the keys token, partner_user_id, event, event_value, received_at');
    }

    /**
     * One event as JSON. Members that the library does not know are left for the library to name.
     *
     * @param array<mixed> $event
     */
    public static function json(#[SensitiveParameter] array $event): string
    {
        foreach (['token', 'partner_user_id'] as $name) {
            $event[$name] = self::id($name, $event[$name] ?? null);
        }
        $event['event'] = self::event($event['event'] ?? null);
        if (isset($event['received_at'])) {
            $event['received_at'] = self::time($event['received_at']);
        }
        if (isset($event['event_value']) && !\is_string($event['event_value'])) {
            $event['event_value'] = self::value($event['event_value']);
        }
        try {
            return (string) json_encode($event, self::JSON, self::DEPTH);
        } catch (\Throwable $failure) {
            throw self::unwritable($event, $failure->getMessage());
        }
    }

    public static function invalid(string $message): InvalidEvent
    {
        return new InvalidEvent($message, self::INVALID_EVENT);
    }

    public static function typeOf(mixed $value): string
    {
        return match (true) {
            $value === null => 'null',
            \is_array($value) => 'an array',
            \is_int($value) => 'an int',
            default => 'a ' . get_debug_type($value),
        };
    }

    /** An object that JSON has no form for would be written with whatever properties it has, such as `{}`. */
    private static function requireJson(mixed $value): void
    {
        if (\is_array($value)) {
            array_walk_recursive($value, self::requireJson(...));
        } elseif (!($value === null || \is_scalar($value) || $value instanceof \JsonSerializable || $value instanceof \stdClass || $value instanceof \BackedEnum)) {
            throw self::invalid('event_value: ' . self::typeOf($value) . ' cannot be written as JSON; give text, numbers, arrays or a JsonSerializable');
        }
    }

    private static function textOf(string $name, #[SensitiveParameter] \Stringable $value): string
    {
        try {
            return (string) $value;
        } catch (\Throwable $failure) {
            throw self::invalid("$name: " . self::typeOf($value) . " gave no text: {$failure->getMessage()}");
        }
    }

    /**
     * Names the member that `json_encode` did not write, but not what is in it: it may be a token.
     *
     * @param array<mixed> $event
     */
    private static function unwritable(#[SensitiveParameter] array $event, string $why): InvalidEvent
    {
        // @mago-expect analysis:mixed-assignment - what it is, is the question
        foreach ($event as $name => $value) {
            try {
                json_encode([$name => $value], self::JSON, self::DEPTH);
            } catch (\Throwable $of) {
                $name = preg_match('/^[\x20-\x7e]{1,40}$/D', (string) $name) === 1 ? $name : 'a member whose name is no text';

                return self::invalid("$name: " . self::typeOf($value) . " cannot be written as JSON: {$of->getMessage()}");
            }
        }

        return self::invalid("the event cannot be written as JSON: $why");
    }
}
