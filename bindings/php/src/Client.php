<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use DateTimeInterface;
use FFI;
use FFI\CData;
use Meditopia\PartnerEvents\Exception\InvalidArgument;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use Psr\Log\LoggerInterface;
use SensitiveParameter;
use Throwable;

/**
 * A spool that events are put into. An event is on disk when `enqueue` returns; another process delivers
 * it, `vendor/bin/meditopia-flush` or the daemon, unless `role` is `both`.
 *
 * A client may be made for each request: what it opens stays with the worker process, so that only the
 * first request of a worker opens files. Its destructor waits for nothing.
 */
final class Client
{
    private const CHUNK_EVENTS = 500;
    private const CHUNK_BYTES = 1 << 20;

    private readonly FFI $library;
    private readonly CData $error;
    /** Made once: it stands in every call. */
    private readonly CData $errorAt;
    private readonly Log $log;
    private ?CData $client = null;
    private bool $enqueued = false;

    /**
     * @param array<string, string|int|bool|null> $options keys of the library's README; `role` is `enqueue`
     *                                                     unless it is given. null leaves a default
     * @param ?LoggerInterface $logger gets the library's log; without one only that nobody sends is told, to
     *                                 PHP's own error log
     * @param ?string $library the shared library, where it does not lie in one of the usual places
     */
    public function __construct(
        #[SensitiveParameter] array $options,
        ?LoggerInterface $logger = null,
        ?string $library = null,
    ) {
        $this->library = Library::get($library);
        $this->error = $this->library->new('meditopia_error');
        $this->errorAt = FFI::addr($this->error);
        $options += ['role' => 'enqueue'];
        $config = new Configuration($this->library);
        $config->set($options);
        $client = $this->library->new('meditopia_client *');
        $this->succeed($this->library->meditopia_client_open($config->options, FFI::addr($client), $this->errorAt));
        $this->client = $client;
        $this->log = new Log($this->library, $client, $logger, Absence::of($options));
        $this->log->poll();
    }

    /**
     * Takes every MEDITOPIA_* variable of $_ENV, $_SERVER and the process; `$options` win.
     *
     * @param array<string, string|int|bool|null> $options
     */
    public static function fromEnvironment(
        #[SensitiveParameter] array $options = [],
        ?LoggerInterface $logger = null,
        ?string $library = null,
    ): self {
        $given = array_filter($options, static fn (mixed $value): bool => $value !== null);
        [$known, $unknown] = (new Configuration(Library::get($library)))->sort(Environment::options());
        $client = new self($given + $known, $logger, $library);
        $client->log->tellOnce($unknown);

        return $client;
    }

    public function __destruct()
    {
        if ($this->client === null) {
            return;
        }
        try {
            $this->log->end($this->enqueued);
        } catch (Throwable) {
            // A logger that fails must not end the request that has just been served.
        }
        $this->library->meditopia_client_free($this->client);
        $this->client = null;
    }

    public function __clone()
    {
        throw new \LogicException('a client cannot be cloned: make another one of the same options');
    }

    public function __serialize(): array
    {
        throw new \LogicException('a client cannot be serialized: give its options to whoever needs one');
    }

    /** What a dump shows: nothing that could be a secret. */
    public function __debugInfo(): array
    {
        return ['open' => $this->client !== null];
    }

    /**
     * Queues one event; it is safe when this returns. Uses no network and waits for no sender.
     *
     * @param ?DateTimeInterface $receivedAt when it happened; null: now
     */
    public function enqueue(
        string $token,
        string $partnerUserId,
        EventType $event,
        ?string $eventValue = null,
        ?DateTimeInterface $receivedAt = null,
    ): void {
        $name = $event->value;
        $at = $receivedAt?->format(DateTimeInterface::RFC3339);
        $status = $this->library->meditopia_enqueue_n(
            $this->client,
            $token,
            \strlen($token),
            $partnerUserId,
            \strlen($partnerUserId),
            $name,
            \strlen($name),
            $eventValue,
            $eventValue === null ? 0 : \strlen($eventValue),
            $at,
            $at === null ? 0 : \strlen($at),
            $this->errorAt,
        );
        if ($status < 0) {
            throw MeditopiaException::of($status, $this->error);
        }
        $this->enqueued = true;
    }

    /**
     * Queues many events, in chunks of up to 500 that are queued as a whole or not at all. After an error the
     * chunks before it are queued: `$acknowledged` holds how many events that are.
     *
     * @param iterable<array{token: string, partner_user_id: string, event: EventType|string,
     *                       event_value?: ?string, received_at?: DateTimeInterface|string|null}> $events
     */
    public function enqueueMany(iterable $events, ?int &$acknowledged = null): int
    {
        $acknowledged = 0;
        [$chunk, $bytes] = [[], 0];
        foreach ($events as $event) {
            $json = self::json($event, $acknowledged + \count($chunk));
            $chunk[] = $json;
            $bytes += \strlen($json);
            if (\count($chunk) === self::CHUNK_EVENTS || $bytes >= self::CHUNK_BYTES) {
                $acknowledged += $this->enqueueChunk($chunk, $acknowledged);
                [$chunk, $bytes] = [[], 0];
            }
        }

        return $acknowledged += $chunk === [] ? 0 : $this->enqueueChunk($chunk, $acknowledged);
    }

    /**
     * Waits until all that was enqueued before, by any process, is delivered or rejected. Sends itself if
     * nobody else does, whatever its role. If delivery is paused it tries again first: with one request, at
     * most every 30 s. An exception of it has the report, too.
     */
    public function flush(float $timeoutSeconds = 30.0): Report
    {
        $report = Report::blank($this->library);
        $status = $this->library->meditopia_flush(
            $this->client, self::milliseconds($timeoutSeconds), FFI::addr($report), $this->errorAt,
        );
        $told = Report::of($report);
        // Before the log is polled: a logger that uses a client of its own must not change it.
        $failure = $status < 0 ? MeditopiaException::of($status, $this->error, $told) : null;
        $this->log->poll();

        return $failure === null ? $told : throw $failure;
    }

    /**
     * Ends the client. With `role` `both` it delivers what waits, within the time; with `enqueue` it sends
     * nothing. A process that ends without it loses nothing.
     */
    public function close(float $timeoutSeconds = 5.0): void
    {
        $this->log->end($this->enqueued);
        // No report: to count what waits it reads all that no sender has taken over.
        $this->succeed($this->library->meditopia_client_close(
            $this->client, self::milliseconds($timeoutSeconds), null, $this->errorAt,
        ));
        $this->enqueued = false;
    }

    /** Counters and states. It reads all that no sender has taken over, so it takes longer the more that is. */
    public function stats(): Stats
    {
        $stats = Stats::blank($this->library);
        $this->succeed($this->library->meditopia_get_stats($this->client, FFI::addr($stats), $this->errorAt));

        return Stats::of($stats);
    }

    /** The same as text for Prometheus to scrape. */
    public function prometheus(): string
    {
        $text = $this->library->new('meditopia_text *');
        $this->succeed($this->library->meditopia_stats_text(
            $this->client, $this->library->MEDITOPIA_FORMAT_PROMETHEUS, FFI::addr($text), $this->errorAt,
        ));
        // PHP makes a string of a `const char *` by itself.
        $copy = $this->library->meditopia_text_data($text);
        $this->library->meditopia_text_free($text);

        return $copy;
    }

    /** What an operator does with the spool: the rejected and the doubtful events, hold and resume. */
    public function operator(): Operator
    {
        return new Operator($this, $this->library, $this->client);
    }

    /** Replaces the bearer token of this process, and ends a pause for a refused one. */
    public function setBearerToken(#[SensitiveParameter] string $token): void
    {
        if (str_contains($token, "\0")) {
            throw new InvalidArgument('the bearer token has a NUL byte in it', -1);
        }
        $this->succeed($this->library->meditopia_set_bearer_token($this->client, $token, $this->errorAt));
    }

    /** Hands what the library has logged since the last time to the logger, in a process that lives long. */
    public function pollLog(): void
    {
        $this->log->poll();
    }

    /** @param string[] $chunk */
    private function enqueueChunk(array $chunk, int $firstIndex): int
    {
        $json = '[' . implode(',', $chunk) . ']';
        $accepted = $this->library->new('size_t');
        $status = $this->library->meditopia_enqueue_json(
            $this->client, $json, \strlen($json), FFI::addr($accepted), $this->errorAt,
        );
        if ($status < 0) {
            throw MeditopiaException::of($status, $this->error, null, $firstIndex);
        }
        $this->enqueued = true;

        return $accepted->cdata;
    }

    private static function json(array $event, int $index): string
    {
        $at = $event['received_at'] ?? null;
        if ($at instanceof DateTimeInterface) {
            $event['received_at'] = $at->format(DateTimeInterface::RFC3339);
        }
        try {
            return json_encode($event, \JSON_THROW_ON_ERROR | \JSON_UNESCAPED_UNICODE | \JSON_UNESCAPED_SLASHES);
        } catch (\JsonException $failure) {
            throw new InvalidArgument("event $index: {$failure->getMessage()}", -1, eventIndex: $index);
        }
    }

    private function succeed(int $status): void
    {
        if ($status < 0) {
            throw MeditopiaException::of($status, $this->error);
        }
    }

    private static function milliseconds(float $seconds): int
    {
        return (int) max(0, min(0xffffffff, round($seconds * 1000)));
    }
}
