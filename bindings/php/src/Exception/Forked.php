<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** This process was forked from the sender: it may enqueue, but neither send nor list. */
final class Forked extends MeditopiaException
{
}
