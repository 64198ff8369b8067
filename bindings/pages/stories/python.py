"""Plain Python: a script, cron, and the lines of gunicorn and uWSGI with Flask's application in them."""

from pathlib import Path

from machine import check
from page import Page
from stories import service
from stories.service import APP


def the_first_lines_install_enqueue_and_deliver(machine):
    service.prepare(machine)
    service.install(machine)
    machine.write(f"{APP}/report.py", machine.page["script"])
    said = machine.run("python report.py", cwd=APP, user="myapp")
    check(said == "" and machine.values("user-1") == ["morning calm"], f"{said} {machine.events()}")


def the_line_of_cron_delivers_what_a_process_has_left(machine):
    script = (
        machine.page["script"].replace("    client.enqueue", "    import os\n    client.enqueue") + "    os._exit(0)\n"
    )
    machine.write(f"{APP}/killed.py", script.replace("bearer_token_file=", 'role="enqueue", bearer_token_file='))
    machine.run("python killed.py", cwd=APP, user="myapp")
    check(machine.values("user-1") == ["morning calm"], machine.events())
    check(machine.cron(machine.page["cron"]) == "", "cron has nothing to mail")
    check(machine.values("user-1") == ["morning calm"] * 2, machine.events())


def the_lines_that_ask_why_tell_what_waits_and_deliver_it(machine):
    machine.run("python killed.py", cwd=APP, user="myapp")
    said = service.asks_why(machine)
    check(machine.values("user-1") == ["morning calm"] * 3, said)


def the_servers_deliver_at_sigterm_what_they_have_acknowledged(machine):
    flask = Page(Path(__file__).parents[3] / "docs" / "frameworks" / "flask.md")
    machine.write(f"{APP}/app.py", flask["app"])
    for block in ("gunicorn", "uwsgi"):
        service.serve(machine, block)


def the_doubles_need_no_library(machine):
    machine.write(f"{APP}/recording.py", machine.page["recording"])
    machine.run("python recording.py", cwd=APP, MEDITOPIA_LIBRARY="/none")
    machine.write(
        f"{APP}/disabled.py",
        machine.page["disabled"] + "client.enqueue(token='t', partner_user_id='u', event='video')\n",
    )
    said = machine.run("python disabled.py", cwd=APP, MEDITOPIA_LIBRARY="/none")
    check("disabled" in said, said)
    said = machine.run("python disabled.py", cwd=APP, user="myapp", MEDITOPIA_SPOOL=service.SPOOL)
    check(said == "", said)


def the_sandbox_runs_a_script(machine):
    machine.write(f"{APP}/try.py", machine.page["sandbox-script"])
    said = machine.paste("sandbox", cwd=APP)
    check("1 delivered" in said, said)
