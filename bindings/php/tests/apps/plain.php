<?php

// What a site does: one event a request, whose answer says that it is acknowledged. Nothing here names $_SERVER:
// the package has to find there what nginx has set.

use Meditopia\PartnerEvents\{Client, EventType};

$meditopia = Client::fromEnvironment();
$meditopia->enqueue('user-token-1', $_GET['user'], EventType::Video, $_GET['number']);
echo "$_GET[user] $_GET[number]\n";
