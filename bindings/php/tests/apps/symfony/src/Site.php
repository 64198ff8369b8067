<?php

// The least that is a Symfony application: a kernel with the framework and the package's bundle, and its controllers.
// `cache:warmup` caches its container.

use Meditopia\PartnerEvents\Client;
use Meditopia\PartnerEvents\ClientInterface;
use Meditopia\PartnerEvents\EventType;
use Meditopia\PartnerEvents\Symfony\MeditopiaBundle;
use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpKernel\Kernel;
use Symfony\Component\HttpKernel\Log\Logger;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Symfony/Bundle/FrameworkBundle/autoload.php';
require_once dirname(__DIR__, 2) . '/vendor/autoload.php';

final class Site extends Kernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle(), new MeditopiaBundle()];
    }

    public function getProjectDir(): string
    {
        return dirname(__DIR__);
    }

    public function event(Request $request, Client $meditopia): Response
    {
        $meditopia->enqueue('user-token-1', $request->query->get('user'), EventType::Content, $request->query->get('number'));

        return new Response('acknowledged');
    }

    /** One invalid event is no reason for a 500. */
    public function try(Request $request, ClientInterface $meditopia): Response
    {
        $queued = $meditopia->tryEnqueue('user-token-1', $request->query->get('user'), EventType::Content);

        return new Response($queued ? 'acknowledged' : 'went on');
    }

    private function configureContainer(ContainerConfigurator $container): void
    {
        $container->extension('framework', ['secret' => 'no secret', 'http_method_override' => false]);
        // Symfony's own, which leaves out warnings unless it is given a file.
        $container->services()->set('logger', Logger::class)->args(['warning', '%kernel.project_dir%/var/site.log'])->public();
        $container->parameters()->set('meditopia.options', ['spool' => '%env(SYMFONY_SPOOL)%']);
    }

    private function configureRoutes(RoutingConfigurator $routes): void
    {
        $routes->add('event', '/symfony')->controller([$this, 'event']);
        $routes->add('try', '/symfony/try')->controller([$this, 'try']);
    }
}
