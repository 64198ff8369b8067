"""The applications of docs/frameworks in many servers: what they acknowledge arrives, also when they are told to stop.

bindings/pages runs the pages themselves, each block as a reader would paste it.
"""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from local_api import PATIENCE_S, until

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "bindings" / "pages"))
from page import Page  # noqa: E402
from stories.django import project  # noqa: E402

#: Few enough that most are not sent before the server ends: the interval is an hour, and a batch is not full.
EVENTS = 40

GUNICORN = [sys.executable, "-m", "gunicorn", "--bind=127.0.0.1:0", "--workers=2", "--worker-tmp-dir=/dev/shm"]
UWSGI = [os.environ["MEDITOPIA_UWSGI"], "--http-socket=127.0.0.1:0", "--master", "--processes=2", "--die-on-term"]
UWSGI += ["--need-app", "--disable-logging", "--module=app:app"]
LISTENS = r"(?:Listening at: http://|bound to TCP address |running on http://|Running on http://)127\.0\.0\.1:(\d+)"
#: The page, and the server's command.
SERVERS = {
    "FastAPI under uvicorn": ("fastapi", [sys.executable, "-m", "uvicorn", "--port=0", "app:app"]),
    "Flask under gunicorn": ("flask", [*GUNICORN, "app:app"]),
    "Flask under gunicorn with threads": ("flask", [*GUNICORN, "--worker-class=gthread", "--threads=2", "app:app"]),
    "Flask under gunicorn with gevent": ("flask", [*GUNICORN, "--worker-class=gevent", "app:app"]),
    "Flask under uWSGI": ("flask", UWSGI),
    "Django under gunicorn": ("django", [*GUNICORN, "shop.wsgi"]),
}


@pytest.fixture(scope="session")
def applications(tmp_path_factory):
    """The application of each page, in a directory of the page's name."""
    top = tmp_path_factory.mktemp("applications")
    page = {
        name: Page(ROOT / "docs" / "frameworks" / f"{name}.md") for name in ("flask", "django", "fastapi", "celery")
    }
    files = {
        "flask/app.py": page["flask"]["app"],
        "fastapi/app.py": page["fastapi"]["app"],
        "celery/tasks.py": page["celery"]["app"],
        **{f"django/{name}": text for name, text in project(page["django"]).items()},
    }
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


def environment(api, spool, **more):
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([".", *filter(None, sys.path)]),
        "MEDITOPIA_SPOOL": str(spool),
        "MEDITOPIA_ENDPOINT": api.endpoint,
        "MEDITOPIA_BEARER_TOKEN": api.token,
        "MEDITOPIA_FLUSH_INTERVAL_MS": "3600000",
        **more,
    }


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
        return answer.read().decode()


class Example:
    def __init__(self, command, application, directory, **environment):
        self.log = directory / "server.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=application, env=environment, stdout=log, stderr=log)

    def said(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_told_to_stop_delivers_every_event_that_it_has_acknowledged(
    applications, api, spool, tmp_path, name
):
    page, command = SERVERS[name]
    with Example(command, applications / page, tmp_path, **environment(api, spool)) as server:
        port = int(until("the port", lambda: re.search(LISTENS, server.said())).group(1))
        for number in range(EVENTS):
            assert "ok" in get(port, f"/watched/u-{number % 4}/{number}"), server.said()
        assert api.ledger()["accepted_events"] < EVENTS
        server.stop()
        assert api.ledger()["accepted_events"] == EVENTS, server.said()
    assert {user: sorted(each) for user, each in api.arrived().items()} == {
        f"u-{first}": list(range(first, EVENTS, 4)) for first in range(4)
    }


def test_a_celery_worker_that_is_told_to_stop_delivers_every_event_of_its_tasks(applications, api, spool, tmp_path):
    for name in ("data_in", "control"):
        os.makedirs(tmp_path / name)
    os.symlink("data_in", tmp_path / "data_out")
    settings = environment(api, spool, CELERY_BROKER_URL="filesystem://", CELERY_IGNORE_RESULT="1", C_FORCE_ROOT="1")
    settings["PYTHONPATH"] = f"{applications / 'celery'}{os.pathsep}{settings['PYTHONPATH']}"
    order = f"import tasks\nfor n in range({EVENTS}): tasks.watched.delay('u', str(n))"
    subprocess.run([sys.executable, "-c", order], env=settings, cwd=tmp_path, check=True, timeout=PATIENCE_S)
    assert not spool.exists()
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--concurrency=2", "--loglevel=info"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with Example(command, tmp_path, tmp_path, **settings) as worker:
        until("the tasks", lambda: worker.said().count("succeeded in") == EVENTS)
        worker.stop()
        assert api.ledger()["accepted_events"] == EVENTS, worker.said()


@pytest.mark.parametrize(
    "page, command",
    [
        ("django", ["manage.py", "check"]),
        ("django", ["-c", "import shop.wsgi, shop.events"]),
        ("fastapi", ["-c", "import app"]),
        ("celery", ["-c", "import tasks"]),
        ("flask", ["-m", "flask", "routes"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:20],
)
def test_what_only_imports_an_application_needs_no_spool(applications, page, command):
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MEDITOPIA_")}
    bare["PYTHONPATH"] = os.pathsep.join([".", *filter(None, sys.path)])
    run = subprocess.run(
        [sys.executable, *command], cwd=applications / page, env=bare, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr


def flask(applications, code, settings):
    """What a program says that has Flask's application as `app`."""
    return subprocess.run(
        [sys.executable, "-c", f"from app import app\nask = app.test_client().get\n{code}"],
        cwd=applications / "flask", env=settings, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_an_application_that_is_disabled_answers_and_opens_no_spool(applications, api, tmp_path):
    spool = tmp_path / "spool"
    run = flask(applications, "print(ask('/watched/u/1').text)", environment(api, spool, MEDITOPIA_DISABLED="1"))
    assert run.stdout == "ok\n" and "meditopia is disabled in this process" in run.stderr
    assert not spool.exists()


def test_a_bad_event_is_logged_and_costs_no_request(applications, api, spool):
    run = flask(applications, "print(ask('/watched/u/' + 'x' * 70_000).text)", environment(api, spool))
    assert run.stdout == "ok\n" and "an event is not queued: " in run.stderr, run.stderr
