<?php

declare(strict_types=1);

/**
 * nginx and php-fpm as a site runs them, on a port of the kernel's choice, with all files in one directory.
 *
 * As root the masters run as root and their workers as www-data, which is how Debian does it; else all is this
 * user's. Applications are files of tests/apps, each below its own name.
 */
final class Server
{
    private const WORKERS = 8;

    public readonly string $url;
    /** @var resource */
    private $fpm;
    /** @var resource */
    private $nginx;

    /**
     * @param array<string, string> $parameters what nginx hands to php-fpm; C sees none of it
     * @param array<string, string> $ini lines of php.ini
     */
    public function __construct(
        public readonly string $directory,
        string $project,
        array $parameters,
        array $ini,
        int $requestsPerWorker = 0,
    ) {
        mkdir($directory);
        mkdir("$directory/tmp");
        if (self::isRoot()) {
            $ini += ['opcache.preload_user' => self::user()];
            chown("$directory/tmp", self::user());
        }
        $this->write('php.ini', self::lines($ini, '%s = "%s"'));
        $this->write('fpm.conf', $this->poolOf($requestsPerWorker));
        // A socket that listens before nginx does: nobody can take the port in between.
        $listener = stream_socket_server('tcp://127.0.0.1:0');
        $address = stream_socket_get_name($listener, false);
        $this->write('nginx.conf', $this->siteOf($address, $parameters + ['PROJECT' => $project]));
        $this->url = "http://$address";

        $log = ['file', "$directory/start.log", 'a'];
        $root = self::isRoot() ? ['-R'] : [];
        // Of the environment nothing may get in past nginx.
        $environment = ['PATH' => getenv('PATH') . ':/usr/sbin:/usr/local/sbin'];
        $this->fpm = proc_open(
            [self::phpFpm(), '-F', '-c', "$directory/php.ini", '-y', "$directory/fpm.conf", ...$root],
            [['file', '/dev/null', 'r'], $log, $log], $pipes, null, $environment,
        );
        $this->nginx = proc_open(
            ['nginx', '-p', $directory, '-c', "$directory/nginx.conf", '-e', "$directory/nginx.log"],
            [['file', '/dev/null', 'r'], $log, $log, 3 => $listener], $pipes, null, $environment + ['NGINX' => '3;'],
        );
        // Also after a test that has failed.
        register_shutdown_function($this->stop(...));
    }

    /** Waits until it answers this path. */
    public function ready(string $path): self
    {
        $answers = fn (): bool => $this->get($path)[0] !== 502;
        try {
            until($answers, 'the server answers', 20);
        } catch (LogicException $failure) {
            throw new LogicException($failure->getMessage() . "\n" . $this->logs());
        }

        return $this;
    }

    /** @return array{int, string} status and body */
    public function get(string $path): array
    {
        $body = @file_get_contents($this->url . $path, false, stream_context_create(['http' => ['ignore_errors' => true]]));
        $status = (int) (explode(' ', $http_response_header[0] ?? '')[1] ?? 502);

        return [$status, (string) $body];
    }

    public function reload(): void
    {
        posix_kill($this->master(), SIGUSR2);
    }

    public function master(): int
    {
        return proc_get_status($this->fpm)['pid'];
    }

    /** @return int[] */
    public function workers(): array
    {
        $master = $this->master();
        $workers = array_map(intval(...), array_filter(explode(' ', (string) @file_get_contents("/proc/$master/task/$master/children"))));
        sort($workers);

        return $workers;
    }

    public function logs(): string
    {
        $logs = array_filter(['start.log', 'fpm.log', 'php.log', 'nginx.log'], fn (string $log): bool => is_file("$this->directory/$log"));

        return implode("\n", array_map(fn (string $log): string => "$log:\n" . file_get_contents("$this->directory/$log"), $logs));
    }

    public function log(string $name): string
    {
        return (string) @file_get_contents("$this->directory/$name");
    }

    public function stop(): void
    {
        foreach ([$this->nginx, $this->fpm] as $server) {
            if (!proc_get_status($server)['running']) {
                continue;
            }
            posix_kill(proc_get_status($server)['pid'], SIGTERM);
            until(static fn (): bool => !proc_get_status($server)['running'], 'a server ends', 30);
        }
    }

    /** A command as the user whose spool it is. */
    public static function asUser(string ...$command): array
    {
        $user = self::isRoot() ? ['setpriv', '--reuid=' . self::user(), '--regid=' . self::user(), '--clear-groups'] : [];

        return [...$user, ...$command];
    }

    private static function isRoot(): bool
    {
        return posix_geteuid() === 0;
    }

    private static function user(): string
    {
        return 'www-data';
    }

    private static function phpFpm(): string
    {
        $version = PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION;
        foreach (["/usr/sbin/php-fpm$version", '/usr/sbin/php-fpm', '/usr/local/sbin/php-fpm'] as $file) {
            if (is_executable($file)) {
                return $file;
            }
        }
        throw new LogicException('php-fpm is not installed; run `make setup`');
    }

    private function poolOf(int $requestsPerWorker): string
    {
        return self::lines(['error_log' => "$this->directory/fpm.log", 'daemonize' => 'no'], '%s = %s', '[global]')
            . self::lines([
                'listen' => "$this->directory/fpm.sock",
                'pm' => 'static',
                'pm.max_children' => (string) self::WORKERS,
                'pm.max_requests' => (string) $requestsPerWorker,
                ...(self::isRoot() ? ['user' => self::user(), 'group' => self::user(), 'listen.owner' => self::user()] : []),
            ], '%s = %s', '[site]');
    }

    private function siteOf(string $address, array $parameters): string
    {
        $user = self::isRoot() ? 'user ' . self::user() . ';' : '';
        $apps = __DIR__ . '/apps';
        $more = self::lines($parameters, '      fastcgi_param %s "%s";');
        $temporary = implode("\n", array_map(
            fn (string $kind): string => "  {$kind}_temp_path $this->directory/tmp/$kind;",
            ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'],
        ));

        return <<<CONF
            $user
            worker_processes 1;
            daemon off;
            pid $this->directory/nginx.pid;
            events { worker_connections 256; }
            http {
            $temporary
              access_log off;
              keepalive_requests 1000000;
              server {
                listen $address;
                location ~ ^/(?<app>[a-z]+) {
                  fastcgi_pass unix:$this->directory/fpm.sock;
                  fastcgi_param SCRIPT_FILENAME $apps/\$app.php;
                  fastcgi_param SCRIPT_NAME /index.php;
                  fastcgi_param REQUEST_METHOD \$request_method;
                  fastcgi_param REQUEST_URI \$request_uri;
                  fastcgi_param QUERY_STRING \$query_string;
                  fastcgi_param SERVER_NAME localhost;
                  fastcgi_param SERVER_PORT 80;
                  fastcgi_param REMOTE_ADDR \$remote_addr;
            $more
                }
              }
            }
            CONF;
    }

    /** @param array<string, string> $values */
    private static function lines(array $values, string $form, string ...$before): string
    {
        $lines = array_map(static fn (string $key, string $value): string => sprintf($form, $key, $value), array_keys($values), $values);

        return implode("\n", [...$before, ...$lines, '']);
    }

    private function write(string $name, string $text): void
    {
        file_put_contents("$this->directory/$name", $text);
    }
}
