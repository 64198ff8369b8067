<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

use FFI;
use FFI\CData;
use Meditopia\PartnerEvents\PauseReason;
use Meditopia\PartnerEvents\Report;
use RuntimeException;

/** Whatever the library refuses; its classes say what kind. The code is the C interface's status. */
abstract class MeditopiaException extends RuntimeException
{
    /** By the C interface's status; a number that is not here comes from a later version. */
    private const BY_STATUS = [
        -1 => InvalidArgument::class,
        -2 => InvalidEvent::class,
        -3 => InvalidConfiguration::class,
        -4 => Conflict::class,
        -5 => SpoolMismatch::class,
        -6 => SpoolFull::class,
        -7 => InputOutput::class,
        -8 => Paused::class,
        -9 => TimedOut::class,
        -10 => Closed::class,
        -11 => StoreDamaged::class,
        -13 => Internal::class,
    ];

    final public function __construct(
        string $message,
        int $status = 0,
        /** Whether the same call may succeed later without any change by the caller. */
        public readonly bool $retryable = false,
        public readonly ?PauseReason $pauseReason = null,
        /** Which event of the call is meant, counted from 0. */
        public readonly ?int $eventIndex = null,
        /** The API's own code, such as A_1002. */
        public readonly ?string $apiCode = null,
        public readonly ?int $httpStatus = null,
        /** What a flush did before it failed. */
        public readonly ?Report $report = null,
    ) {
        parent::__construct($message, $status);
    }

    /** @internal */
    public static function of(int $status, CData $error, ?Report $report = null): self
    {
        $class = self::BY_STATUS[$status] ?? Internal::class;
        $index = $error->event_index;

        // @mago-expect analysis:ambiguous-instantiation-target - all classes of the table have this constructor
        return new $class(
            FFI::string($error->message),
            $status,
            $error->retryable === 1,
            PauseReason::of($error->pause_reason),
            $index < 0 ? null : $index,
            FFI::string($error->api_code) ?: null,
            $error->http_status ?: null,
            $report,
        );
    }

    /** @internal the same about the chunk whose first event is the event `$acknowledged` of the caller's */
    public function within(int $acknowledged): static
    {
        return $this->eventIndex === null ? $this : $this->at($acknowledged + $this->eventIndex, $acknowledged);
    }

    /** @internal the same about this event of the caller's, counted from 0 */
    public function at(int $index, int $acknowledged): static
    {
        // The library counts within the call: "... (event 3 of 500; none was queued)".
        $what = preg_replace('/ \(event \d+ of \d+; none was queued\)$/D', '', $this->getMessage());

        return new static(
            "$what (event $index, counted from 0; the $acknowledged before its chunk are queued)",
            (int) $this->getCode(),
            $this->retryable,
            $this->pauseReason,
            $index,
            $this->apiCode,
            $this->httpStatus,
            $this->report,
        );
    }
}
