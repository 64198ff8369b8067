"""A real server with hosts.py in it: started, called, and what it acknowledged compared with the API's ledger."""

import http.client
import os
import re
import signal
import subprocess
import threading
from collections import defaultdict
from pathlib import Path

from local_api import PATIENCE_S, until

import meditopia

HERE = Path(__file__).parent
CALLERS = 8
#: How often a request is given again whose connection the server had closed before.
ATTEMPTS = 10


class Server:
    """A server process and the events that it acknowledged."""

    def __init__(self, api, directory, command, **environment):
        self._api, self._directory = api, directory
        self._spool = directory / "spool"
        environment = {
            **os.environ,
            "SPOOL": str(self._spool),
            "ENDPOINT": api.endpoint,
            "TOKEN": api.token,
            "ACKNOWLEDGED": str(directory / "acknowledged"),
            "PYTHONPATH": str(HERE),
            **environment,
        }
        with open(directory / "server.log", "wb") as log:
            self.process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=log, stderr=log)

    def port(self, says):
        """The port that the kernel gave it, by the line of its log that this pattern finds."""
        return int(until("the port of the server", lambda: re.search(says, self.said())).group(1))

    def said(self):
        return (self._directory / "server.log").read_text()

    def acknowledged(self):
        """The numbers of each user's events, in the order in which their enqueues returned."""
        users = defaultdict(list)
        path = self._directory / "acknowledged"
        for line in path.read_text().splitlines() if path.exists() else ():
            user, number = line.split()
            users[user].append(int(number))
        return dict(users)

    def total(self):
        return sum(map(len, self.acknowledged().values()))

    def wait_until_all_is_delivered(self):
        """By the server's own processes: nobody else has the spool open."""
        self._api.wait_for(events=self.total())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def assert_all_arrived(self):
        """Each acknowledged event, those of a user in their order, and no segment is left. Says how many."""
        with meditopia.Client(**self._api.options(self._spool)) as client:
            assert client.flush(PATIENCE_S).pending == 0
        assert self._api.arrived() == self.acknowledged()
        assert os.listdir(self._spool / "journal") == []
        return self.total()


class Caller:
    """Requests over one connection, kept as long as the server keeps it; or over one each."""

    def __init__(self, port, kept=True):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, PATIENCE_S)
        self._headers = {} if kept else {"Connection": "close"}

    def get(self, path):
        for _ in range(ATTEMPTS):
            try:
                self._connection.request("GET", path, headers=self._headers)
                answer = self._connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._connection.close()
                continue
            body = answer.read().decode()
            assert answer.status == 200, (answer.status, body)
            return body
        raise AssertionError(f"{ATTEMPTS} connections were closed without an answer")

    def close(self):
        self._connection.close()


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
        finally:
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


def warm_up(port, server, threads):
    """Until each thread of each worker has had its share: only then memory that grows is a leak."""

    def share():
        load(port, 800, kept=False)
        users = server.acknowledged()
        return len(users) == threads and min(map(len, users.values())) >= 200

    until("a share for each thread", share)
