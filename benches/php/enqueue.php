<?php
// A request that enqueues one event: durable against the death of the process when `ok` is answered.

$meditopia = new Meditopia($_SERVER['BENCH_DIRECTORY'] . '/spool');
$meditopia->enqueue('user-token-00000007919', 'user-0104729', 'video', 'morning calm');
echo 'ok';
