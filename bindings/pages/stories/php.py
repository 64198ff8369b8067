"""Plain PHP: Debian's php-fpm with its own configuration, nginx, cron's line, and systemd's files."""

from machine import check, found
from stories.fpm import SOCKET, start_fpm, start_nginx, write_ini

SPOOL = "/var/spool/myapp/meditopia"


def values(machine):
    return machine.values("user-1")


def the_first_lines_install_enqueue_and_deliver(machine):
    machine.write("/srv/myapp/my-token", machine.token)
    machine.paste("install")
    machine.spool_of("www-data", SPOOL)
    machine.write("/srv/myapp/public/index.php", machine.page["enqueue"])
    machine.run("php /srv/myapp/public/index.php", user="www-data")
    check(values(machine) == [], "nothing is sent by a script")
    check(machine.cron(machine.page["cron"]) == "", "cron has nothing to mail")
    check(values(machine) == ["morning calm"], machine.events())


def the_lines_that_the_installer_prints_let_php_fpm_enqueue(machine):
    said = machine.paste("preload")
    lines = [line.strip() for line in machine.page["ini"].splitlines()]
    check([line.strip() for line in said.splitlines() if "=" in line] == lines, said)
    write_ini(machine.page["ini"].splitlines())
    fpm = start_fpm(machine)
    start_nginx(machine, "/srv/myapp/public/index.php")
    for _ in range(20):
        status, body = machine.get("/", SOCKET)
        check(status == 200 and body == "", f"{status} {body} {machine.said()}")
    # Killed, a worker loses nothing.
    machine.stop(fpm, 9)
    machine.cron(machine.page["cron"])
    check(len(values(machine)) == 21, machine.events())


def the_units_of_systemd_are_right_and_deliver(machine):
    for kind in ("service", "timer"):
        machine.write(f"/etc/systemd/system/myapp-meditopia.{kind}", machine.page[kind])
    machine.run(
        "systemd-analyze verify --man=no /etc/systemd/system/myapp-meditopia.service /etc/systemd/system/myapp-meditopia.timer"
    )
    machine.run("php /srv/myapp/public/index.php", user="www-data")
    unit = machine.page["service"]
    environment = dict(pair.split("=", 1) for pair in found(r"Environment=(.*)", unit)[1].split())
    said = machine.run(found(r"ExecStart=(.*)", unit)[1], user=found(r"User=(.*)", unit)[1], **environment)
    check(said == "1 delivered, 0 rejected, 0 expired, 0 left\n", said)


def a_bad_event_is_logged_and_the_page_is_served(machine):
    code = (
        machine.page["enqueue"]
        + "$user = (object) ['token' => 't', 'id' => 17]; $title = 'calm';\n"
        + machine.page["try"]
    )
    machine.write("/srv/myapp/public/try.php", code + "$user->id = null;\n" + machine.page["try"] + "echo 'served';\n")
    said = machine.run("php -d display_errors=1 -d error_log=/dev/stderr /srv/myapp/public/try.php", user="www-data")
    check("an event was not queued: partner_user_id: " in said and said.endswith("served"), said)
    said = machine.paste("why")
    check(said == "2 delivered, 0 rejected, 0 expired, 0 left\n", said)


def the_doubles_need_neither_library_nor_ffi(machine):
    autoload = "<?php require '/srv/myapp/vendor/autoload.php';\n"
    machine.write("/srv/myapp/recording.php", autoload + machine.page["recording"])
    machine.run("php -d zend.assertions=1 -d assert.exception=1 -d ffi.enable=0 recording.php", cwd="/srv/myapp")
    asks = "$meditopia->enqueue('t', 'u', 'video'); echo $meditopia::class;\n"
    machine.write("/srv/myapp/disabled.php", autoload + machine.page["disabled"] + asks)
    said = machine.run("php -d ffi.enable=0 -d error_log=/dev/stderr disabled.php", cwd="/srv/myapp")
    check(said.endswith("DisabledClient") and "disabled" in said.splitlines()[0], said)
    said = machine.run("php disabled.php", cwd="/srv/myapp", user="www-data", APP_ENV="production")
    check(said == "Meditopia\\PartnerEvents\\Client", said)


def the_sandbox_runs_a_script(machine):
    machine.run(f"ln -s {machine.built}/meditopia /usr/local/bin/meditopia")
    machine.write("/srv/myapp/try.php", machine.page["sandbox-script"])
    said = machine.paste("sandbox", cwd="/srv/myapp")
    check("1 delivered" in said, said)


def a_refused_token_is_said_by_the_line_that_asks_why(machine):
    machine.run("php /srv/myapp/public/index.php", user="www-data")
    machine.run("chown www-data /etc/myapp/meditopia.token; echo wrong >/etc/myapp/meditopia.token")
    said = machine.run(f"set +e; {machine.page['why']} echo status $?")
    check("A_1002" in said and said.endswith("status 7\n"), said)
