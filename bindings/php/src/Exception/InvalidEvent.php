<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Exception;

/** An event breaks a rule of the API. Nothing of the call was queued; eventIndex says which event it was. */
final class InvalidEvent extends MeditopiaException
{
}
