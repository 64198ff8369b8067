"""Real servers: each acknowledged event reaches the API, those of a process in their order."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from local_api import PATIENCE_S, until

import meditopia

HERE = Path(__file__).parent
#: Requests of the gunicorn run; the long run has 100,000.
REQUESTS = int(os.environ.get("MEDITOPIA_REQUESTS", "10000"))
CALLERS = 8
GROWTH_KIB = 2048


class Server:
    """A server process with hosts.py in it, and what it acknowledged."""

    def __init__(self, api, directory, command, **environment):
        self._api, self._directory = api, directory
        self.spool = directory / "spool"
        self._log = open(directory / "server.log", "wb")
        environment = {
            **os.environ,
            "SPOOL": str(self.spool),
            "ENDPOINT": api.endpoint,
            "TOKEN": api.token,
            "ACKNOWLEDGED": str(directory / "acknowledged"),
            "PYTHONPATH": str(HERE),
            **environment,
        }
        self.process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=self._log, stderr=self._log)

    def acknowledged(self):
        users = defaultdict(list)
        path = self._directory / "acknowledged"
        for line in path.read_text().splitlines() if path.exists() else ():
            user, number = line.split()
            users[user].append(int(number))
        return dict(users)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE_S)
        self._log.close()
        return code

    def said(self):
        return (self._directory / "server.log").read_text()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def assert_all_arrived(self):
        with meditopia.Client(**self._api.options(self.spool)) as client:
            assert client.flush(PATIENCE_S).pending == 0
        acknowledged = self.acknowledged()
        assert self._api.arrived() == acknowledged
        return sum(map(len, acknowledged.values()))


def free_port():
    with socket.socket() as lent:
        lent.bind(("127.0.0.1", 0))
        return lent.getsockname()[1]


class Caller:
    """Requests over one connection, kept as long as the server keeps it; or over one each."""

    def __init__(self, port, kept=True):
        self._port, self._kept, self._stream = port, kept, None

    def get(self, path):
        while True:
            if self._stream is None:
                connection = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
                self._stream = connection.makefile("rwb")
                connection.close()
            connection_header = "keep-alive" if self._kept else "close"
            self._stream.write(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: {connection_header}\r\n\r\n".encode())
            self._stream.flush()
            status = self._stream.readline()
            if not status:
                self.close()
                continue
            assert b" 200 " in status, status
            headers = dict(line.lower().strip().split(b": ", 1) for line in iter(self._stream.readline, b"\r\n"))
            body = self._stream.read(int(headers[b"content-length"]))
            if not self._kept or headers.get(b"connection") == b"close":
                self.close()
            return body.decode()

    def close(self):
        if self._stream is not None:
            self._stream.close()
        self._stream = None


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def load(port, requests, kept=True):
    """Sends so many requests from several threads."""
    failures = []

    def work():
        caller = Caller(port, kept)
        try:
            for _ in range(requests // CALLERS):
                caller.get("/")
        except Exception as failure:  # noqa: BLE001
            failures.append(failure)
        else:
            caller.close()

    threads = [threading.Thread(target=work) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def held(port, workers):
    """Memory, descriptors and threads of each worker, by its process id."""
    found = {}

    def ask():
        pid, *numbers = map(int, Caller(port, kept=False).get("/held").split())
        found.setdefault(pid, numbers)
        return len(found) == workers

    until("an answer of each worker", ask)
    return found


def total(server):
    return sum(map(len, server.acknowledged().values()))


def warm_up(port, server, threads):
    """Until each thread of each worker has had its share: only then memory that grows is a leak."""

    def share():
        load(port, 800, kept=False)
        users = server.acknowledged()
        return len(users) == threads and min(map(len, users.values())) >= 200

    until("a share for each thread", share)


@pytest.fixture
def serve(api, tmp_path):
    servers = []

    def start(command, **environment):
        servers.append(Server(api, tmp_path, command, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def test_gunicorn_preload_with_four_workers_loses_nothing_and_leaks_nothing(serve, spool):
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=4", "--worker-class=gthread", "--threads=2"]
    server = serve([*command, f"--bind=127.0.0.1:{port}", "--log-level=warning", "hosts:application"])
    until("gunicorn", lambda: listens(port))
    warm_up(port, server, threads=8)
    warm, before = total(server), held(port, 4)
    load(port, REQUESTS)
    after = held(port, 4)
    assert server.stop() == 0, server.said()

    assert server.assert_all_arrived() == warm + REQUESTS
    assert before.keys() == after.keys()
    growth = {pid: [new - old for new, old in zip(after[pid], before[pid])] for pid in after}
    print("gunicorn:", REQUESTS, "requests; KiB, descriptors and threads of a worker grew by", sorted(growth.values()))
    # One descriptor: the sender's connection to the API may be open or not.
    assert all(kib <= GROWTH_KIB and files <= 1 and threads <= 0 for kib, files, threads in growth.values()), growth


def test_gunicorn_workers_that_are_recycled_and_reloaded_under_load_lose_nothing(serve):
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=4", "--max-requests=50"]
    server = serve([*command, f"--bind=127.0.0.1:{port}", "--log-level=warning", "hosts:application"], ROLE="both")
    until("gunicorn", lambda: listens(port))
    load(port, 400)
    server.process.send_signal(signal.SIGHUP)
    load(port, 400)
    assert server.stop() == 0, server.said()
    assert server.assert_all_arrived() == 800


def test_celery_prefork_workers_lose_nothing(serve, tmp_path, monkeypatch):
    broker = {"BROKER": str(tmp_path / "broker")}
    os.makedirs(broker["BROKER"])
    os.makedirs(broker["BROKER"] + "-control")
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool=prefork", "--concurrency=4"]
    server = serve(
        [*command, "--loglevel=warning", "--without-gossip", "--without-mingle", "--without-heartbeat"],
        C_FORCE_ROOT="1",
        **broker,
    )
    send = "import os; import tasks\nfor _ in range(200): tasks.report.delay()"
    environment = {**os.environ, **broker, "PYTHONPATH": str(HERE), "ENDPOINT": "http://127.0.0.1:9/", "TOKEN": "t"}
    environment.update(SPOOL=str(tmp_path / "other"), ACKNOWLEDGED=str(tmp_path / "none"), ROLE="enqueue")
    subprocess.run([sys.executable, "-c", send], env=environment, cwd=HERE, check=True, timeout=PATIENCE_S)
    until("200 tasks", lambda: sum(map(len, server.acknowledged().values())) == 200)
    server.stop()
    assert server.assert_all_arrived() == 200
    assert len(server.acknowledged()) > 1


UWSGI = Path(sys.prefix, "bin", "uwsgi")
UWSGI = os.environ.get("MEDITOPIA_UWSGI") or shutil.which("uwsgi") or str(UWSGI)


@pytest.mark.parametrize("threads", [[], ["--enable-threads", "--threads=2"]], ids=["without threads", "with threads"])
def test_uwsgi_workers_lose_nothing(serve, threads):
    port = free_port()
    command = [UWSGI, f"--http-socket=127.0.0.1:{port}", "--master", "--processes=4", "--die-on-term", "--need-app"]
    paths = [f"--pythonpath={path}" for path in sys.path if path]
    server = serve([*command, *threads, *paths, "--wsgi-file=hosts.py", "--disable-logging"])
    until("uwsgi", lambda: listens(port))
    load(port, 800, kept=False)
    server.stop()
    assert server.assert_all_arrived() == 800, server.said()
