<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** This process has the same spool open with another value for the key that the message names. */
final class Conflict extends MeditopiaException
{
}
