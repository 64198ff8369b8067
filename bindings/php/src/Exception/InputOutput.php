<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** The operating system refused a read or a write. An enqueue that fails so is unknown. */
final class InputOutput extends MeditopiaException
{
}
