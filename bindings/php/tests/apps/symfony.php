<?php

// public/index.php of the Symfony application in tests/apps/symfony, as the tests have laid it into the project.

require_once "$_SERVER[PROJECT]/symfony/src/Site.php";

$kernel = new Site('prod', false);
$kernel->handle(Symfony\Component\HttpFoundation\Request::createFromGlobals())->send();
