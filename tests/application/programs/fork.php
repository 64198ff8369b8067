<?php
// PHP with pcntl_fork: fork.php LIBRARY HEADER CONFIG ACKNOWLEDGED PROCESSES EVENTS
//
// The client is opened and used before the fork. Every third process is killed in the middle
// of its events; the others flush.

const AT_ONCE = 4;

[, $library, $header, $config_file, $acknowledged, $processes, $events] = $argv;
$c = FFI::cdef(file_get_contents($header), $library);
$error = $c->new('meditopia_error');

function succeed(string $what, int $status): void
{
    global $error;
    if ($status < 0) {
        fwrite(STDERR, "$what: " . FFI::string($error->message) . "\n");
        posix_kill(getmypid(), SIGABRT);
    }
}

$config = $c->meditopia_config_new();
$client = $c->new('meditopia_client *');
succeed('load', $c->meditopia_config_load_file($config, $config_file, FFI::addr($error)));
succeed('open', $c->meditopia_client_open($config, FFI::addr($client), FFI::addr($error)));
$log = fopen($acknowledged, 'a');
stream_set_write_buffer($log, 0);

function enqueue(string $user, int $number): void
{
    global $c, $client, $error, $log;
    $status = $c->meditopia_enqueue($client, 'token', $user, 'video', (string) $number, '2024-08-06 15:04:05', FFI::addr($error));
    succeed('enqueue', $status);
    fwrite($log, "$user $number\n");
}

$parent = 'parent-' . getmypid();
enqueue($parent, 0);
for ($start = 0, $batch = 0; $start < $processes; $start += AT_ONCE) {
    $children = [];
    for ($index = $start; $index < min($start + AT_ONCE, $processes); $index++) {
        $killed_at = $index % 3 == 2 ? intdiv($events * ($index % 7 + 1), 8) : -1;
        $child = pcntl_fork();
        if ($child == 0) {
            for ($number = 0; $number < $events; $number++) {
                if ($number == $killed_at) {
                    posix_kill(getmypid(), SIGKILL);
                }
                enqueue("child-$index", $number);
            }
            succeed('flush', $c->meditopia_flush($client, 60000, null, FFI::addr($error)));
            exit(0);
        }
        $children[$child] = $killed_at >= 0;
    }
    enqueue($parent, ++$batch);
    foreach ($children as $child => $killed) {
        pcntl_waitpid($child, $status);
        $good = $killed ? pcntl_wifsignaled($status) && pcntl_wtermsig($status) == SIGKILL
                        : pcntl_wifexited($status) && pcntl_wexitstatus($status) == 0;
        if (!$good) {
            fwrite(STDERR, "child $child ended with $status\n");
            exit(1);
        }
    }
}
