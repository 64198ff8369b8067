"""FastAPI under uvicorn."""

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


def an_application_that_is_imported_needs_no_spool(machine):
    said = machine.run("python -c 'import app'", cwd=APP, user="myapp", MEDITOPIA_LIBRARY="/none")
    check(said == "", said)


def the_sandbox_runs_the_server(machine):
    service.sandboxed(machine)


def the_line_that_asks_why_answers(machine):
    service.asks_why(machine)
