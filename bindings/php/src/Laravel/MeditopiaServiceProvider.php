<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Laravel;

use Illuminate\Support\ServiceProvider;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\ClientInterface;
use Psr\Log\LoggerInterface;

/** Gives Laravel's container the client: options from config/meditopia.php, else from MEDITOPIA_* variables. */
final class MeditopiaServiceProvider extends ServiceProvider
{
    private const CONFIG = __DIR__ . '/../../config/meditopia.php';

    public function register(): void
    {
        $this->mergeConfigFrom(self::CONFIG, 'meditopia');
        $this->app->singleton(Client::class, static fn ($app): Client => Client::fromEnvironment(
            $app['config']->get('meditopia'),
            $app->bound(LoggerInterface::class) ? $app->make(LoggerInterface::class) : null,
        ));
        $this->app->alias(Client::class, ClientInterface::class);
    }

    public function boot(): void
    {
        $this->publishes([self::CONFIG => $this->app->configPath('meditopia.php')], 'meditopia');
        $this->commands([FlushCommand::class, StatusCommand::class]);
    }
}
