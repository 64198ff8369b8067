"""Laravel as Debian packages it, in a new application behind nginx and php-fpm; packages are discovered by Laravel itself."""

import json
import re
import shutil
from pathlib import Path

from machine import check, until
from stories.fpm import SOCKET, start_fpm, start_nginx, write_ini

APP = "/srv/myapp"
SPOOL = "/var/spool/myapp/meditopia"
CONFIG = Path(__file__).parents[2] / "php" / "tests" / "apps" / "laravel" / "config"

FILES = {
    "bootstrap/app.php": """<?php
error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Illuminate/autoload.php';
require_once dirname(__DIR__) . '/vendor/autoload.php';
$app = new Illuminate\\Foundation\\Application(dirname(__DIR__));
$app->singleton(Illuminate\\Contracts\\Http\\Kernel::class, Illuminate\\Foundation\\Http\\Kernel::class);
$app->singleton(Illuminate\\Contracts\\Console\\Kernel::class, App\\Console\\Kernel::class);
$app->singleton(Illuminate\\Contracts\\Debug\\ExceptionHandler::class, Illuminate\\Foundation\\Exceptions\\Handler::class);
return $app;
""",
    "public/index.php": """<?php
$app = require dirname(__DIR__) . '/bootstrap/app.php';
$app->make(Illuminate\\Contracts\\Http\\Kernel::class)->handle(Illuminate\\Http\\Request::capture())->send();
""",
    "artisan": (CONFIG.parent / "artisan").read_text(),
    "app/Console/Kernel.php": """<?php
namespace App\\Console;
final class Kernel extends \\Illuminate\\Foundation\\Console\\Kernel
{
    protected function schedule(\\Illuminate\\Console\\Scheduling\\Schedule $schedule): void
    {
        SCHEDULE
    }
}
""",
    "app/Providers/AppServiceProvider.php": """<?php
namespace App\\Providers;
use Illuminate\\Support\\Facades\\Route;
final class AppServiceProvider extends \\Illuminate\\Support\\ServiceProvider
{
    public function register(): void
    {
        REGISTER
    }
    public function boot(): void
    {
        // As a guard would: the user of the request.
        Route::matched(static fn ($event) => $event->request->setUserResolver(
            static fn () => (object) ['id' => $event->request->query('none') ? null : 17, 'meditopia_token' => 'user-token-1'],
        ));
        Route::get('/watched/{title}', 'App\\Http\\Controllers\\VideoController@watched');
        Route::get('/dispatch/{title}', static function (string $title): string {
            \\App\\Jobs\\ReportVideo::dispatch('user-token-1', 18, $title);
            return 'ok';
        });
    }
}
""",
    "tests/bootstrap.php": """<?php
error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Illuminate/autoload.php';
require_once dirname(__DIR__) . '/vendor/autoload.php';
""",
    "tests/TestCase.php": """<?php
namespace Tests;
abstract class TestCase extends \\Illuminate\\Foundation\\Testing\\TestCase
{
    public function createApplication()
    {
        $app = require dirname(__DIR__) . '/bootstrap/app.php';
        $app->make(\\Illuminate\\Contracts\\Console\\Kernel::class)->bootstrap();
        return $app;
    }
}
""",
}
JOBS = "create table jobs (id integer primary key, queue text, payload text, attempts int, reserved_at int, available_at int, created_at int)"


def artisan(machine, arguments, **more):
    return machine.run(f"php artisan {arguments}", cwd=APP, user="www-data", **more)


def the_first_lines_install_it_and_laravel_discovers_it(machine):
    page = machine.page
    machine.write(f"{APP}/composer.json", json.dumps({"autoload": {"psr-4": {"App\\": "app/", "Tests\\": "tests/"}}}))
    for name, text in FILES.items():
        text = text.replace("SCHEDULE", page["schedule"]).replace("        REGISTER\n", "")
        machine.write(f"{APP}/{name}", text, 0o755 if name == "artisan" else 0o644)
    shutil.copytree(CONFIG, f"{APP}/config")
    config = Path(f"{APP}/config/app.php")
    lines = re.sub(r"Meditopia.*::class", "App\\\\Providers\\\\AppServiceProvider::class", config.read_text())
    config.write_text(lines.replace("'env' => 'production'", "'env' => env('APP_ENV', 'production')"))
    for block in ("controller", "job", "recording"):
        machine.write(f"{APP}/{re.search(r'<.php // (.*)', page[block])[1]}", page[block])
    for folder in ("bootstrap/cache", "storage/logs", "storage/framework/views", "storage/framework/cache"):
        Path(f"{APP}/{folder}").mkdir(parents=True)
    machine.write(f"{APP}/.env", f"APP_KEY=base64:{'a' * 43}=\n")
    machine.run(f"php -r \"(new PDO('sqlite:{APP}/storage/jobs.sqlite'))->exec('{JOBS}');\"")
    machine.write(f"{APP}/my-token", machine.token)
    said = machine.paste("install")
    ini = [line for line in said.splitlines() if " = " in line]
    check(len(ini) == 4, said)
    write_ini(ini)
    machine.give(APP, "www-data")
    check("meditopia/partner-events" in artisan(machine, "package:discover"), "Laravel has discovered it")
    machine.spool_of("www-data", SPOOL)


def a_controller_enqueues_and_the_schedule_of_cron_delivers(machine):
    start_fpm(machine)
    start_nginx(machine, f"{APP}/public/index.php")
    for number in range(10):
        answer = machine.get(f"/watched/calm-{number}", SOCKET)
        check(answer == (200, "ok"), f"{answer} {log()}")
    check(machine.values("17") == [], "a request sends nothing")
    artisan(machine, "config:cache")
    machine.cron(machine.page["cron"])
    until("ten events", lambda: machine.values("17") == [f"calm-{number}" for number in range(10)])


def log():
    path = Path(f"{APP}/storage/logs/laravel.log")
    return path.read_text() if path.exists() else ""


def a_bad_event_is_no_error_500(machine):
    check(machine.get("/watched/calm?none=1", SOCKET) == (200, "ok"), log())
    check("an event was not queued: partner_user_id" in log(), log())


def a_job_enqueues_in_a_worker(machine):
    check(machine.get("/dispatch/deep", SOCKET) == (200, "ok"), log())
    said = artisan(machine, "queue:work --stop-when-empty")
    check(said.count("Processed:") == 1, said)
    said = machine.paste("why")
    check("pending:     1" in said and "1 delivered, 0 rejected" in said, said)
    check(machine.values("18") == ["deep"], machine.events())


def the_test_of_the_page_passes_with_phpunit_and_without_ffi(machine):
    artisan(machine, "config:clear")
    said = machine.run(
        "php -d ffi.enable=0 /usr/bin/phpunit --bootstrap tests/bootstrap.php tests/Feature", cwd=APP, user="www-data"
    )
    check("OK (1 test" in said, said)


def the_lines_for_the_sandbox_deliver_there(machine):
    env = Path(f"{APP}/.env")
    kept = env.read_text()
    env.write_text(
        "".join(line for line in kept.splitlines(True) if "MEDITOPIA" not in line) + machine.page["sandbox-env"]
    )
    machine.run(f"ln -s {machine.built}/meditopia /usr/local/bin/meditopia")
    sandbox = machine.start(machine.page["sandbox"].strip())
    until("the sandbox", lambda: "url" in sandbox.said())
    check(machine.get("/watched/local", SOCKET) == (200, "ok"), log())
    said = artisan(machine, "meditopia:flush")
    check(said.startswith("1 delivered"), said)
    status, events = machine.get("/sandbox/ledger/events", 8080)
    check(status == 200 and '"local"' in events, events)
    env.write_text(kept)


def a_development_machine_delivers_nothing_and_says_so(machine):
    provider = Path(f"{APP}/app/Providers/AppServiceProvider.php")
    kept = provider.read_text()
    provider.write_text(
        kept.replace("register(): void\n    {\n", "register(): void\n    {\n" + machine.page["disabled"])
    )
    env = Path(f"{APP}/.env")
    env.write_text(env.read_text() + "APP_ENV=local\n")
    machine.run(f"rm {APP}/storage/logs/laravel.log")
    # opcache looks at a file again every two seconds.
    until("the new provider", lambda: machine.get("/watched/none", SOCKET) == (200, "ok") and "disabled" in log())
    provider.write_text(kept)
