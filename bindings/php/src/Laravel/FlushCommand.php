<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Laravel;

use Illuminate\Console\Command;
use Illuminate\Contracts\Container\Container;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\Console\Outcome;
use Psr\Log\LoggerInterface;

/** The sender for Laravel's scheduler: `$schedule->command('meditopia:flush')->everyMinute()->runInBackground()`. */
final class FlushCommand extends Command
{
    /** @var string */
    protected $signature = 'meditopia:flush {--timeout=50 : Seconds that the delivery may take}';

    /** @var string */
    protected $description = 'Delivers the events that wait, and says what is left';

    /** @var string */
    protected $help = Outcome::FLUSH_HELP;

    public function handle(Container $container, LoggerInterface $logger): int
    {
        $outcome = Outcome::ofFlush(static function () use ($container): Client {
            /** @var Client $client */
            $client = $container->make(Client::class);

            return $client;
        }, $this->option('timeout'));
        if ($outcome->isFailure()) {
            // The scheduler drops what a command prints.
            $logger->error("meditopia:flush: $outcome->text", ['status' => $outcome->status]);
            $this->error("meditopia:flush: $outcome->text");
        } else {
            $this->line($outcome->text);
        }

        return $outcome->status;
    }
}
