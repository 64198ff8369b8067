<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use DateTimeInterface;
use FFI;
use FFI\CData;
use Meditopia\PartnerEvents\Exception\MeditopiaException;

/**
 * What an operator does with a spool: looks at the events of each kind, sends rejected ones again or forgets
 * them, holds and resumes. A change waits until the sender has taken the order, at most five seconds.
 *
 * A list is read page by page while it is walked, and may be walked once.
 */
final class Operator
{
    use NotCopied;

    private readonly CData $error;

    /** @internal ask `Client::operator()`, which stays alive as long as this */
    // @mago-expect analysis:unused-property - it is held, and not used
    public function __construct(private readonly Client $owner, private readonly Handle $client)
    {
        $this->error = $client->native()->library->new('meditopia_error');
    }

    /** @return iterable<StoredEvent> the rejected, expired and set aside, oldest first; they stay */
    public function rejected(?Filter $filter = null): iterable
    {
        [$struct, $texts] = $this->filter($filter);

        return $this->events('meditopia_rejected_find', FFI::addr($struct));
    }

    /** @return iterable<StoredEvent> what was sent while no answer has settled whether it arrived */
    public function inDoubt(int $afterId = 0): iterable
    {
        return $this->events('meditopia_in_doubt_open', $afterId);
    }

    /**
     * What waits: first what a sender has taken over, then what none has yet. With a user each page may read
     * all that waits.
     *
     * @return iterable<StoredEvent>
     */
    public function pending(?string $partnerUserId = null, int $afterId = 0): iterable
    {
        return $this->events('meditopia_pending_open', Filter::requireText('partnerUserId', $partnerUserId), $afterId);
    }

    /** @return iterable<Receipt> the requests that the API accepted, oldest first: "where are this user's events?" */
    public function receipts(
        ?string $partnerUserId = null,
        ?DateTimeInterface $from = null,
        ?DateTimeInterface $until = null,
        int $afterId = 0,
    ): iterable {
        $cursor = $this->opened(
            'receipts',
            'meditopia_receipts_open',
            Filter::requireText('partnerUserId', $partnerUserId),
            Filter::from($from),
            Filter::until($until),
            $afterId,
        );

        return $this->rows($cursor, Receipt::of(...));
    }

    /** Sends rejected events again, after what is pending. Tells how many were there. */
    public function requeue(int ...$ids): int
    {
        return $this->change('meditopia_rejected_requeue', $ids);
    }

    /** The same with all that the filter takes. */
    public function requeueMatching(Filter $filter): int
    {
        return $this->changeMatching('meditopia_rejected_requeue_matching', $filter);
    }

    /** Forgets rejected events for ever. Tells how many were there. */
    public function discard(int ...$ids): int
    {
        return $this->change('meditopia_rejected_discard', $ids);
    }

    /** The same with all that the filter takes. */
    public function discardMatching(Filter $filter): int
    {
        return $this->changeMatching('meditopia_rejected_discard_matching', $filter);
    }

    /** Writes rejected events to a new file, a JSON object a line; they stay in the list. Tells how many. */
    public function export(string $path, ?Filter $filter = null): int
    {
        [$struct, $texts] = $this->filter($filter);
        $written = $this->client->native()->library->new('size_t');
        $this->call('meditopia_rejected_export', FFI::addr($struct), Filter::requireText('path', $path), FFI::addr($written));

        return $written->cdata;
    }

    /** Takes events in doubt out of their batch, into the list of the rejected. */
    public function setAside(int ...$ids): int
    {
        return $this->change('meditopia_in_doubt_set_aside', $ids);
    }

    /**
     * Erases the user's events that were enqueued before and are not delivered, and the user's receipts, for good.
     * An event that is enqueued during the call may be erased or stay.
     * What a request has that is under way cannot be taken back: the call waits for it, and counts what is left.
     */
    public function forgetUser(string $partnerUserId, float $timeoutSeconds = 30.0): Erasure
    {
        $erasure = Erasure::blank($this->client->native()->library);
        $milliseconds = (int) max(0, min(0xffffffff, round($timeoutSeconds * 1000)));
        $this->call(
            'meditopia_forget_user',
            Filter::requireText('partnerUserId', $partnerUserId),
            $milliseconds,
            FFI::addr($erasure),
        );

        return Erasure::of($erasure);
    }

    /** Stops sending in every process until `resume`; enqueue goes on. */
    public function hold(): void
    {
        $this->call('meditopia_hold');
    }

    /** Ends a hold or a pause: the sender tries again at once. */
    public function resume(): void
    {
        $this->call('meditopia_resume');
    }

    /** @return array{CData, list<CData>} */
    private function filter(?Filter $filter): array
    {
        return ($filter ?? new Filter())->native($this->client->native()->library);
    }

    /** @return \Generator<int, StoredEvent> */
    private function events(string $open, mixed ...$which): \Generator
    {
        return $this->rows($this->opened('cursor', $open, ...$which), StoredEvent::of(...));
    }

    private function opened(string $list, string $open, mixed ...$which): Cursor
    {
        $library = $this->client->native()->library;
        $cursor = $library->new($list === 'cursor' ? 'meditopia_cursor *' : 'meditopia_receipts *');
        $this->call($open, ...[...$which, FFI::addr($cursor)]);

        return new Cursor($library, $cursor, $list, $list === 'cursor' ? 'meditopia_row' : 'meditopia_receipt');
    }

    /**
     * @template T
     *
     * @param \Closure(CData): T $of
     *
     * @return \Generator<int, T>
     */
    private function rows(Cursor $cursor, \Closure $of): \Generator
    {
        while (($status = $cursor->next(FFI::addr($this->error))) === 0) {
            yield $of($cursor->row);
        }
        $this->succeed($status);
    }

    /** @param array<int> $ids */
    private function change(string $function, array $ids): int
    {
        if ($ids === []) {
            return 0;
        }
        $library = $this->client->native()->library;
        $list = $library->new('int64_t[' . \count($ids) . ']');
        foreach (array_values($ids) as $index => $id) {
            $list[$index] = $id;
        }
        $changed = $library->new('size_t');
        $this->call($function, $list, \count($ids), FFI::addr($changed));

        return $changed->cdata;
    }

    private function changeMatching(string $function, Filter $filter): int
    {
        [$struct, $texts] = $this->filter($filter);
        $changed = $this->client->native()->library->new('size_t');
        $this->call($function, FFI::addr($struct), FFI::addr($changed));

        return $changed->cdata;
    }

    /** @param mixed ...$arguments what is between the client and the error */
    private function call(string $function, mixed ...$arguments): void
    {
        $native = $this->client->native();
        // @mago-expect analysis:string-member-selector,mixed-argument - of many functions, all of which answer with a status
        $this->succeed($native->library->$function($native->pointer, ...[...$arguments, FFI::addr($this->error)]));
    }

    private function succeed(int $status): void
    {
        if ($status < 0) {
            throw MeditopiaException::of($status, $this->error);
        }
    }
}
