<?php
// Preloaded into php-fpm: the least that hands events to the library. The header that `ffi.preload` names
// has given it the scope MEDITOPIA.
//
// The object lives for a request; what it opens stays with the worker process, so that only the first
// request of a worker opens a spool.

final class Meditopia
{
    private readonly FFI $library;
    private readonly FFI\CData $client;
    private readonly FFI\CData $error;

    public function __construct(string $spool)
    {
        $this->library = FFI::scope('MEDITOPIA');
        $this->error = $this->library->new('meditopia_error');
        $this->client = $this->library->new('meditopia_client *');
        $config = $this->library->meditopia_config_new();
        try {
            $this->set($config, 'spool', $spool);
            // Another process sends: no thread starts here.
            $this->set($config, 'role', 'enqueue');
            $this->succeed(
                $this->library->meditopia_client_open($config, FFI::addr($this->client), FFI::addr($this->error)),
            );
        } finally {
            $this->library->meditopia_config_free($config);
        }
    }

    public function __destruct()
    {
        $this->library->meditopia_client_free($this->client);
    }

    public function enqueue(
        string $token,
        string $user,
        string $event,
        ?string $value = null,
        ?string $receivedAt = null,
    ): void {
        $this->succeed(
            $this->library->meditopia_enqueue(
                $this->client, $token, $user, $event, $value, $receivedAt, FFI::addr($this->error),
            ),
        );
    }

    private function set(FFI\CData $config, string $key, string $value): void
    {
        $this->succeed($this->library->meditopia_config_set($config, $key, $value, FFI::addr($this->error)));
    }

    private function succeed(int $status): void
    {
        if ($status < 0) {
            throw new RuntimeException(FFI::string($this->error->message), $status);
        }
    }
}
