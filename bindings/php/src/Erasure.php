<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use FFI\CData;

/** What `Operator::forgetUser` has erased, and what is left of the user in the spool. */
final class Erasure
{
    private function __construct(
        /** Events that waited to be sent. */
        public readonly int $pending,
        public readonly int $rejected,
        /** Receipts that named the user, and do not any more. */
        public readonly int $receipts,
        /** Events that cannot be taken back: a request with them is under way, or none has been answered. */
        public readonly int $inFlight,
        /** Files in which the user still stands; the command `meditopia forget` names them. */
        public readonly int $filesLeft,
        /** Nothing of the user is left in the spool. */
        public readonly bool $isComplete,
    ) {
    }

    /** @internal what C fills in */
    public static function blank(FFI $library): CData
    {
        $struct = $library->new('meditopia_erasure');
        $struct->struct_size = FFI::sizeof($struct);

        return $struct;
    }

    /** @internal */
    public static function of(CData $erasure): self
    {
        return new self(
            $erasure->pending,
            $erasure->rejected,
            $erasure->receipts,
            $erasure->in_flight,
            $erasure->files_left,
            $erasure->is_complete !== 0,
        );
    }
}
