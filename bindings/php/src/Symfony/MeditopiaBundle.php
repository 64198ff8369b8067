<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Symfony;

use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\ClientInterface;
use Symfony\Component\DependencyInjection\Argument\ServiceClosureArgument;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\ContainerInterface;
use Symfony\Component\DependencyInjection\Reference;
use Symfony\Component\HttpKernel\Bundle\Bundle;

/** Gives Symfony's container the client: options from the parameter `meditopia.options`, else from MEDITOPIA_* variables. */
final class MeditopiaBundle extends Bundle
{
    public function build(ContainerBuilder $container): void
    {
        $logger = new Reference('logger', ContainerInterface::NULL_ON_INVALID_REFERENCE);
        // The commands are made for each `bin/console`; the client only when one of them runs.
        $client = new ServiceClosureArgument(new Reference(Client::class));
        // The application's own configuration is read after this and wins.
        $container->setParameter('meditopia.options', []);
        $container->register(Client::class)
            ->setFactory([Client::class, 'fromEnvironment'])
            ->setArguments(['%meditopia.options%', $logger]);
        $container->setAlias(ClientInterface::class, Client::class);
        $container->register(FlushCommand::class)->setArguments([$client, $logger])
            ->addTag('console.command', ['command' => 'meditopia:flush']);
        $container->register(StatusCommand::class)->setArguments([$client])
            ->addTag('console.command', ['command' => 'meditopia:status']);
    }
}
