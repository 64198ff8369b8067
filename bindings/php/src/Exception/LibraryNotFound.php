<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** The shared library was not found, or does not fit this package. The message names every place. */
final class LibraryNotFound extends MeditopiaException
{
}
