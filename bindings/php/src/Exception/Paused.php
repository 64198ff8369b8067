<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** Delivery is paused; pauseReason says why. Everything is kept. */
final class Paused extends MeditopiaException
{
}
