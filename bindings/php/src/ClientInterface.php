<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use BackedEnum;
use DateTimeInterface;
use JsonSerializable;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use SensitiveParameter;
use stdClass;
use Stringable;

/**
 * What an application does with its events, to be asked for instead of {@see Client}: a test puts
 * {@see Testing\RecordingClient} in its place, a development machine {@see Client::disabled()}.
 *
 * @phpstan-type Id string|int|BackedEnum|Stringable
 * @phpstan-type EventValue null|string|int|float|bool|array<mixed>|BackedEnum|JsonSerializable|stdClass|Stringable
 * @phpstan-type EventArray array{token: Id, partner_user_id: Id,
 *     event: BackedEnum|string, event_value?: EventValue, received_at?: DateTimeInterface|string|null}
 */
interface ClientInterface
{
    /**
     * Queues one event; it is safe when this returns. Uses no network and waits for no sender.
     *
     * @param Id $token
     * @param Id $partnerUserId
     * @param BackedEnum|string $event an {@see EventType}, an enum of the application with the same values, or its name
     * @param EventValue $eventValue text, or what is sent as JSON
     * @param DateTimeInterface|string|null $receivedAt when it happened; null: now
     *
     * @throws MeditopiaException InvalidEvent if the event breaks a rule, SpoolFull, InputOutput ...
     */
    public function enqueue(
        #[SensitiveParameter] mixed $token,
        mixed $partnerUserId,
        mixed $event,
        mixed $eventValue = null,
        mixed $receivedAt = null,
    ): void;

    /**
     * The same for a web request, which one event must not end: what `enqueue` would throw is logged as an
     * error, and false says that the event was not queued.
     *
     * @param Id|null $token
     * @param Id|null $partnerUserId
     * @param BackedEnum|string|null $event
     * @param EventValue $eventValue
     * @param DateTimeInterface|string|null $receivedAt
     */
    public function tryEnqueue(
        #[SensitiveParameter] mixed $token,
        mixed $partnerUserId,
        mixed $event,
        mixed $eventValue = null,
        mixed $receivedAt = null,
    ): bool;

    /**
     * Queues many events, in chunks of up to 500 that are queued as a whole or not at all. After an error the
     * chunks before it are queued: `$acknowledged` holds how many events that are, so the call can be repeated
     * from there.
     *
     * @param iterable<EventArray> $events
     * @param-out int $acknowledged
     *
     * @return int how many events are queued
     *
     * @throws MeditopiaException with `eventIndex`, the place of the event in `$events`
     */
    public function enqueueMany(#[SensitiveParameter] iterable $events, ?int &$acknowledged = null): int;

    /**
     * Waits until all that was enqueued before, by any process, is delivered or rejected.
     *
     * @throws MeditopiaException Paused or TimedOut, with a `report`
     */
    public function flush(float $timeoutSeconds = 30.0): Report;

    /**
     * Ends the client. A process that ends without it loses nothing.
     *
     * @throws MeditopiaException
     */
    public function close(float $timeoutSeconds = 5.0): void;
}
