<?php

// The package as composer has installed it, in the command line and in php-fpm set up wrongly: installed.php PROJECT SCRATCH

declare(strict_types=1);

require_once __DIR__ . '/promises.php';
require_once __DIR__ . '/Server.php';

use Meditopia\PartnerEvents\Library;

[, $project, $scratch] = $argv;
$package = "$project/vendor/meditopia/partner-events";
$header = "$project-preload/preload.h";

/** What a script of the project says, by a PHP with these settings. */
$php = static function (string $code, string ...$settings) use ($project): string {
    $options = array_merge(...array_map(static fn (string $setting): array => ['-d', $setting], $settings ?: ['display_errors=stderr']));

    return (string) shell_exec(implode(' ', array_map(escapeshellarg(...), [
        'env', '-u', 'MEDITOPIA_LIBRARY', PHP_BINARY, ...$options, '-r', "require '$project/vendor/autoload.php';
        use Meditopia\\PartnerEvents\\{Client, EventType}; try { $code } catch (Throwable \$failure) { echo \$failure::class, ': ', \$failure->getMessage(); }",
    ])) . ' 2>&1');
};
$enqueue = static fn (string $spool): string => "\$client = new Client(['spool' => '$scratch/$spool']);
    \$client->enqueue('t', 'u', EventType::Video); echo \$client->stats()->pending, ' pending';";
/** A library of this ABI, of which there is nothing but the version. */
$library = static function (string $name, int $abi) use ($scratch): string {
    $file = "$scratch/$name.so";
    $source = "$scratch/$name.c";
    file_put_contents($source, "unsigned meditopia_abi_version(void) { return $abi; }\n");
    said(['cc', '-shared', '-fPIC', '-o', $file, $source]);

    return $file;
};
/** What php-fpm answers to a request with these settings. */
$answer = static function (string $name, array $ini) use ($scratch, $project): string {
    $server = (new Server("$scratch/$name", $project, ['MEDITOPIA_SPOOL' => "$scratch/$name-spool"], $ini + [
        'display_errors' => '1',
        'auto_prepend_file' => "$project/vendor/autoload.php",
    ]))->ready('/nothing');
    $answer = $server->get('/plain?user=u&number=1')[1];
    $server->stop();

    return $answer;
};

run([
    'the lines of the README enqueue an event, and its crontab delivers it' => static function () use ($php, $project, $scratch): void {
        $paths = ['/var/spool/myapp/meditopia' => "$scratch/readme", '/srv/myapp/' => "$project/", '/etc/myapp/meditopia.token' => "$scratch/readme-token"];
        $lines = preg_replace('/^use .*$/m', '', strtr(readme('Quick start', 'php'), $paths));
        $said = $php($lines . ' echo $meditopia->stats()->pending, " pending";');
        check($said === '1 pending', $said);
        file_put_contents("$scratch/readme-token", getenv('MEDITOPIA_BEARER_TOKEN'));
        // The spool belongs to the endpoint that it was made for, and to no other.
        $cron = preg_replace('/^(\* ){5}/m', '', strtr(readme('Quick start', 'crontab'), $paths));
        said(['rm', '-r', "$scratch/readme"]);
        said(['sh', '-c', $cron], ['PATH' => getenv('PATH'), 'MEDITOPIA_ENDPOINT' => getenv('MEDITOPIA_ENDPOINT')]);
        $lines = str_replace("['spool'", "['endpoint' => '" . getenv('MEDITOPIA_ENDPOINT') . "', 'spool'", $lines);
        $said = $php($lines);
        check($said === '', $said);
        said(['sh', '-c', $cron], ['PATH' => getenv('PATH'), 'MEDITOPIA_ENDPOINT' => getenv('MEDITOPIA_ENDPOINT')]);
        $said = $php(preg_replace('/^.*->enqueue.*$/m', '', $lines) . ' echo $meditopia->stats()->pending, " pending, ", $meditopia->stats()->delivered, " delivered";');
        check($said === '0 pending, 1 delivered', $said);
    },
    'the library beside the package is found without anything that names it' => static function () use ($php, $enqueue): void {
        $said = $php($enqueue('beside'));
        check($said === '1 pending', $said);
    },
    'the header for php-fpm names a library outside of vendor by its real path and has its scope' => static function () use ($header): void {
        $lines = array_slice(file($header, FILE_IGNORE_NEW_LINES), 0, 2);
        check($lines === ['#define FFI_SCOPE "MEDITOPIA"', '#define FFI_LIB "' . dirname($header) . '/libmeditopia.so.0"'], implode("\n", $lines));
        $files = array_values(array_diff(scandir(dirname($header)), ['.', '..']));
        check($files === ['libmeditopia.so.0', 'preload.h', 'preload.php'], implode(' ', $files));
    },
    'a preload file of an application may require the one of the package' => static function () use ($php, $enqueue, $header, $scratch): void {
        file_put_contents("$scratch/preload.php", '<?php require \'' . dirname($header) . '/preload.php\';');
        $said = $php($enqueue('required'), "ffi.preload=$header", "opcache.preload=$scratch/preload.php", 'opcache.enable_cli=1',
            'ffi.enable=preload', 'opcache.preload_user=' . posix_getpwuid(posix_geteuid())['name'], 'display_errors=1');
        check($said === '1 pending', $said);
    },
    'the package is written for the interface of its header' => static function (): void {
        $numbers = FFI::cdef(file_get_contents(Library::header()), getenv('MEDITOPIA_LIBRARY'));
        check([$numbers->MEDITOPIA_ABI_MAJOR, $numbers->MEDITOPIA_ABI_MINOR] === [Library::ABI_MAJOR, Library::ABI_MINOR], 'they agree');
    },
    'all places are named where no library is' => static function () use ($php, $scratch, $package, $enqueue): void {
        rename("$package/lib", "$package/away");
        $said = $php($enqueue('nowhere'));
        rename("$package/away", "$package/lib");
        check(str_contains($said, "$package/lib/libmeditopia.so.0 (beside the package): no such file"), $said);
        check(str_contains($said, 'libmeditopia.so.0 (the loader: ldconfig, LD_LIBRARY_PATH): '), $said);
        check(str_contains($said, 'name its file in MEDITOPIA_LIBRARY'), $said);
    },
    'a package that has lost its header says so, and what to do' => static function () use ($php, $package, $enqueue): void {
        rename("$package/include", "$package/away");
        $said = $php($enqueue('headless'));
        rename("$package/away", "$package/include");
        check($said === "Meditopia\\PartnerEvents\\Exception\\LibraryNotFound: $package/include/meditopia_ffi.h cannot be read: install the package again", $said);
    },
    'a library of another version is named with its version and the one that is needed' => static function () use ($php, $library, $package, $scratch): void {
        $needed = Library::ABI_MAJOR . '.' . Library::ABI_MINOR;
        foreach ([[1 << 16, '1.0'], [0, '0.0']] as [$abi, $version]) {
            $file = $library("abi-$abi", $abi);
            $said = $php("new Client(['spool' => '$scratch/nowhere'], null, '$file');");
            check(str_contains($said, "$file (given) has version $version of the C interface; this package ($package) needs $needed or a later 0.x"), $said);
        }
    },
    'the same where php-fpm has preloaded it, and where the header is an old one' => static function () use ($php, $library, $header, $scratch): void {
        $file = $library('abi-preloaded', 1 << 16);
        file_put_contents("$scratch/other.h", "#define FFI_SCOPE \"MEDITOPIA\"\n#define FFI_LIB \"$file\"\nuint32_t meditopia_abi_version(void);\n");
        $said = $php("new Client(['spool' => '$scratch/nowhere']);", "ffi.preload=$scratch/other.h");
        check(str_contains($said, "(preloaded by $scratch/other.h) has version 1.0 of the C interface"), $said);
        file_put_contents("$scratch/old.h", preg_replace('/MEDITOPIA_ABI_MINOR = \d+/', 'MEDITOPIA_ABI_MINOR = 0', file_get_contents($header)));
        $said = $php("new Client(['spool' => '$scratch/nowhere']);", "ffi.preload=$scratch/old.h");
        check(str_contains($said, "$scratch/old.h has version 0.0 of the C interface") && str_contains($said, 'meditopia-install again'), $said);
    },
    'php-fpm without ffi.preload or without opcache.preload is told what to set' => static function () use ($answer, $header): void {
        $said = $answer('bare', []);
        check(str_contains($said, 'ffi.preload is not set: run vendor/bin/meditopia-install'), $said);
        $said = $answer('half', ['ffi.preload' => $header]);
        check(str_contains($said, 'opcache.preload has to name the preload.php that it has written'), $said);
        $said = $answer('off', ['ffi.enable' => '0']);
        check(str_contains($said, 'set ffi.enable = preload in php.ini'), $said);
    },
    'an install takes the library that is named although php.ini preloads another' => static function () use ($project, $scratch, $header): void {
        copy(getenv('MEDITOPIA_LIBRARY'), "$scratch/libmeditopia.so.0.9");
        file_put_contents("$scratch/php.ini", "ffi.preload = $header\n");
        said(['env', "PHP_INI_SCAN_DIR=:$scratch", "$project/vendor/bin/meditopia-install", "--directory=$scratch/new", "$scratch/libmeditopia.so.0.9"]);
        check(str_contains(file_get_contents("$scratch/new/preload.h"), "#define FFI_LIB \"$scratch/libmeditopia.so.0.9\""), file_get_contents("$scratch/new/preload.h", length: 200));
    },
    'an install into vendor is refused, and one that may not write says what to do' => static function () use ($project, $package, $scratch): void {
        foreach (["$package/include", "$project/vendor/new"] as $directory) {
            exec("$project/vendor/bin/meditopia-install --directory=" . escapeshellarg($directory) . ' 2>&1', $lines, $status);
            check($status === 1 && str_contains(implode("\n", $lines), "$directory is in composer's vendor"), implode("\n", $lines));
        }
        file_put_contents("$scratch/file", '');
        exec("$project/vendor/bin/meditopia-install --directory=$scratch/file/in 2>&1", $said, $status);
        check($status === 1 && str_contains(implode("\n", $said), 'run it as root, or name another directory outside of vendor'), implode("\n", $said));
    },
    'under open_basedir about one of a hundred web requests says that nobody sends' => static function () use ($project, $scratch, $header): void {
        $server = (new Server("$scratch/confined", $project, ['MEDITOPIA_SPOOL' => "$scratch/confined-spool"], [
            'ffi.preload' => $header,
            'opcache.preload' => dirname($header) . '/preload.php',
            'open_basedir' => "$project:" . __DIR__ . ':' . dirname($header),
            'error_log' => "$scratch/confined.log",
            'log_errors' => '1',
        ]))->ready('/other');
        $requests = 1500;
        foreach (range(1, $requests) as $number) {
            check($server->get("/installed?user=u&number=$number") === [200, "u $number\n"], 'it enqueues' . $server->logs());
        }
        $server->stop();
        $log = (string) @file_get_contents("$scratch/confined.log") . $server->log('start.log') . $server->log('fpm.log') . $server->log('nginx.log');
        $said = substr_count($log, 'there has never been a sender');
        // 15 are to be expected; fewer than 1 or more than 60 come once in a million runs.
        check($said >= 1 && $said <= 60, "$said of $requests say it: " . substr($log, 0, 2000));
        check(!str_contains($log, 'PHP Warning') && !str_contains($log, 'PHP Fatal'), $log);
    },
    'php-fpm and its other sites live through each state of an update of the package' => static function () use ($project, $package, $scratch, $header): void {
        $server = (new Server("$scratch/updated", $project, ['MEDITOPIA_SPOOL' => "$scratch/updated-spool"], [
            'ffi.preload' => $header,
            'opcache.preload' => dirname($header) . '/preload.php',
            'opcache.validate_timestamps' => '0',
            'error_log' => "$scratch/updated.log",
        ]))->ready('/other');
        $enqueues = static fn (): bool => $server->get('/installed?user=u&number=1') === [200, "u 1\n"];
        check($enqueues(), 'it enqueues' . $server->logs());
        /** A reload has come through when other workers serve. */
        $reload = static function () use ($server): void {
            $before = $server->workers();
            $server->reload();
            until(static fn (): bool => $server->workers() !== [] && array_intersect($before, $server->workers()) === [], 'php-fpm is reloaded', 20);
            until(static fn (): bool => $server->get('/other') === [200, 'served'], 'another site is served' . $server->logs(), 20);
        };
        $hurt = [
            'no package' => static fn (): bool => rename($package, "$scratch/away"),
            'no vendor' => static fn (): bool => rename("$project/vendor", "$scratch/away"),
            'half a file' => static fn () => rename($package, "$scratch/away") && said(['cp', '-r', "$scratch/away", $package])
                . file_put_contents("$package/src/Client.php", substr(file_get_contents("$package/src/Client.php"), 0, 3000)),
            'no library beside the package' => static fn () => rename($package, "$scratch/away") && said(['cp', '-r', "$scratch/away", $package]) . said(['rm', '-r', "$package/lib"]),
        ];
        foreach ($hurt as $hurts) {
            $hurts();
            $reload();
            $of = is_dir("$scratch/away/composer") ? "$project/vendor" : $package;
            said(['rm', '-rf', $of]);
            rename("$scratch/away", $of);
            $reload();
            check($enqueues(), 'it enqueues again' . $server->logs() . @file_get_contents("$scratch/updated.log"));
        }
        said(['env', "COMPOSER_HOME=$project/.composer", 'COMPOSER_ALLOW_SUPERUSER=1', 'COMPOSER_ROOT_VERSION=1.0.0', 'composer', '--working-dir=' . $project,
            'reinstall', '--quiet', '--no-interaction', 'meditopia/partner-events']);
        $reload();
        check($enqueues(), 'it enqueues after composer reinstall' . $server->logs() . @file_get_contents("$scratch/updated.log"));
        check(str_contains(file_get_contents("$scratch/updated.log"), 'the classes are not preloaded'), 'the log says what is missing');
        $server->stop();
    },
]);
