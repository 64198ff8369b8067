"""What the pages of Python's frameworks have in common: a service of the user `myapp` in /srv/myapp."""

import json
import os
import re
from pathlib import Path

from machine import check, until

APP = "/srv/myapp"
SPOOL = "/var/spool/myapp/meditopia"
#: Tools of a service, as `pip install` would put them into its environment. They are those of the tests' environment.
TOOLS = ("gunicorn", "uvicorn", "flask", "celery", "pytest")


def prepare(machine):
    """A user, and an environment in which the frameworks are: all that a page takes for granted."""
    machine.run("useradd --system --user-group --no-create-home myapp")
    machine.write(f"{APP}/my-token", machine.token)
    if not machine.page["install"].count("-m venv"):
        machine.run("python3 -m venv .venv", cwd=APP)


def install(machine):
    """Pastes the first lines, and lets the service's environment have the frameworks."""
    machine.paste("install")
    tools = Path(os.environ["PAGES_TARGET"]) / "venv"
    packages = machine.run(f"{tools}/bin/python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))'").strip()
    own = machine.run(f"{APP}/.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))'").strip()
    machine.write(f"{own}/tools.pth", packages)
    for tool in TOOLS:
        machine.write(f"{APP}/.venv/bin/{tool}", f'#!/bin/sh\nexec {APP}/.venv/bin/python -m {tool} "$@"\n', 0o755)
    machine.write(
        f"{APP}/.venv/bin/uwsgi", f'#!/bin/sh\nPYTHONPATH={own}:{packages} exec {tools}/bin/uwsgi "$@"\n', 0o755
    )
    machine.environment["PATH"] = f"{APP}/.venv/bin:{machine.environment['PATH']}"
    machine.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    machine.spool_of("myapp", SPOOL)


def serve(machine, block):
    """Starts the server of a block, asks it, stops it, and looks at what has arrived when it had ended."""
    lines = with_exec(machine.page[block])
    _serve(machine, lines, block)
    # With one process nobody follows that could send the rest: only what the application does at its end.
    alone = re.sub(r"--(workers|processes) [0-9]+", r"--\1 1", lines)
    check(alone != lines, lines)
    _serve(machine, alone, f"{block}-alone")


def _serve(machine, lines, title):
    before = len(machine.values("17"))
    # Nothing but the first event is sent before the end: a batch is not full, and the interval is an hour.
    server = machine.start(f"sh -e -c '{lines}'", cwd=APP, user="myapp", MEDITOPIA_FLUSH_INTERVAL_MS="3600000")
    until("the server", lambda: machine.get("/nothing", 8000)[0] == 404 or server.poll() is not None)
    for number in range(10):
        answer = machine.get(f"/watched/17/{title}-{number}", 8000)
        check(answer[0] == 200 and "ok" in answer[1], f"{answer}\n{server.said()}")
    if "uwsgi" in lines:
        # A worker that ends in a request does nothing of what Python does at its end, and the answer is not its end.
        last = f"/watched/17/{title}-9 "
        until("the workers wait for requests", lambda: last in server.said() and all(map(waits, children(server))))
    machine.stop(server)
    values = machine.values("17")[before:]
    check(sorted(values) == [f"{title}-{number}" for number in range(10)], f"{values}\n{server.said()}")


def children(server):
    """The processes that a server has started."""
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def waits(pid):
    """Whether a process waits for a connection."""
    return any(name in Path(f"/proc/{pid}/wchan").read_text() for name in ("accept", "poll"))


def with_exec(lines):
    """The last line in the place of the shell, so that a signal reaches the server, as systemd sends it."""
    *first, last = lines.strip().splitlines()
    return "\n".join([*first, f"exec {last}"])


def sandboxed(machine, block="sandbox", path="/watched/20/local"):
    """Runs a block that starts the application in a sandbox of its own, and looks at what that got."""
    machine.write(f"{APP}/.keep", "")
    server = machine.start(f"sh -e -c '{machine.page[block]}'", cwd=APP, user="myapp", MEDITOPIA_FLUSH_INTERVAL_MS="50")
    until("the server", lambda: machine.get("/nothing", 8000)[0] == 404 or server.poll() is not None)
    check(machine.get(path, 8000)[0] == 200, server.said())
    until("the event in the sandbox", lambda: "1" in accepted(machine, server))
    machine.stop(server)


def accepted(machine, server):
    """What the sandbox that a server runs in has accepted, asked over the address that it has given its command."""
    pids, seen = [server.pid, *children(server)], set()
    while pids:
        pid = pids.pop()
        if pid in seen:
            continue
        seen.add(pid)
        try:
            pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                if entry.startswith(b"MEDITOPIA_ENDPOINT="):
                    port = int(entry.split(b":")[2].split(b"/")[0])
                    ledger = machine.get("/sandbox/ledger", port)[1]
                    return str(json.loads(ledger)["accepted_events"]) if ledger else ""
        except (OSError, ValueError):
            continue
    return ""


def test_of_the_page(machine, file):
    """Runs the page's own test, where no library can be loaded."""
    machine.write(f"{APP}/{file}", machine.page["recording"])
    said = machine.run(f"pytest -q -p no:cacheprovider {file}", cwd=APP, user="myapp", MEDITOPIA_LIBRARY="/none")
    check("1 passed" in said, said)


def asks_why(machine):
    said = machine.paste("why")
    check("pending" in said and "0" in said, said)
    return said
