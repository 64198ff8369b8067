<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Symfony;

use Closure;
use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\Console\Outcome;
use Psr\Log\LoggerInterface;
use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Input\InputOption;
use Symfony\Component\Console\Output\ConsoleOutputInterface;
use Symfony\Component\Console\Output\OutputInterface;

/** The sender for cron or Symfony's scheduler: `bin/console meditopia:flush`. */
final class FlushCommand extends Command
{
    /** @param Closure(): Client $client */
    public function __construct(private readonly Closure $client, private readonly ?LoggerInterface $logger)
    {
        parent::__construct('meditopia:flush');
    }

    protected function configure(): void
    {
        $this->setDescription('Delivers the events that wait, and says what is left')
            ->setHelp(Outcome::FLUSH_HELP)
            ->addOption('timeout', null, InputOption::VALUE_REQUIRED, 'Seconds that the delivery may take', '50');
    }

    protected function execute(InputInterface $input, OutputInterface $output): int
    {
        $outcome = Outcome::ofFlush($this->client, $input->getOption('timeout'));
        if ($outcome->isFailure()) {
            $this->logger?->error("meditopia:flush: $outcome->text", ['status' => $outcome->status]);
            $output = $output instanceof ConsoleOutputInterface ? $output->getErrorOutput() : $output;
        }
        $output->writeln($outcome->text, OutputInterface::OUTPUT_RAW);

        return $outcome->status;
    }
}
