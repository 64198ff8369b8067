<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents\Symfony;

use Meditopia\PartnerEvents\Client;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\ContainerInterface;
use Symfony\Component\DependencyInjection\Reference;
use Symfony\Component\HttpKernel\Bundle\Bundle;

/** Gives Symfony's container the client: options from the parameter `meditopia.options`, else from MEDITOPIA_* variables. */
final class MeditopiaBundle extends Bundle
{
    public function build(ContainerBuilder $container): void
    {
        // The application's own configuration is read after this and wins.
        $container->setParameter('meditopia.options', []);
        $container->register(Client::class)
            ->setFactory([Client::class, 'fromEnvironment'])
            ->setArguments([
                '%meditopia.options%',
                new Reference('logger', ContainerInterface::NULL_ON_INVALID_REFERENCE),
            ]);
    }
}
