<?php

// An outbox for Symfony with Doctrine and PostgreSQL: an event is queued in the transaction of its change.
//
// Copy this class into your application; Symfony injects the connection. It needs neither FFI nor the library, and no
// disk: `meditopia.enqueue` is a function of the database (docs/fleet.md). The database user of the application needs
// the role meditopia_enqueue. With the ORM, `$entityManager->wrapInTransaction()` is the same transaction.
//
//     $connection->transactional(function () use ($connection, $outbox, $user) {
//         $connection->insert('shop_user', ['id' => $user->id]);
//         $outbox->enqueue($user->token, $user->id, 'register');
//     });

declare(strict_types=1);

namespace App\Meditopia;

use DateTimeInterface;
use Doctrine\DBAL\Connection;
use LogicException;

final class SymfonyOutbox
{
    public function __construct(private readonly Connection $database)
    {
    }

    /** Queues an event: delivered if the transaction is committed, and never known if it is rolled back. */
    public function enqueue(
        string $token,
        string $partnerUserId,
        string $event,
        ?string $eventValue = null,
        ?DateTimeInterface $receivedAt = null,
    ): void {
        $this->call('meditopia.enqueue(?, ?, ?, ?, ?)', [
            $token, $partnerUserId, $event, $eventValue, $receivedAt?->format(DATE_RFC3339),
        ]);
    }

    /**
     * Queues many events in one statement, all or none.
     *
     * @param list<array{token: string, partner_user_id: string, event: string, event_value?: ?string}> $events
     */
    public function enqueueAll(array $events): void
    {
        $columns = 'token text, partner_user_id text, event text, event_value text';
        $this->call(
            "meditopia.enqueue_batch(array_agg(token), array_agg(partner_user_id), array_agg(event), array_agg(event_value))
             from json_to_recordset(?) as e($columns)",
            [json_encode($events, JSON_THROW_ON_ERROR)],
        );
    }

    private function call(string $function, array $values): void
    {
        if (!$this->database->isTransactionActive()) {
            throw new LogicException('an event belongs into the transaction of its change: call this within transactional()');
        }
        $this->database->executeStatement("select $function", $values);
    }
}
