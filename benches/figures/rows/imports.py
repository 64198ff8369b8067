"""A nightly file of CSV: how long it takes to queue and to deliver it, and the memory for that."""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..contest import Contender, Row
from ..sink import Sink, sink
from ..table import Table
from ..watch import has_ended
from ..workshop import BENCHES, LIBRARY, VENV, Settings, scratch

RECORDS = 500_000
USERS = 10_000
BATCH = 100
ROUNDS = 3
SAMPLE_S = 0.01
TIMEOUT_S = 600

HEADER = ("token", "partner_user_id", "event", "event_value", "received_at")


@dataclass(frozen=True)
class Job:
    """A process that has read a file to its end."""

    seconds: float
    peak_mib: float


def contests(settings: Settings) -> list[Row]:
    records = settings.events(RECORDS)
    ours = "meditopia import --flush, durable"
    reference = "Python loop, segment-analytics-python, in memory"
    said = f"{records:,} rows of CSV to a sink on loopback, from the start of the process to its end"
    return [
        Row(
            key="import-rate",
            what="a file of CSV, to the answer to its last request",
            unit="us/record",
            ours=Contender(ours, lambda: once(records, imported).seconds * 1e6 / records),
            reference=Contender(reference, lambda: once(records, looped).seconds * 1e6 / records),
            rounds=ROUNDS,
            note=f"{said}. The loop keeps nothing when it dies.",
        ),
        Row(
            key="import-memory",
            what="the same, peak memory",
            unit="MiB (VmHWM)",
            ours=Contender(ours, lambda: once(records, imported).peak_mib),
            reference=Contender(reference, lambda: once(records, looped).peak_mib),
            rounds=ROUNDS,
            note=said,
        ),
    ]


def tables(settings: Settings) -> list[Table]:
    records = settings.events(RECORDS)
    ways = [
        ("queued", imported_without_delivery),
        ("queued, packed by gzip", imported_from_gzip),
        ("the same file again: recognised, nothing queued", imported_again),
        ("queued and delivered", imported),
    ]
    rows = []
    for name, way in ways:
        job = once(records, way)
        rows.append((name, round(records / job.seconds), round(job.peak_mib, 1)))
    return [
        Table(
            key="imports",
            title=f"An import of {records:,} rows of CSV",
            columns=("what", "records/s", "peak MiB"),
            rows=rows,
            note="One run each, from the start of the process to its end.",
        )
    ]


def once(records: int, way) -> Job:
    with scratch() as place, sink() as api:
        file = place / "events.csv"
        write_csv(file, records)
        before = api.requests()
        job = way(place, file, api)
        requests, needed = api.requests() - before, records // BATCH
        # Segment's batches may be smaller, and stubs of the last second are sent by themselves.
        if way in (imported, looped) and requests < needed:
            raise RuntimeError(f"{requests} requests for {records} records")
        return job


def write_csv(path: Path, records: int) -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADER)
        for number in range(records):
            user = number * 7919 % USERS
            received = f"2024-08-06 {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
            out.writerow((f"user-token-{user:011d}", f"user-{user:07d}", "video", "morning calm", received))


def imported(place: Path, file: Path, api: Sink) -> Job:
    return meditopia(place, file, api, "--flush", "--timeout", TIMEOUT_S)


def imported_without_delivery(place: Path, file: Path, api: Sink) -> Job:
    return meditopia(place, file, api)


def imported_from_gzip(place: Path, file: Path, api: Sink) -> Job:
    packed = file.with_suffix(".csv.gz")
    with file.open("rb") as plain, gzip.open(packed, "wb") as out:
        shutil.copyfileobj(plain, out)
    return meditopia(place, packed, api)


def imported_again(place: Path, file: Path, api: Sink) -> Job:
    meditopia(place, file, api)
    return meditopia(place, file.rename(file.with_name("again.csv")), api)


def meditopia(place: Path, file: Path, api: Sink, *more: str | int) -> Job:
    command = [LIBRARY / "meditopia", "import", file, "--quiet", "--spool", place / "spool", *more]
    return watched(command, MEDITOPIA_ENDPOINT=api.url, MEDITOPIA_BEARER_TOKEN="bench")


def looped(_place: Path, file: Path, api: Sink) -> Job:
    return watched([VENV / "bin" / "python", BENCHES / "python" / "import_segment.py", api.origin, file])


def watched(command: Sequence[str | int | Path], **env: str) -> Job:
    """Runs a program to its end; an exit code other than 0 is an error."""
    words = [str(part) for part in command]
    began, peak_kib = time.monotonic(), 0
    # The command takes what begins like this for options of its own.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEDITOPIA_")}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**inherited, **env})
    while not has_ended(process.pid):
        peak_kib = max(peak_kib, vm_hwm_kib(process.pid))
        time.sleep(SAMPLE_S)
    seconds = time.monotonic() - began
    if process.wait() != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
    return Job(seconds, peak_kib / 1024)


def vm_hwm_kib(pid: int) -> int:
    """0 for a process that has just ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
