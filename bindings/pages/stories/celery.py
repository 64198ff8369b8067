"""Celery with prefork workers, over a broker of files."""

import os

from machine import check, until
from stories import service
from stories.service import APP

BROKER = {"CELERY_BROKER_URL": "filesystem://", "CELERY_IGNORE_RESULT": "1"}


def the_first_lines_install_it(machine):
    service.prepare(machine)
    service.install(machine)
    machine.write(f"{APP}/tasks.py", machine.page["app"])
    # What goes out of one process comes into another.
    for folder in ("data_in", "control"):
        os.mkdir(f"{APP}/{folder}")
    os.symlink("data_in", f"{APP}/data_out")
    machine.give(APP, "myapp")


def order(machine, name):
    code = f"import tasks\nfor number in range(10): tasks.watched.delay('17', f'{name}-{{number}}')"
    machine.write(f"{APP}/order.py", code)
    # As a web process that has no spool.
    machine.run("python order.py", cwd=APP, user="myapp", MEDITOPIA_LIBRARY="/none", **BROKER)


def a_worker_that_is_told_to_stop_has_delivered_the_events_of_its_tasks(machine):
    order(machine, "served")
    lines = service.with_exec(machine.page["serve"]) + " --loglevel info"
    environment = {"MEDITOPIA_FLUSH_INTERVAL_MS": "3600000", **BROKER}
    worker = machine.start(f"sh -e -c '{lines}'", cwd=APP, user="myapp", **environment)
    until("the tasks", lambda: worker.said().count("succeeded in") == 10 or worker.poll() is not None)
    machine.stop(worker)
    check(
        sorted(machine.values("17")) == [f"served-{number}" for number in range(10)],
        f"{machine.events()}\n{worker.said()}",
    )


def the_test_of_the_page_passes_where_no_library_is(machine):
    service.test_of_the_page(machine, "test_tasks.py")


def the_sandbox_runs_a_worker(machine):
    order(machine, "sandboxed")
    worker = machine.start(
        f"sh -e -c '{machine.page['sandbox']}'", cwd=APP, user="myapp", MEDITOPIA_FLUSH_INTERVAL_MS="50", **BROKER
    )
    until("the events in the sandbox", lambda: service.accepted(machine, worker) == "10")
    machine.stop(worker)


def the_line_that_asks_why_answers(machine):
    service.asks_why(machine)
