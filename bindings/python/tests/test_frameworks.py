"""The examples of frameworks/ in their real servers: what they acknowledge arrives, also when they are told to stop."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from local_api import PATIENCE_S, until

EXAMPLES = Path(__file__).parents[1] / "frameworks"
#: Few enough that most are not sent before the server ends: the interval is an hour, and a batch is not full.
EVENTS = 40

GUNICORN = [sys.executable, "-m", "gunicorn", "--bind=127.0.0.1:0", "--workers=2", "--worker-tmp-dir=/dev/shm"]
UWSGI = [os.environ["MEDITOPIA_UWSGI"], "--http-socket=127.0.0.1:0", "--master", "--processes=2", "--die-on-term"]
UWSGI += ["--need-app", "--disable-logging", "--module=flask_app:app"]
LISTENS = r"(?:Listening at: http://|bound to TCP address |running on http://|Running on http://)127\.0\.0\.1:(\d+)"
SERVERS = {
    "FastAPI under uvicorn": [sys.executable, "-m", "uvicorn", "--port=0", "fastapi_app:app"],
    "Flask under gunicorn": [*GUNICORN, "flask_app:app"],
    "Flask under gunicorn with threads": [*GUNICORN, "--worker-class=gthread", "--threads=2", "flask_app:app"],
    "Flask under gunicorn with gevent": [*GUNICORN, "--worker-class=gevent", "flask_app:app"],
    "Flask under uWSGI": UWSGI,
    "Django under gunicorn": [*GUNICORN, "django_site.wsgi"],
}


def environment(api, spool, **more):
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES), *filter(None, sys.path)]),
        "MEDITOPIA_SPOOL": str(spool),
        "MEDITOPIA_ENDPOINT": api.endpoint,
        "MEDITOPIA_BEARER_TOKEN": api.token,
        "MEDITOPIA_FLUSH_INTERVAL_MS": "3600000",
        **more,
    }


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
        return json.loads(answer.read())


class Example:
    def __init__(self, command, directory, **environment):
        self.log = directory / "server.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=EXAMPLES, env=environment, stdout=log, stderr=log)

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
def test_a_server_that_is_told_to_stop_delivers_every_event_that_it_has_acknowledged(api, spool, tmp_path, name):
    with Example(SERVERS[name], tmp_path, **environment(api, spool)) as server:
        port = int(until("the port", lambda: re.search(LISTENS, server.said())).group(1))
        for number in range(EVENTS):
            assert get(port, f"/watched/u-{number % 4}/{number}") == {"queued": True}, server.said()
        assert api.ledger()["accepted_events"] < EVENTS
        server.stop()
        assert api.ledger()["accepted_events"] == EVENTS, server.said()
    assert {user: sorted(each) for user, each in api.arrived().items()} == {
        f"u-{first}": list(range(first, EVENTS, 4)) for first in range(4)
    }


def test_a_celery_worker_that_is_told_to_stop_delivers_every_event_of_its_tasks(api, spool, tmp_path):
    for name in ("broker", "control"):
        os.makedirs(tmp_path / name)
    folders = {"data_folder_in": str(tmp_path / "broker"), "data_folder_out": str(tmp_path / "broker")}
    (tmp_path / "celery_config.py").write_text(
        f"broker_url = 'filesystem://'\nbroker_transport_options = {{**{folders!r}, "
        f"'control_folder': {str(tmp_path / 'control')!r}}}\ntask_ignore_result = True\n"
    )
    settings = environment(api, spool, CELERY_CONFIG="celery_config", C_FORCE_ROOT="1")
    settings["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{settings['PYTHONPATH']}"
    order = f"import celery_app\nfor n in range({EVENTS}): celery_app.watched.delay('u', str(n))"
    subprocess.run([sys.executable, "-c", order], env=settings, cwd=EXAMPLES, check=True, timeout=PATIENCE_S)
    assert not spool.exists()
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--concurrency=2", "--loglevel=info"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with Example(command, tmp_path, **settings) as worker:
        until("the tasks", lambda: worker.said().count("succeeded in") == EVENTS)
        worker.stop()
        assert api.ledger()["accepted_events"] == EVENTS, worker.said()


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "check"],
        ["-c", "import django_site.wsgi, fastapi_app, flask_app, celery_app"],
        ["-m", "flask", "--app", "flask_app", "routes"],
    ],
    ids=lambda command: " ".join(command)[:20],
)
def test_what_only_imports_an_application_needs_no_spool(tmp_path, command):
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MEDITOPIA_")}
    bare["PYTHONPATH"] = os.pathsep.join([str(EXAMPLES), *filter(None, sys.path)])
    run = subprocess.run([sys.executable, *command], cwd=EXAMPLES, env=bare, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_an_application_that_is_disabled_answers_and_opens_no_spool(tmp_path):
    code = "import flask_app\nprint(flask_app.app.test_client().get('/watched/u/1').json)"
    settings = {**os.environ, "MEDITOPIA_DISABLED": "1", "MEDITOPIA_SPOOL": str(tmp_path / "spool")}
    settings["PYTHONPATH"] = os.pathsep.join([str(EXAMPLES), *filter(None, sys.path)])
    run = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, timeout=60)
    assert run.stdout == "{'queued': True}\n" and "meditopia is disabled in this process" in run.stderr
    assert not (tmp_path / "spool").exists()


def test_a_bad_event_is_logged_and_costs_no_request(api, spool):
    code = "import flask_app, events\nprint(events.report('t', '', 'video'))"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment(api, spool), capture_output=True, text=True, timeout=60
    )
    assert run.stdout == "False\n" and "an event is not queued: partner_user_id: is empty" in run.stderr
