<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/** Why an event is in a list: the rejected, the doubtful, those that wait. */
enum Reason: int
{
    case Refused = 1;
    case Expired = 2;
    case InDoubt = 3;
    case RefusedMayBeDelivered = 4;
    case SetAside = 5;
    case ExpiredMayBeDelivered = 6;
    /** It waits to be sent. */
    case Pending = 7;
    /** It waits, and no sender has taken it over yet. */
    case Journalled = 8;
    /** A later library knows a reason that this package does not. */
    case Unknown = -1;
}
