<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** The deadline passed first. Everything is kept. */
final class TimedOut extends MeditopiaException
{
}
