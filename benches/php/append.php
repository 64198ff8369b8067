<?php
// The same request without a library: the same event as a line of a log that somebody ships later.

$line = json_encode([
    'token' => 'user-token-00000007919',
    'partner_user_id' => 'user-0104729',
    'event' => 'video',
    'event_value' => 'morning calm',
    'received_at' => gmdate('Y-m-d H:i:s'),
]);
$written = file_put_contents($_SERVER['BENCH_DIRECTORY'] . '/events.log', "$line\n", FILE_APPEND | LOCK_EX);
echo $written === strlen($line) + 1 ? 'ok' : 'failed';
