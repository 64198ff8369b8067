<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** The configuration is incomplete or contradictory, or a key or value is not known. */
final class InvalidConfiguration extends MeditopiaException
{
}
