<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use FFI\CData;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use Psr\Log\LoggerInterface;

/**
 * Carries the library's log to a PSR-3 logger, and tells when nobody sends. It is polled where a client
 * opens, flushes, closes and ends: PHP code may not run on a thread of the library.
 *
 * @internal
 */
final class Log
{
    /** Of `meditopia_log_level`, by PSR-3's words. */
    private const LEVELS = [1 => 'error', 2 => 'warning', 3 => 'info', 4 => 'debug'];

    private ?CData $record = null;

    public function __construct(
        private readonly Handle $client,
        private readonly ?LoggerInterface $logger,
        private readonly ?Absence $absence,
    ) {
    }

    public function poll(): void
    {
        $logger = $this->logger;
        if ($logger === null) {
            return;
        }
        $native = $this->client->native();
        $record = $this->record ??= self::blank($native->library);
        while ($native->library->meditopia_log_next($native->pointer, FFI::addr($record), null) === 0) {
            $level = self::LEVELS[$record->level] ?? 'info';
            $message = FFI::string($record->message);
            $time = $record->time_ms;
            self::tell(static fn (): mixed => $logger->log($level, "meditopia: $message", ['time_ms' => $time]));
        }
    }

    /**
     * Warns of what is wrong from the start, in the command line: each web request would repeat it.
     *
     * @param string[] $messages
     */
    public function tellOnce(array $messages): void
    {
        if (\PHP_SAPI !== 'cli') {
            return;
        }
        foreach ($messages as $message) {
            self::tell(fn (): mixed => $this->logger?->warning("meditopia: $message"));
        }
    }

    /** The client ends, or has lived long enough to be asked again. */
    public function end(bool $enqueued): void
    {
        $this->poll();
        $complaint = $enqueued ? $this->absence?->complaint() : null;
        if ($complaint === null) {
            return;
        }
        $this->say('warning', $complaint);
    }

    /** An event that was not queued. The message of an exception has no token in it. */
    public function lost(MeditopiaException $failure): void
    {
        $this->say('error', "an event was not queued: {$failure->getMessage()}", ['exception' => $failure]);
    }

    /**
     * For what is worth a line also where nobody asked for a log.
     *
     * @param array<string, mixed> $context
     */
    private function say(string $level, string $message, array $context = []): void
    {
        self::tell(fn (): mixed => $this->logger === null
            ? ErrorLog::write("meditopia: $message")
            : $this->logger->log($level, "meditopia: $message", $context));
    }

    private static function blank(FFI $library): CData
    {
        $record = $library->new('meditopia_log_record');
        $record->struct_size = FFI::sizeof($record);

        return $record;
    }

    /** A logger that fails must not end what the application asked for. */
    private static function tell(\Closure $words): void
    {
        try {
            $words();
        } catch (\Throwable) {
        }
    }
}
