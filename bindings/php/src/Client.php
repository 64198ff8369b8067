<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
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
 *
 * @phpstan-import-type EventArray from ClientInterface
 */
final class Client implements ClientInterface
{
    use NotCopied;

    /** @internal */
    public const CHUNK_EVENTS = 500;
    private const CHUNK_BYTES = 1 << 20;
    /** How often a process that lives long hands on the log and asks for the sender. */
    private const WATCH_NS = 60_000_000_000;

    private readonly Handle $handle;
    private readonly Log $log;
    private bool $enqueued = false;
    private int $watchAt;

    /**
     * @param array<string, string|int|bool|null> $options keys of the library's README; `role` is `enqueue`
     *                                                     unless it is given. null leaves a default
     * @param ?LoggerInterface $logger gets the library's log; without one only events that `tryEnqueue` lost
     *                                 and that nobody sends are told, to PHP's own error log
     * @param ?string $library the shared library, where it does not lie in one of the usual places
     */
    public function __construct(
        #[SensitiveParameter] array $options,
        ?LoggerInterface $logger = null,
        ?string $library = null,
    ) {
        $options += ['role' => 'enqueue'];
        $this->handle = new Handle(Configuration::open(Library::get($library), $options), 'meditopia_client_free', $this);
        $this->log = new Log($this->handle, $logger, Absence::of($this->handle, $options));
        $this->watchAt = (int) hrtime(true) + self::WATCH_NS;
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
        // @mago-expect analysis:redundant-comparison - an option may be null
        $given = array_filter($options, static fn (mixed $value): bool => $value !== null);
        [$known, $unknown] = Configuration::sort(Library::get($library), Environment::options());
        $client = new self($given + $known, $logger, $library);
        $client->log->tellOnce($unknown);

        return $client;
    }

    /**
     * For a development machine or a test: checks each event as the library does, keeps and delivers none, and
     * says so once, in a warning. Needs neither a spool nor the library.
     */
    public static function disabled(?LoggerInterface $logger = null): ClientInterface
    {
        return new DisabledClient($logger);
    }

    /** The version of the library, which is that of the package of the same release. */
    public static function version(?string $library = null): string
    {
        return Library::get($library)->meditopia_version();
    }

    public function __destruct()
    {
        // What reflection makes without the constructor has neither.
        if (!isset($this->log)) {
            return;
        }
        try {
            $this->log->end($this->enqueued);
        } catch (Throwable) {
            // A logger that fails must not end the request that has just been served.
        }
        $this->handle->free($this);
    }

    /**
     * What a dump shows: nothing that could be a secret.
     *
     * @return array{open: bool}
     */
    public function __debugInfo(): array
    {
        return ['open' => isset($this->handle)];
    }

    public function enqueue(
        #[SensitiveParameter] mixed $token,
        mixed $partnerUserId,
        mixed $event,
        mixed $eventValue = null,
        mixed $receivedAt = null,
    ): void {
        $token = \is_string($token) ? $token : Field::id('token', $token);
        $user = \is_string($partnerUserId) ? $partnerUserId : Field::id('partner_user_id', $partnerUserId);
        $name = $event instanceof EventType ? $event->value : Field::event($event);
        $at = $receivedAt === null ? null : Field::time($receivedAt);
        // @mago-expect analysis:mixed-assignment - text, or what is sent as JSON
        $value = $eventValue === null || \is_string($eventValue) ? $eventValue : Field::value($eventValue);
        if ($value !== null && !\is_string($value)) {
            $json = Field::json([
                'token' => $token, 'partner_user_id' => $user, 'event' => $name, 'event_value' => $value, 'received_at' => $at,
            ]);
            $this->enqueueJson($json);

            return;
        }
        $native = $this->handle->native();
        $status = $native->library->meditopia_enqueue_n(
            $native->pointer,
            $token,
            \strlen($token),
            $user,
            \strlen($user),
            $name,
            \strlen($name),
            $value,
            $value === null ? 0 : \strlen($value),
            $at,
            $at === null ? 0 : \strlen($at),
            $native->errorAt,
        );
        if ($status < 0) {
            throw MeditopiaException::of($status, $native->error);
        }
        $this->enqueued = true;
        if (hrtime(true) >= $this->watchAt) {
            $this->watch();
        }
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
            $this->log->lost($failure);

            return false;
        }
    }

    public function enqueueMany(#[SensitiveParameter] iterable $events, ?int &$acknowledged = null): int
    {
        $acknowledged = 0;
        [$chunk, $bytes] = [[], 0];
        foreach ($events as $event) {
            $chunk[] = $json = self::json($event, $acknowledged + \count($chunk), $acknowledged);
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
        $native = $this->handle->native();
        $report = Report::blank($native->library);
        $status = $native->library->meditopia_flush(
            $native->pointer, self::milliseconds($timeoutSeconds), FFI::addr($report), $native->errorAt,
        );
        $told = Report::of($report);
        // Before the log is polled: a logger that uses a client of its own must not change it.
        $failure = $status < 0 ? MeditopiaException::of($status, $native->error, $told) : null;
        $this->log->poll();

        return $failure === null ? $told : throw $failure;
    }

    /**
     * Ends the client. With `role` `both` it delivers what waits, within the time; with `enqueue` it sends
     * nothing. A process that ends without it loses nothing.
     */
    public function close(float $timeoutSeconds = 5.0): void
    {
        $native = $this->handle->native();
        $this->log->end($this->enqueued);
        // No report: to count what waits it reads all that no sender has taken over.
        $this->succeed($native, $native->library->meditopia_client_close(
            $native->pointer, self::milliseconds($timeoutSeconds), null, $native->errorAt,
        ));
        $this->enqueued = false;
    }

    /** Counters and states. It reads all that no sender has taken over, so it takes longer the more that is. */
    public function stats(): Stats
    {
        $native = $this->handle->native();
        $stats = Stats::blank($native->library);
        $this->succeed($native, $native->library->meditopia_get_stats($native->pointer, FFI::addr($stats), $native->errorAt));

        return Stats::of($stats);
    }

    /** When a sender was last at work, and whether events seem to wait: cheap enough for a web request. */
    public function senderSeen(): SenderSeen
    {
        return SenderSeen::by($this->handle->native());
    }

    /** The same as `stats`, as text for Prometheus to scrape. */
    public function prometheus(): string
    {
        $native = $this->handle->native();

        return $this->text($native, $native->library->MEDITOPIA_FORMAT_PROMETHEUS);
    }

    /** The same as `stats`, as JSON. */
    public function statsJson(): string
    {
        $native = $this->handle->native();

        return $this->text($native, $native->library->MEDITOPIA_FORMAT_JSON);
    }

    /** What an operator does with the spool: the rejected and the doubtful events, hold and resume. */
    public function operator(): Operator
    {
        return new Operator($this, $this->handle);
    }

    /** Replaces the bearer token of this process, and ends a pause for a refused one. */
    public function setBearerToken(#[SensitiveParameter] string $token): void
    {
        if (str_contains($token, "\0")) {
            throw new InvalidArgument('the bearer token has a NUL byte in it', -1);
        }
        $native = $this->handle->native();
        $this->succeed($native, $native->library->meditopia_set_bearer_token($native->pointer, $token, $native->errorAt));
    }

    /**
     * Hands what the library has logged since the last time to the logger, in a process that lives long. An
     * enqueue does it once a minute.
     */
    public function pollLog(): void
    {
        $this->log->poll();
    }

    private function watch(): void
    {
        $this->watchAt = (int) hrtime(true) + self::WATCH_NS;
        $this->log->end(true);
    }

    /** @param string[] $chunk */
    private function enqueueChunk(#[SensitiveParameter] array $chunk, int $acknowledged): int
    {
        try {
            return $this->enqueueJson('[' . implode(',', $chunk) . ']');
        } catch (MeditopiaException $failure) {
            throw $failure->within($acknowledged);
        }
    }

    private function enqueueJson(#[SensitiveParameter] string $json): int
    {
        $native = $this->handle->native();
        $accepted = $native->library->new('size_t');
        $this->succeed($native, $native->library->meditopia_enqueue_json(
            $native->pointer, $json, \strlen($json), FFI::addr($accepted), $native->errorAt,
        ));
        $this->enqueued = true;
        if (hrtime(true) >= $this->watchAt) {
            $this->watch();
        }

        return $accepted->cdata;
    }

    private static function json(#[SensitiveParameter] mixed $event, int $index, int $acknowledged): string
    {
        try {
            return Field::json(Field::eventOf($event));
        } catch (MeditopiaException $failure) {
            throw $failure->at($index, $acknowledged);
        }
    }

    private function text(Native $native, int $format): string
    {
        $text = $native->library->new('meditopia_text *');
        $this->succeed($native, $native->library->meditopia_stats_text($native->pointer, $format, FFI::addr($text), $native->errorAt));
        // PHP makes a string of a `const char *` by itself.
        $copy = $native->library->meditopia_text_data($text);
        $native->library->meditopia_text_free($text);

        return $copy;
    }

    private function succeed(Native $native, int $status): void
    {
        if ($status < 0) {
            throw MeditopiaException::of($status, $native->error);
        }
    }

    private static function milliseconds(float $seconds): int
    {
        return (int) max(0, min(0xffffffff, round($seconds * 1000)));
    }
}
