<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/** What a user did: the events that the API knows. */
enum EventType: string
{
    case Register = 'register';
    case Signin = 'signin';
    case Audio = 'audio';
    case Video = 'video';
    case Content = 'content';
}
