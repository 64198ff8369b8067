<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/** Why an event stands in a list of the rejected or the doubtful. */
enum Reason: int
{
    case Refused = 1;
    case Expired = 2;
    case InDoubt = 3;
    case RefusedMayBeDelivered = 4;
    case SetAside = 5;
    case ExpiredMayBeDelivered = 6;
    /** A later library knows a reason that this package does not. */
    case Unknown = -1;
}
