"""The real sandbox of the library as a fixture: one process for each test, steered over its control API."""

import json
import os
import subprocess
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

#: The directory with libmeditopia.so and the `meditopia` command.
BUILD = Path(os.environ["MEDITOPIA_BUILD"])
#: How long a test waits for what has to come.
PATIENCE_S = 60

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LocalApi:
    def __init__(self, *arguments):
        command = [str(BUILD / "meditopia"), "sandbox", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        said = json.loads(self._process.stdout.readline())
        self.endpoint, self.token, self._control = said["url"], said["token"], said["control"]

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def options(self, spool, **more):
        """What a client needs to deliver to this API."""
        return {"spool": spool, "endpoint": self.endpoint, "bearer_token": self.token, "flush_interval_ms": 50, **more}

    def set(self, what, **document):
        request = urllib.request.Request(f"{self._control}/{what}", json.dumps(document).encode(), method="PUT")
        _direct.open(request).close()

    def ledger(self):
        return json.loads(self._get("ledger"))

    def events(self):
        """What was accepted, in that order."""
        return [json.loads(line)["event"] for line in self._get("ledger/events").splitlines()]

    def wait_for(self, **at_least):
        """Waits until so many `events` are accepted or `requests` have ended."""
        query = "&".join(f"{name}={count}" for name, count in at_least.items())
        return json.loads(self._get(f"ledger?{query}&within_ms={PATIENCE_S * 1000}"))

    def arrived(self):
        """The numbers (event_value) of each user's events in the order of their first arrival."""
        numbers = defaultdict(dict)
        for event in self.events():
            numbers[event["partner_user_id"]][int(event["event_value"])] = None
        return {user: list(each) for user, each in numbers.items()}

    def _get(self, what):
        with _direct.open(f"{self._control}/{what}") as answer:
            return answer.read().decode()


def until(what, condition):
    """Waits for a condition and gives what it gave."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {PATIENCE_S} s for {what}")
