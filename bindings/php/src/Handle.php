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

    private const NOBODY = -1;

    /** @var ?\WeakMap<self, Native> */
    private static ?\WeakMap $natives = null;

    private readonly int $owner;

    /**
     * @param string $free the function of the library that frees the object
     * @param ?object $owner whose destructor frees it by `free`, because that still needs it: at the end of a process
     *                       PHP calls destructors in any order. null: the destructor of this frees it
     */
    public function __construct(Native $native, private readonly string $free, ?object $owner = null)
    {
        self::$natives ??= new \WeakMap();
        self::$natives[$this] = $native;
        $this->owner = $owner === null ? self::NOBODY : spl_object_id($owner);
    }

    public function native(): Native
    {
        return self::$natives[$this] ?? throw new Closed(
            'this client has ended, or it is a copy that reflection made; make a client of your own with the same options',
            -10,
        );
    }

    /** Frees the object for its owner. A copy of the owner has another id as long as the owner lives. */
    public function free(object $owner): void
    {
        if ($this->owner === spl_object_id($owner)) {
            $this->freeOnce();
        }
    }

    public function __destruct()
    {
        // What reflection makes without the constructor has neither an owner nor an object.
        if (($this->owner ?? self::NOBODY) === self::NOBODY) {
            $this->freeOnce();
        }
    }

    private function freeOnce(): void
    {
        $native = self::$natives[$this] ?? null;
        if ($native !== null) {
            unset(self::$natives[$this]);
            // @mago-expect analysis:string-member-selector - each kind of handle has a function of its own
            $native->library->{$this->free}($native->pointer);
        }
    }
}
