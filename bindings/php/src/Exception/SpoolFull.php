<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** The disk, or max_spool_bytes, is full. This event was not queued; those before stay safe. */
final class SpoolFull extends MeditopiaException
{
}
