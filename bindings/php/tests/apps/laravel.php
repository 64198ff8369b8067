<?php

// The least that is a Laravel application: its kernel, its router, and the package's service provider. Options come
// from `.env` of the project, as Laravel reads it; the log is Laravel's own channel.

use Illuminate\Contracts\Http\Kernel;
use Illuminate\Foundation\Application;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Route;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\EventType;
use Meditopia\PartnerEvents\Laravel\MeditopiaServiceProvider;

error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Illuminate/autoload.php';
require_once "$_SERVER[PROJECT]/vendor/autoload.php";

$app = new Application("$_SERVER[PROJECT]/laravel");
$app->singleton(Kernel::class, Illuminate\Foundation\Http\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
$app->booted(static function (): void {
    Route::get('/laravel', static function (Request $request, Client $meditopia): string {
        $meditopia->enqueue('user-token-1', $request->query('user'), EventType::Audio, $request->query('number'));

        return 'acknowledged';
    });
});
$response = $app->make(Kernel::class)->handle($request = Request::capture());
$response->send();
