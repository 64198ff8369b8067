<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use Meditopia\PartnerEvents\Exception\MeditopiaException;

/** When a sender was last at work on a spool, as the library knows it. */
final class SenderSeen
{
    public function __construct(
        /** Milliseconds since 1970; null: there never was a sender. */
        public readonly ?int $seenMs,
        /** Whether events seem to wait. */
        public readonly bool $waiting,
    ) {
    }

    /** @internal */
    public static function by(Native $native): self
    {
        $seen = $native->library->new('int64_t');
        $waiting = $native->library->new('int32_t');
        $status = $native->library->meditopia_sender_seen(
            $native->pointer, FFI::addr($seen), FFI::addr($waiting), $native->errorAt,
        );
        if ($status < 0) {
            throw MeditopiaException::of($status, $native->error);
        }

        return new self($seen->cdata < 0 ? null : $seen->cdata, $waiting->cdata !== 0);
    }
}
