<?php

// The least that is a Symfony application: a kernel with the framework and the package's bundle, and a controller.

use Meditopia\PartnerEvents\Client;
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
require_once "$_SERVER[PROJECT]/vendor/autoload.php";

final class Site extends Kernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle(), new MeditopiaBundle()];
    }

    public function getProjectDir(): string
    {
        return "$_SERVER[PROJECT]/symfony";
    }

    public function event(Request $request, Client $meditopia): Response
    {
        $meditopia->enqueue('user-token-1', $request->query->get('user'), EventType::Content, $request->query->get('number'));

        return new Response('acknowledged');
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
    }
}

$kernel = new Site('prod', false);
$kernel->handle($request = Request::createFromGlobals())->send();
