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
    public readonly CData $error;
    /** Made once: it is in every call. */
    public readonly CData $errorAt;

    public function __construct(
        public readonly FFI $library,
        public readonly CData $pointer,
        public readonly string $free,
        ?CData $error,
    ) {
        $this->error = $error ?? $library->new('meditopia_error');
        $this->errorAt = FFI::addr($this->error);
    }
}
