<?php

// What an application does: users register, and some transactions fail. The program that starts this compares the
// table of users with the events.

declare(strict_types=1);

function changes(object $outbox, callable $transaction, callable $insert): void
{
    $register = static function (string $user, string $event = 'register') use ($outbox, $insert): void {
        $insert($user);
        $outbox->enqueue("secret-$user", $user, $event, 'a "value"', new DateTimeImmutable('2024-08-06T15:04:05+03:00'));
    };
    $fails = static function (callable $body): Throwable {
        try {
            $body();
        } catch (Throwable $failure) {
            return $failure;
        }
        throw new RuntimeException('it did not fail');
    };

    $transaction(static fn () => $register('committed'));
    $fails(static fn () => $transaction(static function () use ($register): void {
        $register('rolled-back');
        throw new RuntimeException('after the event');
    }));
    $transaction(static function () use ($transaction, $register, $fails): void {
        $register('outer');
        $fails(static fn () => $transaction(static function () use ($register): void {
            $register('inner');
            throw new RuntimeException('only the savepoint');
        }));
    });
    $refused = $fails(static fn () => $transaction(static fn () => $register('refused', 'registr')));
    $said = (string) $refused;
    if (!str_contains($said, 'event: "registr" is not one of register') || str_contains($said, 'secret-refused')) {
        throw new RuntimeException("the refusal says: $said");
    }
    $outside = $fails(static fn () => $outbox->enqueue('t', 'outside', 'video'));
    if (!$outside instanceof LogicException) {
        throw $outside;
    }
    $transaction(static function () use ($outbox, $insert): void {
        $users = ['batch-1', 'batch-2'];
        array_map($insert, $users);
        $outbox->enqueueAll(array_map(static fn (string $user): array => [
            'token' => 't', 'partner_user_id' => $user, 'event' => 'video', 'event_value' => $user === 'batch-1' ? null : 'x',
        ], $users));
    });
}
