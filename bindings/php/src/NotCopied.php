<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/**
 * For a class with something native behind it: no copy of its objects can be made.
 *
 * `__clone` is private, so that tools which ask before they copy (PHPUnit, DeepCopy) leave the object as it
 * is. It also throws, for those that call it by reflection.
 *
 * @internal
 */
trait NotCopied
{
    private function __clone(): void
    {
        throw self::notCopied('cloned');
    }

    /** @return never */
    public function __serialize(): array
    {
        throw self::notCopied('serialized');
    }

    /** @param array<mixed> $data */
    public function __unserialize(array $data): void
    {
        throw self::notCopied('unserialized');
    }

    /** @param array<mixed> $properties */
    public static function __set_state(array $properties): never
    {
        throw self::notCopied('made from var_export');
    }

    private static function notCopied(string $how): \LogicException
    {
        return new \LogicException(self::class . " cannot be $how: it stands for memory of the library. Make a client of your own with the same options");
    }
}
