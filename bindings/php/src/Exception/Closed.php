<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** The client was closed before this call. */
final class Closed extends MeditopiaException
{
}
