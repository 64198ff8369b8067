<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** An argument is not UTF-8 or out of range: a mistake in the calling code. */
final class InvalidArgument extends MeditopiaException
{
}
