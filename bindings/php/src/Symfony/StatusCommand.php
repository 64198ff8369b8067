<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Symfony;

use Closure;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\Console\Outcome;
use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Output\OutputInterface;

/** Says what waits and whether somebody sends. */
final class StatusCommand extends Command
{
    /** @param Closure(): Client $client */
    public function __construct(private readonly Closure $client)
    {
        parent::__construct('meditopia:status');
    }

    protected function configure(): void
    {
        $this->setDescription('Says how many events wait, whether delivery is paused and when a sender was seen');
    }

    protected function execute(InputInterface $input, OutputInterface $output): int
    {
        $outcome = Outcome::ofStatus($this->client);
        $output->writeln($outcome->text, OutputInterface::OUTPUT_RAW);

        return $outcome->status;
    }
}
