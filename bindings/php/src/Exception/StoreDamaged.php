<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** The store of the spool is damaged, or of a newer version. Enqueue goes on. */
final class StoreDamaged extends MeditopiaException
{
}
