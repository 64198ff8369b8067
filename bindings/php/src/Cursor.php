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
    public readonly CData $row;

    public function __construct(private readonly FFI $library, private readonly CData $cursor)
    {
        $this->row = $library->new('meditopia_row');
        $this->row->struct_size = FFI::sizeof($this->row);
    }

    public function __destruct()
    {
        $this->library->meditopia_cursor_free($this->cursor);
    }

    /** The status: 0 with a row, 1 at the end. */
    public function next(CData $errorAt): int
    {
        return $this->library->meditopia_cursor_next($this->cursor, FFI::addr($this->row), $errorAt);
    }
}
