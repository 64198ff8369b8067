<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use FFI\CData;

/**
 * What a call into C needs: the library, an object of it, and the place for an error.
 *
 * @internal only {@see Handle} holds one
 */
final class Native
{
    public function __construct(
        public readonly FFI $library,
        public readonly CData $pointer,
        public readonly CData $error,
        /** Made once: it is in every call. */
        public readonly CData $errorAt,
    ) {
    }

    public static function of(FFI $library, CData $pointer): self
    {
        $error = $library->new('meditopia_error');

        return new self($library, $pointer, $error, FFI::addr($error));
    }
}
