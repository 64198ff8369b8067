<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use FFI\CData;

/**
 * A position in a list, freed with its last user.
 *
 * @internal
 */
final class Cursor
{
    use NotCopied;

    public readonly CData $row;
    private readonly Handle $handle;

    /** @param string $list `cursor` or `receipts`: the functions of the list begin so */
    public function __construct(FFI $library, CData $cursor, private readonly string $list, string $row)
    {
        $this->handle = new Handle(Native::of($library, $cursor), "meditopia_{$list}_free");
        $this->row = $library->new($row);
        $this->row->struct_size = FFI::sizeof($this->row);
    }

    /** The status: 0 with a row, 1 at the end. */
    public function next(CData $errorAt): int
    {
        $native = $this->handle->native();

        // @mago-expect analysis:string-member-selector,mixed-return-statement - a list is read by functions of its name
        return $native->library->{"meditopia_{$this->list}_next"}($native->pointer, FFI::addr($this->row), $errorAt);
    }
}
