<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Laravel;

use Illuminate\Contracts\Config\Repository;
use Illuminate\Contracts\Container\Container;
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
        $this->app->singleton(Client::class, static function (Container $app): Client {
            /** @var Repository $config */
            $config = $app->make('config');
            /** @var array<string, string|int|bool|null> $options */
            $options = $config->get('meditopia');
            /** @var ?LoggerInterface $logger */
            $logger = $app->bound(LoggerInterface::class) ? $app->make(LoggerInterface::class) : null;

            return Client::fromEnvironment($options, $logger);
        });
        $this->app->alias(Client::class, ClientInterface::class);
    }

    public function boot(): void
    {
        $this->publishes([self::CONFIG => $this->app->configPath('meditopia.php')], 'meditopia');
        $this->commands([FlushCommand::class, StatusCommand::class]);
    }
}
