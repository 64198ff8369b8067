<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use FFI\CData;
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

    private readonly CData $record;

    public function __construct(
        private readonly FFI $library,
        private readonly CData $client,
        private readonly ?LoggerInterface $logger,
        private readonly ?Absence $absence,
    ) {
        $this->record = $library->new('meditopia_log_record');
        $this->record->struct_size = FFI::sizeof($this->record);
    }

    public function poll(): void
    {
        if ($this->logger === null) {
            return;
        }
        while ($this->library->meditopia_log_next($this->client, FFI::addr($this->record), null) === 0) {
            $level = self::LEVELS[$this->record->level] ?? 'info';
            self::tell(fn () => $this->logger->log($level, 'meditopia: ' . FFI::string($this->record->message), [
                'time_ms' => $this->record->time_ms,
            ]));
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
            self::tell(fn () => $this->logger?->warning("meditopia: $message"));
        }
    }

    /** The client ends, or is about to. */
    public function end(bool $enqueued): void
    {
        $this->poll();
        $complaint = $enqueued ? $this->absence?->complaint() : null;
        if ($complaint === null) {
            return;
        }
        // Nobody asked for a log; this alone is worth a line in PHP's.
        self::tell(fn () => $this->logger === null
            ? error_log("meditopia: $complaint")
            : $this->logger->warning("meditopia: $complaint"));
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
