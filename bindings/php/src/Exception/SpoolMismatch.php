<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** The spool belongs to another user, endpoint, account or place on disk. */
final class SpoolMismatch extends MeditopiaException
{
}
