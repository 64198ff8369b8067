<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** A defect of the library. Please report the message. */
final class Internal extends MeditopiaException
{
}
