<?php

// An outbox for Laravel with PostgreSQL: an event is queued in the transaction of the change that it is about.
//
// Copy this class into your application. It needs neither FFI nor the library, and no disk: `meditopia.enqueue` is a
// function of the database (docs/fleet.md). The database user of the application needs the role meditopia_enqueue.
//
//     DB::transaction(function () use ($outbox, $user) {
//         $user->save();
//         $outbox->enqueue($user->token, $user->id, 'register');
//     });

declare(strict_types=1);

namespace App\Meditopia;

use DateTimeInterface;
use Illuminate\Database\ConnectionInterface;
use Illuminate\Database\QueryException;
use LogicException;
use RuntimeException;

final class LaravelOutbox
{
    public function __construct(private readonly ConnectionInterface $database)
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
        if ($this->database->transactionLevel() === 0) {
            throw new LogicException('an event belongs into the transaction of its change: call this within DB::transaction');
        }
        try {
            // Not select(): that may go to a replica.
            $this->database->statement("select $function", $values);
        } catch (QueryException $refused) {
            // Its message has the values, and the token is a secret of the user.
            throw new RuntimeException($refused->getPrevious()?->getMessage() ?? 'the event was not queued');
        }
    }
}
