<?php
// The same by the package meditopia/partner-events, which is preloaded.

use Meditopia\PartnerEvents\{Client, EventType};

$meditopia = new Client(['spool' => $_SERVER['BENCH_DIRECTORY'] . '/spool']);
$meditopia->enqueue('user-token-00000007919', 'user-0104729', EventType::Video, 'morning calm');
echo 'ok';
