<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use FFI\CData;
use Meditopia\PartnerEvents\Exception\InvalidArgument;
use Meditopia\PartnerEvents\Exception\MeditopiaException;

/**
 * What an operator does with a spool: looks at the rejected and the doubtful events, sends them again or
 * forgets them, holds and resumes. A change waits until the sender has taken the order, at most five seconds.
 */
final class Operator
{
    private readonly CData $error;

    /** @internal ask `Client::operator()`, which stays alive as long as this */
    public function __construct(
        private readonly Client $owner,
        private readonly FFI $library,
        private readonly CData $client,
    ) {
        $this->error = $library->new('meditopia_error');
    }

    /** @return iterable<StoredEvent> the rejected, expired and set aside, oldest first; they stay */
    public function rejected(?string $partnerUserId = null, ?string $apiCode = null, int $afterId = 0): iterable
    {
        foreach (['partnerUserId' => $partnerUserId, 'apiCode' => $apiCode] as $name => $text) {
            // C would compare with what stands before it.
            if ($text !== null && str_contains($text, "\0")) {
                throw new InvalidArgument("$name: a NUL byte stands in it", -1);
            }
        }
        $cursor = $this->library->new('meditopia_cursor *');
        $this->succeed($this->library->meditopia_rejected_open(
            $this->client, $partnerUserId, $apiCode, $afterId, FFI::addr($cursor), FFI::addr($this->error),
        ));

        return $this->rows($cursor);
    }

    /** @return iterable<StoredEvent> what was sent while no answer has settled whether it arrived */
    public function inDoubt(int $afterId = 0): iterable
    {
        $cursor = $this->library->new('meditopia_cursor *');
        $this->succeed($this->library->meditopia_in_doubt_open(
            $this->client, $afterId, FFI::addr($cursor), FFI::addr($this->error),
        ));

        return $this->rows($cursor);
    }

    /** Sends rejected events again, after what is pending. Tells how many were there. */
    public function requeue(int ...$ids): int
    {
        return $this->change('meditopia_rejected_requeue', $ids);
    }

    /** Forgets rejected events for ever. Tells how many were there. */
    public function discard(int ...$ids): int
    {
        return $this->change('meditopia_rejected_discard', $ids);
    }

    /** Takes events in doubt out of their batch, into the list of the rejected. */
    public function setAside(int ...$ids): int
    {
        return $this->change('meditopia_in_doubt_set_aside', $ids);
    }

    /** Stops sending in every process until `resume`; enqueue goes on. */
    public function hold(): void
    {
        $this->succeed($this->library->meditopia_hold($this->client, FFI::addr($this->error)));
    }

    /** Ends a hold or a pause: the sender tries again at once. */
    public function resume(): void
    {
        $this->succeed($this->library->meditopia_resume($this->client, FFI::addr($this->error)));
    }

    /** @return \Generator<StoredEvent> */
    private function rows(CData $cursor): \Generator
    {
        // Freed also where nobody asks for the first row.
        $held = new Cursor($this->library, $cursor);

        return (function () use ($held): \Generator {
            while (($status = $held->next(FFI::addr($this->error))) === 0) {
                yield StoredEvent::of($held->row);
            }
            $this->succeed($status);
        })();
    }

    /** @param int[] $ids */
    private function change(string $function, array $ids): int
    {
        if ($ids === []) {
            return 0;
        }
        $list = $this->library->new('int64_t[' . \count($ids) . ']');
        foreach (array_values($ids) as $index => $id) {
            $list[$index] = $id;
        }
        $changed = $this->library->new('size_t');
        $this->succeed($this->library->$function(
            $this->client, $list, \count($ids), FFI::addr($changed), FFI::addr($this->error),
        ));

        return $changed->cdata;
    }

    private function succeed(int $status): void
    {
        if ($status < 0) {
            throw MeditopiaException::of($status, $this->error);
        }
    }
}
