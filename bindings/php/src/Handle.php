<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use Meditopia\PartnerEvents\Exception\Closed;

/**
 * Owns one object of the library, and frees it exactly once.
 *
 * PHP copies an object before it calls `__clone`, and the destructor of that copy runs even if `__clone`
 * throws; reflection copies without asking at all. So no property holds the pointer: it is in a map by the
 * identity of the handle, and a copy, however it was made, has no pointer to use or to free.
 *
 * @internal
 */
final class Handle
{
    use NotCopied;

    /** @var ?\WeakMap<self, Native> */
    private static ?\WeakMap $natives = null;

    /** @param string $free the function of the library that frees the object */
    public function __construct(Native $native, private readonly string $free)
    {
        self::$natives ??= new \WeakMap();
        self::$natives[$this] = $native;
    }

    public function native(): Native
    {
        return self::$natives[$this] ?? throw new Closed(
            'this object was copied or made by reflection, so it is not open; make a client of your own with the same options',
            -10,
        );
    }

    public function __destruct()
    {
        $native = self::$natives[$this] ?? null;
        if ($native !== null) {
            unset(self::$natives[$this]);
            $native->library->{$this->free}($native->pointer);
        }
    }
}
