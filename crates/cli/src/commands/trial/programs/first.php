<?php
require 'vendor/autoload.php';
$client = Meditopia\PartnerEvents\Client::fromEnvironment();
$client->enqueue('user-token-1', 'user-1', 'video', 'morning calm');
$report = $client->flush(30);
echo "$report->delivered delivered, $report->rejected rejected\n";
