"""Flask under gunicorn, in its development server, and in its test client."""

from machine import check
from stories import service
from stories.service import APP


def the_first_lines_install_it(machine):
    service.prepare(machine)
    service.install(machine)
    machine.write(f"{APP}/app.py", machine.page["app"])


def a_server_that_is_told_to_stop_has_delivered_what_it_acknowledged(machine):
    service.serve(machine, "serve")


def the_test_of_the_page_passes_where_no_library_is(machine):
    service.test_of_the_page(machine, "test_app.py")


def a_bad_event_is_logged_and_nothing_is_opened_where_it_is_disabled(machine):
    ask = "import app\nprint(app.app.test_client().get('/watched/u/%s').text)" % ("x" * 70_000)
    machine.write(f"{APP}/ask.py", ask)
    said = machine.run("python ask.py", cwd=APP, user="myapp", MEDITOPIA_DISABLED="1")
    check("an event is not queued" in said and said.endswith("ok\n"), said)
    machine.run("flask routes", cwd=APP, user="myapp")


def the_sandbox_runs_the_development_server(machine):
    service.sandboxed(machine)


def the_line_that_asks_why_answers(machine):
    service.asks_why(machine)
