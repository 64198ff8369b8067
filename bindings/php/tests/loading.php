<?php

// Where the library cannot be loaded the error says why, and events get in without FFI: loading.php SCRATCH

declare(strict_types=1);

require_once __DIR__ . '/promises.php';
require_once __DIR__ . '/Ledger.php';

use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\EventType;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use Meditopia\PartnerEvents\Library;
use Meditopia\PartnerEvents\Unloadable;

[, $scratch] = $argv;
$library = getenv('MEDITOPIA_LIBRARY');
/** What a client says of this file, in a PHP with these arguments before the script. */
$said = static function (string $file, string ...$php) use ($scratch): string {
    $code = 'require $argv[1]; try { new Meditopia\PartnerEvents\Client(["spool" => $argv[2]], null, $argv[3]); echo "loaded"; }
        catch (Meditopia\PartnerEvents\Exception\LibraryNotFound $failure) { echo $failure->getMessage(); }';

    return (string) shell_exec(implode(' ', array_map(escapeshellarg(...), [
        PHP_BINARY, ...$php, '-r', $code, '--', realpath(__DIR__ . '/../bin/autoload.php'), "$scratch/loading-spool", $file,
    ])) . ' 2>&1');
};
/** A copy of the library, changed. */
$changed = static function (string $name, callable $change) use ($scratch, $library): string {
    file_put_contents("$scratch/$name.so", $change(file_get_contents($library)));

    return "$scratch/$name.so";
};
run([
    'a library of another machine is named with both' => static function () use ($said, $changed): void {
        $file = $changed('aarch64', static fn (string $bytes): string => substr_replace($bytes, pack('v', 183), 18, 2));
        check(str_contains($said($file), "$file (given): it is built for aarch64, and this PHP for x86_64"), $said($file));
    },
    'a library that needs a newer glibc is named with both versions' => static function () use ($said, $changed): void {
        $file = $changed('newer', static fn (string $bytes): string => str_replace("\0GLIBC_2.34\0", "\0GLIBC_2.99\0", $bytes));
        check(preg_match('/it is built with glibc 2\.99, and this system has 2\.\d+; install a library that is built on this system/', $said($file)) === 1, $said($file));
    },
    'the README names a glibc that is new enough for the library' => static function () use ($library): void {
        preg_match_all('/\(GLIBC_(2\.\d+)\)/', said(['objdump', '-T', $library]), $found);
        usort($found[1], version_compare(...));
        preg_match('/built on Debian 12 from the repository needs glibc (2\.\d+)/', file_get_contents(__DIR__ . '/../README.md'), $readme);
        check(version_compare($readme[1], end($found[1]), '>='), "$readme[1] is named, and " . end($found[1]) . ' is needed');
    },
    'a file that is no library, or may not be read, is said to be that' => static function () use ($said, $scratch): void {
        file_put_contents("$scratch/text.so", 'no library');
        check(str_contains($said("$scratch/text.so"), 'it is no shared library'), $said("$scratch/text.so"));
        check(str_contains($said("$scratch/absent.so"), 'no such file'), $said("$scratch/absent.so"));
    },
    'musl does not load the library, and a PHP on musl is told so' => static function () use ($scratch, $library): void {
        file_put_contents("$scratch/musl.c", <<<'C'
            #include <dlfcn.h>
            #include <stdio.h>

            int main(int count, char **words)
            {
                FILE *maps = fopen("/proc/self/maps", "r");
                int byte;

                puts(dlopen(words[1], RTLD_NOW) ? "loaded" : "not loaded");
                while ((byte = getc(maps)) != EOF)
                    putchar(byte);
                return 0;
            }
            C);
        said(['musl-gcc', '-o', "$scratch/musl", "$scratch/musl.c"]);
        [$loaded, $maps] = explode("\n", said(["$scratch/musl", $library]), 2);
        check($loaded === 'not loaded', 'if musl loads it, the README is wrong');
        check(Unloadable::isMusl($maps), $maps);
        check(Unloadable::isMusl("7f00-7f01 r-xp 00000000 fe:00 17 /lib/ld-musl-x86_64.so.1\n"), "Alpine's loader");
        check(!Unloadable::isMusl(file_get_contents('/proc/self/maps')), 'this PHP runs on glibc');
        check(str_contains(Unloadable::onMusl(), '__register_atfork') && str_contains(Unloadable::onMusl(), 'image with glibc'), Unloadable::onMusl());
    },
    'a later library of the same major version serves this package' => static function () use ($said, $scratch, $library): void {
        $version = Library::ABI_MAJOR << 16 | (Library::ABI_MINOR + 7);
        file_put_contents("$scratch/later.c", "unsigned meditopia_abi_version(void) { return $version; }\n");
        said(['cc', '-shared', '-fPIC', '-o', "$scratch/later.so", "$scratch/later.c", '-Wl,--no-as-needed', $library, '-Wl,-rpath,' . dirname($library)]);
        check($said("$scratch/later.so") === 'loaded', $said("$scratch/later.so"));
    },
    'a spool that a later version has upgraded takes events, and keeps them for the later version' => static function () use ($scratch): void {
        $client = Client::fromEnvironment(['spool' => "$scratch/upgraded"]);
        $client->enqueue('t', 'u-upgraded', EventType::Video);
        $client->flush(20);
        unset($client);
        // The header of a file of the store: its version at byte 8, a CRC32C at byte 60.
        $ledger = "$scratch/upgraded/ledger/0000000000000001";
        $own = file_get_contents($ledger);
        $newer = substr_replace(substr($own, 0, 60), pack('V', unpack('V', $own, 8)[1] + 1), 8, 4);
        file_put_contents($ledger, $newer . strrev(hash('crc32c', $newer, true)) . substr($own, 64));
        $client = Client::fromEnvironment(['spool' => "$scratch/upgraded"]);
        $client->enqueue('t', 'u-upgraded', EventType::Video);
        $failure = thrown(MeditopiaException::class, static fn () => $client->flush(2));
        check(str_contains($failure->getMessage(), 'version'), $failure->getMessage());
        unset($client);
        file_put_contents($ledger, $own);
        check(Client::fromEnvironment(['spool' => "$scratch/upgraded"])->flush(20)->delivered === 1, 'what was enqueued meanwhile is delivered');
    },
    'a PHP without FFI, or with FFI switched off, is told the way without it' => static function () use ($said, $library): void {
        foreach ([['-n'], ['-d', 'ffi.enable=0']] as $php) {
            $words = $said($library, ...$php);
            check(str_contains($words, '`meditopia import -`') && str_contains($words, '"Without FFI"'), $words);
        }
    },
    'the lines of the README get events in without FFI, each once and in order' => static function () use ($scratch, $library): void {
        $directory = "$scratch/without";
        mkdir($directory);
        mkdir("$scratch/without-spool", 0700);
        $paths = ['/srv/myapp/events' => $directory, '/var/spool/myapp/meditopia' => "$scratch/without-spool", '/etc/myapp/meditopia.token' => "$scratch/without-token"];
        file_put_contents("$scratch/without-token", getenv('MEDITOPIA_BEARER_TOKEN'));
        file_put_contents("$scratch/event.php", '<?php [, $userId, $value] = $argv; ' . strtr(readme('Without FFI', 'php'), $paths));
        $cron = preg_replace('/^(\* ){5}/m', '', strtr(readme('Without FFI', 'crontab'), $paths));
        $path = ['PATH' => dirname($library) . ':' . getenv('PATH'), 'MEDITOPIA_ENDPOINT' => getenv('MEDITOPIA_ENDPOINT')];
        foreach (range(1, 9) as $number) {
            said([PHP_BINARY, '-n', "$scratch/event.php", 'without-1', "$number"]);
            if ($number % 3 === 0) {
                said(['sh', '-c', $cron], $path);
            }
        }
        check(Ledger::numbers('without-') === ['without-1' => range(1, 9)], json_encode(Ledger::numbers('without-')));
        file_put_contents("$directory/" . gmdate('Y-m-d') . '.ndjson', "{\"bad\n", FILE_APPEND);
        check(str_contains(said(['sh', '-c', $cron], $path), 'is not JSON'), 'cron mails what is bad');
        said([PHP_BINARY, '-n', "$scratch/event.php", 'without-1', '10']);
        said(['sh', '-c', $cron], $path);
        check(Ledger::numbers('without-') === ['without-1' => range(1, 10)], json_encode(Ledger::numbers('without-')));
    },
]);
