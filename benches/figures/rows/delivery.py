"""What an event costs from enqueue to the API's 204, beside loops that one would write by hand and other companies' clients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..contest import Contender, Goal, Row, run
from ..sink import Sink, sink
from ..workshop import BENCHES, LIBRARY, VENV, Settings, compile_c, compile_preloaded, scratch

EVENTS = 200_000
DRAINED_EVENTS = 500_000
PYTHON_EVENTS = 20_000
BATCH = 100
PYTHON_ROUNDS = 5
SLOW_SYNC_MS = 5

PYTHON = BENCHES / "python"
REQUIREMENTS = PYTHON / "requirements.txt"

#: What to run, given a directory of its own and the sink.
Command = Callable[[Path, Sink], Sequence[str | int | Path]]


def contests(settings: Settings) -> list[Row]:
    return [*durable_cpu(settings), *python_cpu(settings), *drains(settings), written(settings)]


def durable_cpu(settings: Settings) -> list[Row]:
    """CPU of the whole life of a process that enqueues and delivers, in C."""
    events = settings.events(EVENTS)
    meditopia = compile_c("deliver_meditopia", ours=True)
    sqlite = compile_c("deliver_sqlite_curl", "curl", "sqlite3")
    memory = compile_c("deliver_memory_curl", "curl")

    def contender(name: str, command: Command) -> Contender:
        return Contender(name, lambda: cpu_us_per_event(command, events))

    ours = contender("libmeditopia, durable", lambda place, api: [meditopia, place / "spool", api.url, events])
    return [
        Row(
            key="deliver-sqlite",
            what="enqueue to 204, all CPU of the process",
            unit="us CPU/event",
            ours=ours,
            reference=contender(
                "SQLite queue table + libcurl, durable", lambda place, api: [sqlite, place / "queue.db", api.url, events]
            ),
            goal=Goal(0.17),
        ),
        Row(
            key="deliver-memory",
            what="enqueue to 204, all CPU of the process",
            unit="us CPU/event",
            ours=ours,
            reference=contender("libcurl over a queue in memory", lambda place, api: [memory, api.url, events]),
            goal=Goal(4.5),
        ),
    ]


def python_cpu(settings: Settings) -> list[Row]:
    """The same from Python, without the start of the interpreter and the imports."""
    events = settings.events(PYTHON_EVENTS)
    python = python_with_peers()

    def contender(name: str, client: str, *before: str | Path, spool: bool = False) -> Contender:
        def command(place: Path, api: Sink) -> list[str | int | Path]:
            where = [place / "spool", api.url] if spool else [api.origin]
            return [python, PYTHON / f"deliver_{client}.py", *before, *where, events]

        return Contender(name, lambda: said_by(command, events)["cpu_us_per_event"])

    ours = contender("libmeditopia through ctypes, durable", "meditopia", LIBRARY / "libmeditopia.so", spool=True)
    peers = {
        "snowplow": ("snowplow-tracker", 0.2),
        "segment": ("segment-analytics-python", 0.08),
        "posthog": ("posthog", 0.05),
    }
    return [
        Row(
            key=f"deliver-python-{client}",
            what="the same from Python",
            unit="us CPU/event",
            ours=ours,
            reference=contender(f"{package} {pinned_version(package)}, in memory", client),
            goal=Goal(at_most),
            rounds=PYTHON_ROUNDS,
            note="From the first event to the last answer; start and imports are not counted, to the peers' advantage.",
        )
        for client, (package, at_most) in peers.items()
    ]


def drains(settings: Settings) -> list[Row]:
    """What it takes one lane to empty a spool that is full when its process starts."""
    events = settings.events(DRAINED_EVENTS)
    meditopia = compile_c("deliver_meditopia", ours=True)
    memory = compile_c("deliver_memory_curl", "curl")
    slow_sync = {"LD_PRELOAD": str(compile_preloaded("slow_sync")), "SLOW_SYNC_MS": str(SLOW_SYNC_MS)}

    def drain(figure: str, tls: bool, env: Mapping[str, str]) -> float:
        with scratch() as place, counted(events, tls) as api:
            command = [meditopia, place / "spool", api.url, events, *trusting(api)]
            run([*command, "--fill"])
            return run([*command, "--drain"], env=env).said[figure]

    def post(figure: str, tls: bool) -> float:
        with counted(events, tls) as api:
            return run([memory, api.url, events, "--backlog", *trusting(api)]).said[figure]

    def row(
        key: str, what: str, goal: Goal | None, tls: bool = False, env: Mapping[str, str] | None = None, cpu: bool = False
    ) -> Row:
        figure, unit = ("cpu_us_per_request", "us CPU/request") if cpu else ("requests_per_s", "requests/s")
        ours = Contender("libmeditopia, 1 lane", lambda: drain(figure, tls, env or {}))
        return Row(key, what, unit, ours, Contender("libcurl loop", lambda: post(figure, tls)), goal)

    fast_enough = Goal(0.8, at_least=True)
    return [
        row("drain", f"requests of 100 events, {events:,} in the spool at the start", fast_enough),
        row("drain-slow-sync", f"the same where a sync takes {SLOW_SYNC_MS} ms longer", fast_enough, env=slow_sync),
        row("drain-tls", "the same over TLS, syncs as they are", None, tls=True),
        row("drain-cpu", "CPU of a request, with its share of the take-over", Goal(1.6), cpu=True),
    ]


def written(settings: Settings) -> Row:
    """What the disk is given for an event, by whoever enqueues and whoever sends."""
    events = settings.events(DRAINED_EVENTS)
    meditopia = compile_c("deliver_meditopia", ours=True)

    def disk_bytes() -> float:
        with scratch() as place, counted(events) as api:
            command = [meditopia, place / "spool", api.url, events]
            return sum(run([*command, step]).said["disk_bytes"] for step in ("--fill", "--drain")) / events

    def record_bytes() -> float:
        with scratch() as place:
            run([meditopia, place / "spool", "http://127.0.0.1:9", events, "--fill"])
            return sum(file.stat().st_size for file in (place / "spool" / "journal").iterdir()) / events

    return Row(
        key="disk-bytes",
        what="enqueue to 204, written to disk",
        unit="bytes/event",
        ours=Contender("libmeditopia, all processes", disk_bytes),
        reference=Contender("the event's record in the journal", record_bytes),
        goal=Goal(2.3),
        rounds=3,
        note="write_bytes of /proc/self/io, which counts whole pages; a backlog, with receipts.",
    )


def trusting(api: Sink) -> list[str | Path]:
    return ["--ca-file", api.ca_file] if api.ca_file else []


@contextmanager
def counted(events: int, tls: bool = False) -> Iterator[Sink]:
    """A sink that has to be given all events, in full requests: who sends fewer did not do the work."""
    with sink(tls=tls) as api:
        yield api
        requests, full = api.requests(), -(-events // BATCH)
        # Who sends while events still arrive has a few requests that are not full; that costs only himself.
        if requests < full:
            raise RuntimeError(f"{requests} requests came, for {events} events there must be {full}")


def cpu_us_per_event(command: Command, events: int) -> float:
    with scratch() as place, counted(events) as api:
        return run(command(place, api)).cpu_s * 1e6 / events


def said_by(command: Command, events: int) -> dict:
    with scratch() as place, counted(events) as api:
        return run(command(place, api)).said


def pinned_version(package: str) -> str:
    pins = (line.split("==") for line in REQUIREMENTS.read_text().splitlines() if "==" in line)
    return dict(pins)[package]


def python_with_peers() -> Path:
    """The interpreter of a virtual environment with the pinned peers; made if it is not there."""
    python, installed = VENV / "bin" / "python", VENV / "delivery-peers.txt"
    wanted = REQUIREMENTS.read_text()
    if not installed.exists() or installed.read_text() != wanted:
        if sys.version_info < (3, 10):
            raise RuntimeError("PostHog's client needs Python 3.10 or newer")
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
        installed.write_text(wanted)
    return python
