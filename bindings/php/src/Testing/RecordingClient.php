<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Testing;

use Meditopia\PartnerEvents\ClientInterface;
use Meditopia\PartnerEvents\EventCheck;
use Meditopia\PartnerEvents\Exception\Closed;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use Meditopia\PartnerEvents\Report;

/**
 * A client for the tests of an application: checks each event as the library does, and keeps them for the test
 * to look at. Needs neither a spool nor the library nor FFI.
 *
 * @phpstan-import-type CheckedEvent from EventCheck as RecordedEvent
 */
final class RecordingClient implements ClientInterface
{
    /** @var list<RecordedEvent> what was enqueued, in this order */
    public array $events = [];
    /** @var list<MeditopiaException> what `tryEnqueue` did not throw */
    public array $failures = [];
    public bool $closed = false;
    private ?MeditopiaException $failure = null;

    /** From now on each enqueue fails so; null: it does not. */
    public function failWith(?MeditopiaException $failure): void
    {
        $this->failure = $failure;
    }

    /** @return list<RecordedEvent> the events of this user */
    public function eventsOf(string $partnerUserId): array
    {
        return array_values(array_filter($this->events, /** @param RecordedEvent $event */ static fn (array $event): bool => $event['partner_user_id'] === $partnerUserId));
    }

    public function enqueue(
        mixed $token,
        mixed $partnerUserId,
        mixed $event,
        mixed $eventValue = null,
        mixed $receivedAt = null,
    ): void {
        $this->requireOpen();
        $this->events[] = EventCheck::of([
            'token' => $token, 'partner_user_id' => $partnerUserId, 'event' => $event,
            'event_value' => $eventValue, 'received_at' => $receivedAt,
        ]);
    }

    public function tryEnqueue(
        mixed $token,
        mixed $partnerUserId,
        mixed $event,
        mixed $eventValue = null,
        mixed $receivedAt = null,
    ): bool {
        try {
            // @mago-expect analysis:possibly-null-argument,possibly-null-argument,possibly-null-argument - null is told like any wrong value
            $this->enqueue($token, $partnerUserId, $event, $eventValue, $receivedAt);

            return true;
        } catch (MeditopiaException $failure) {
            $this->failures[] = $failure;

            return false;
        }
    }

    public function enqueueMany(iterable $events, ?int &$acknowledged = null): int
    {
        $this->requireOpen();
        $acknowledged = 0;
        EventCheck::each($events, /** @param RecordedEvent $event */ function (array $event): void {
            $this->events[] = $event;
        }, $acknowledged);

        return $acknowledged;
    }

    public function flush(float $timeoutSeconds = 30.0): Report
    {
        $this->requireOpen();

        return new Report(delivered: \count($this->events));
    }

    public function close(float $timeoutSeconds = 5.0): void
    {
        $this->closed = true;
    }

    private function requireOpen(): void
    {
        if ($this->failure !== null) {
            throw $this->failure;
        }
        if ($this->closed) {
            throw new Closed('the client is closed', -10);
        }
    }
}
