"""Symfony as Debian packages it, in a new application behind nginx and php-fpm."""

import json
import os
import re
from pathlib import Path

from machine import check, until
from stories.fpm import SOCKET, start_fpm, start_nginx, write_ini

APP = "/srv/myapp"
SPOOL = "/var/spool/myapp/meditopia"

FILES = {
    "src/Kernel.php": """<?php
namespace App;
final class Kernel extends \\Symfony\\Component\\HttpKernel\\Kernel
{
    use \\Symfony\\Bundle\\FrameworkBundle\\Kernel\\MicroKernelTrait;
    public function getProjectDir(): string
    {
        return dirname(__DIR__);
    }
}
""",
    "src/boot.php": """<?php
error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Symfony/Bundle/FrameworkBundle/autoload.php';
require_once 'Symfony/Component/Console/autoload.php';
require_once 'Symfony/Component/Yaml/autoload.php';
require_once dirname(__DIR__) . '/vendor/autoload.php';
""",
    "bin/console": """<?php
require_once dirname(__DIR__) . '/src/boot.php';
(new Symfony\\Bundle\\FrameworkBundle\\Console\\Application(new App\\Kernel('prod', false)))->run();
""",
    # A request of the development server: ask ENVIRONMENT PATH
    "bin/ask": """<?php
require_once dirname(__DIR__) . '/src/boot.php';
[, $environment, $path] = $argv;
(new App\\Kernel($environment, true))->handle(Symfony\\Component\\HttpFoundation\\Request::create($path))->send();
""",
    "public/index.php": """<?php
require_once dirname(__DIR__) . '/src/boot.php';
(new App\\Kernel('prod', false))->handle(Symfony\\Component\\HttpFoundation\\Request::createFromGlobals())->send();
""",
    "config/packages/framework.yaml": "framework: {secret: none, http_method_override: false}\n",
    "config/packages/test/framework.yaml": "framework: {test: true}\n",
    "config/routes.yaml": "watched: {path: '/watched/{title}', controller: 'App\\Controller\\VideoController::watched'}\n",
    "config/services.yaml": """services:
    _defaults: {autowire: true, autoconfigure: true}
    App\\Controller\\: {resource: '../src/Controller', tags: ['controller.service_arguments']}
    logger: {class: Symfony\\Component\\HttpKernel\\Log\\Logger, arguments: [warning, '%kernel.project_dir%/var/site.log']}
""",
}


def the_first_lines_install_it(machine):
    page = machine.page
    machine.write(f"{APP}/composer.json", json.dumps({"autoload": {"psr-4": {"App\\": "src/"}}}))
    for name, text in FILES.items():
        machine.write(f"{APP}/{name}", text)
    for block in ("bundles", "options", "controller", "recording"):
        machine.write(f"{APP}/{re.search(r'(?:// |# )(.*)', page[block])[1]}", page[block])
    os.mkdir(f"{APP}/var")
    machine.write(f"{APP}/my-token", machine.token)
    said = machine.paste("install")
    write_ini([line for line in said.splitlines() if " = " in line])
    machine.give(APP, "www-data")
    machine.spool_of("www-data", SPOOL)


def console(machine, arguments, **more):
    return machine.run(f"php bin/console {arguments}", cwd=APP, user="www-data", **more)


def log():
    path = Path(f"{APP}/var/site.log")
    return path.read_text() if path.exists() else ""


def a_controller_enqueues_and_cron_delivers(machine):
    console(machine, "cache:warmup")
    start_fpm(machine)
    start_nginx(machine, f"{APP}/public/index.php")
    for number in range(10):
        answer = machine.get(f"/watched/calm-{number}?user=17", SOCKET)
        check(answer == (200, "ok"), f"{answer} {log()}")
    check(machine.values("17") == [], "a request sends nothing")
    check(machine.cron(machine.page["cron"]) == "", "cron has nothing to mail")
    check(machine.values("17") == [f"calm-{number}" for number in range(10)], machine.events())


def a_bad_event_is_no_error_500(machine):
    check(machine.get("/watched/calm", SOCKET) == (200, "ok"), log())
    check("an event was not queued: partner_user_id" in log(), log())


def the_lines_that_ask_why_tell_what_waits_and_deliver_it(machine):
    machine.get("/watched/deep?user=18", SOCKET)
    said = machine.paste("why")
    check("pending:     1" in said and "1 delivered, 0 rejected" in said, said)
    check(machine.values("18") == ["deep"], machine.events())


def the_test_of_the_page_passes_with_phpunit_and_without_ffi(machine):
    machine.write(f"{APP}/config/services_test.yaml", machine.page["recording-services"])
    command = "php -d ffi.enable=0 /usr/bin/phpunit --bootstrap src/boot.php tests"
    said = machine.run(command, cwd=APP, user="www-data", APP_ENV="test", KERNEL_CLASS="App\\Kernel")
    check("OK (1 test" in said, said)


def a_development_machine_delivers_nothing_and_says_so(machine):
    machine.write(f"{APP}/config/services_dev.yaml", machine.page["disabled"])
    said = machine.run("php -d ffi.enable=0 bin/ask dev /watched/none?user=19", cwd=APP, user="www-data")
    check(said == "ok" and "disabled" in log(), said + log())
    os.remove(f"{APP}/config/services_dev.yaml")


def the_lines_for_the_sandbox_deliver_there(machine):
    machine.write(f"{APP}/config/packages/dev/meditopia.yaml", machine.page["sandbox-options"])
    machine.run(f"ln -s {machine.built}/meditopia /usr/local/bin/meditopia")
    sandbox = machine.start(machine.page["sandbox"].strip())
    until("the sandbox", lambda: "url" in sandbox.said())
    check(machine.run("php bin/ask dev /watched/local?user=20", cwd=APP, user="www-data") == "ok", log())
    machine.run("sed -i \"s/'prod', false/'dev', true/\" bin/console", cwd=APP)
    said = console(machine, "meditopia:flush")
    check(said.startswith("1 delivered"), said)
    status, events = machine.get("/sandbox/ledger/events", 8080)
    check(status == 200 and '"local"' in events, events)
