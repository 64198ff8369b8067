<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/** Why delivery is paused. A pause keeps every event; the library's README says what ends it. */
enum PauseReason: int
{
    case Auth = 1;
    case Ip = 2;
    case Misrouted = 3;
    case MassRejection = 4;
    case ServerError = 5;
    case StoreDamaged = 6;
    case Hold = 7;
    /** A later library knows a reason that this package does not. */
    case Unknown = -1;

    /** Of the C interface's number, where 0 says that nothing is paused. */
    public static function of(int $number): ?self
    {
        return $number === 0 ? null : self::tryFrom($number) ?? self::Unknown;
    }
}
