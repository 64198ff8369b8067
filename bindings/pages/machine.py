"""A machine of its own for a story: a root directory over that of this system, a network and processes that end with it.

A story pastes what its page says, as root and with the paths of the page, and leaves nothing behind. What a release would give
comes from a directory: `pip install meditopia` finds a wheel, `composer require meditopia/partner-events` the package.
"""

import fcntl
import http.client
import json
import os
import pwd
import re
import socket
import struct
import subprocess
import time
import urllib.request
from pathlib import Path

PATIENCE_S = 60
#: As sudo and systemctl do it, where neither is: sudo keeps nothing of the environment.
SUDO = """#!/bin/sh
user=root
case $1 in -u) user=$2; shift 2 ;; esac
exec setpriv "--reuid=$user" "--regid=$user" --init-groups env -i "PATH=$PATH" "HOME=/" "$@"
"""


def until(what, condition):
    """Waits for a condition and gives what it gave."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE_S} s for {what}")


def _bring_up_loopback():
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x49))  # SIOCSIFFLAGS: up, running


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Machine:
    def __init__(self, page, built, release):
        self.page, self.built = page, Path(built)
        _bring_up_loopback()
        self._started = []
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root", "LANG": "C.UTF-8", "RELEASE": str(release),
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(release), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore",
            "COMPOSER_HOME": "/root/.composer", "COMPOSER_ALLOW_SUPERUSER": "1", "COMPOSER_NO_INTERACTION": "1",
        }  # fmt: skip
        repositories = [
            {"type": "path", "url": f"{release}/php", "options": {"symlink": False}},
            {"packagist.org": False},
        ]
        self.write("/root/.composer/config.json", json.dumps({"repositories": repositories}))
        self.write("/usr/local/bin/sudo", SUDO, 0o755)
        self._start_sandbox()

    # The API.

    def _start_sandbox(self):
        command = [str(self.built / "meditopia"), "sandbox", "--unknown-prefix", "bad-"]
        self._api = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment)
        said = json.loads(self._api.stdout.readline())
        self.endpoint, self.token, self._control = said["url"], said["token"], said["control"]

    def events(self):
        """What the API has accepted, in that order."""
        with urllib.request.urlopen(f"{self._control}/ledger/events") as answer:
            return [json.loads(line)["event"] for line in answer.read().decode().splitlines()]

    def values(self, user):
        return [event.get("event_value") for event in self.events() if event["partner_user_id"] == user]

    # Files and commands.

    def write(self, path, text, mode=0o644, owner=None):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        if owner:
            entry = pwd.getpwnam(owner)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def give(self, path, owner):
        """As a deployment hands an application to its user."""
        self.run(f"chown -R {owner} {path}")

    def run(self, script, cwd="/root", user="root", status=0, **environment):
        """Runs lines in a shell, each of which has to succeed; gives all that they print."""
        prefix = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        command = [*prefix, "sh", "-e", "-c", script]
        environment = {**self.environment, **environment}
        ran = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=PATIENCE_S * 3,
        )  # fmt: skip
        assert ran.returncode == status, f"{script}\nended with {ran.returncode}:\n{ran.stdout}"
        return ran.stdout

    def paste(self, name, **more):
        """Runs a block of the page."""
        return self.run(self.page[name], **more)

    def cron(self, table):
        """Runs each line of a file for /etc/cron.d once, with as little around it as cron gives; gives what would be mailed."""
        mailed = ""
        for line in table.splitlines():
            if line.strip() and not line.startswith("#"):
                *_, user, command = line.split(None, 6)
                mailed += self.run(
                    f"env -i PATH=/usr/bin:/bin HOME=/ SHELL=/bin/sh sh -c {shell_quote(command)}", user=user
                )
        return mailed

    def start(self, command, cwd="/root", user="root", **environment):
        """Starts a server whose output is in a file; it ends with the machine."""
        log = Path(f"/var/log/started-{len(self._started)}")
        prefix = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [*prefix, "sh", "-c", f"exec {command}"], cwd=cwd, env={**self.environment, **environment}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        process.said = lambda: log.read_text(errors="replace")
        self._started.append(process)
        return process

    def stop(self, process, how=15):
        process.send_signal(how)
        return process.wait(PATIENCE_S)

    # What many pages need.

    def spool_of(self, user, path):
        """Makes the spool for the sandbox, because a spool goes on with its endpoint, and pages name none."""
        self.run(
            f"{self.built}/meditopia flush --spool {path}",
            user=user,
            MEDITOPIA_ENDPOINT=self.endpoint,
            MEDITOPIA_BEARER_TOKEN=self.token,
        )

    def get(self, path, server):
        """Asks a server, by its port or its socket: gives status and body."""
        connection = (
            UnixConnection(server)
            if isinstance(server, str)
            else http.client.HTTPConnection("127.0.0.1", server, timeout=PATIENCE_S)
        )
        try:
            connection.request("GET", path, headers={"Host": "localhost"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def said(self):
        """What all servers have said, for a failure."""
        return "\n".join(process.said() for process in self._started)


def shell_quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def check(held, what):
    if not held:
        raise AssertionError(what)


def found(pattern, text):
    match = re.search(pattern, text)
    check(match is not None, f"{pattern} is not in:\n{text}")
    return match
