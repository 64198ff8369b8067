<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Laravel;

use Illuminate\Console\Command;
use Illuminate\Contracts\Container\Container;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\Console\Outcome;

/** Says what waits and whether somebody sends. */
final class StatusCommand extends Command
{
    /** @var string */
    protected $signature = 'meditopia:status';

    /** @var string */
    protected $description = 'Says how many events wait, whether delivery is paused and when a sender was seen';

    public function handle(Container $container): int
    {
        $outcome = Outcome::ofStatus(static function () use ($container): Client {
            /** @var Client $client */
            $client = $container->make(Client::class);

            return $client;
        });
        $this->line($outcome->text);

        return $outcome->status;
    }
}
