<?php

// The least that is a Laravel application: its kernels, its router, a job, and the package's service provider.
// Options come from `.env`, as Laravel reads it; the log is Laravel's own channel.

use Illuminate\Console\Scheduling\Schedule;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Application;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Bus;
use Illuminate\Support\Facades\Route;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\ClientInterface;
use Meditopia\PartnerEvents\EventType;

// The classes of what Debian has packaged, and of the site's vendor.
error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Illuminate/autoload.php';
require_once dirname(__DIR__, 2) . '/vendor/autoload.php';

// `config:cache` reads this file again.
if (!class_exists(ConsoleKernel::class, false)) {
    class ConsoleKernel extends Illuminate\Foundation\Console\Kernel
    {
        protected function schedule(Schedule $schedule): void
        {
            $schedule->command('meditopia:flush')->everyMinute()->runInBackground();
        }
    }

    final class Watched implements ShouldQueue
    {
        public function __construct(private readonly string $user, private readonly string $number)
        {
        }

        public function handle(ClientInterface $meditopia): void
        {
            $meditopia->enqueue('user-token-1', $this->user, EventType::Audio, $this->number);
        }
    }
}

$app = new Application(dirname(__DIR__));
$app->singleton(Illuminate\Contracts\Http\Kernel::class, Illuminate\Foundation\Http\Kernel::class);
$app->singleton(Illuminate\Contracts\Console\Kernel::class, ConsoleKernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
$app->booted(static function (): void {
    Route::get('/laravel', static function (Request $request, Client $meditopia): string {
        $meditopia->enqueue('user-token-1', $request->query('user'), EventType::Audio, $request->query('number'));

        return 'acknowledged';
    });
    // One invalid event is no reason for a 500.
    Route::get('/laravel/try', static function (Request $request, ClientInterface $meditopia): string {
        return $meditopia->tryEnqueue('user-token-1', $request->query('user'), EventType::Audio) ? 'acknowledged' : 'went on';
    });
    Route::get('/laravel/job', static function (Request $request): string {
        Bus::dispatch(new Watched($request->query('user'), $request->query('number')));

        return 'dispatched';
    });
});

return $app;
