<?php

declare(strict_types=1);

require __DIR__ . '/../vendor/autoload.php';

use Meditopia\PartnerEvents\{Client, EventType};

// The spool is MEDITOPIA_SPOOL. A request queues; the container `sender` delivers.
$meditopia = Client::fromEnvironment();
$queued = $meditopia->tryEnqueue('user-token-1', 'user-1', EventType::Video, 'morning calm');

header('content-type: application/json');
echo json_encode(['queued' => $queued]), "\n";
