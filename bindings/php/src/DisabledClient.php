<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use Meditopia\PartnerEvents\Exception\MeditopiaException;
use Psr\Log\LoggerInterface;
use SensitiveParameter;

/**
 * Checks events and keeps none.
 *
 * @internal {@see Client::disabled()} makes it
 */
final class DisabledClient implements ClientInterface
{
    private bool $told = false;

    public function __construct(private readonly ?LoggerInterface $logger)
    {
    }

    public function enqueue(
        #[SensitiveParameter] mixed $token,
        mixed $partnerUserId,
        mixed $event,
        mixed $eventValue = null,
        mixed $receivedAt = null,
    ): void {
        EventCheck::of([
            'token' => $token, 'partner_user_id' => $partnerUserId, 'event' => $event,
            'event_value' => $eventValue, 'received_at' => $receivedAt,
        ]);
        $this->tellOnce();
    }

    public function tryEnqueue(
        #[SensitiveParameter] mixed $token,
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
            $this->say('error', "an event was not queued: {$failure->getMessage()}");

            return false;
        }
    }

    public function enqueueMany(#[SensitiveParameter] iterable $events, ?int &$acknowledged = null): int
    {
        EventCheck::each($events, static function (): void {
        }, $acknowledged);
        $this->tellOnce();

        return $acknowledged;
    }

    public function flush(float $timeoutSeconds = 30.0): Report
    {
        return new Report();
    }

    public function close(float $timeoutSeconds = 5.0): void
    {
    }

    private function tellOnce(): void
    {
        if (!$this->told) {
            $this->told = true;
            $this->say('warning', 'this client is disabled: events are checked, and neither kept nor delivered');
        }
    }

    private function say(string $level, string $message): void
    {
        try {
            if ($this->logger === null) {
                ErrorLog::write("meditopia: $message");
            } else {
                $this->logger->log($level, "meditopia: $message");
            }
        } catch (\Throwable) {
            // As with a client that is not disabled, a logger that fails ends nothing.
        }
    }
}
