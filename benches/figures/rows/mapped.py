"""Why a segment is written and not mapped: what a mapped one would save, and what it can do to a host."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..contest import run
from ..table import Table
from ..workshop import Settings, compile_c, scratch

SHARED_MEMORY = Path("/dev/shm")


def tables(settings: Settings) -> list[Table]:
    mapped, appender = compile_c("mapped_appender"), compile_c("enqueue_appender")
    records = settings.events(100_000)
    with scratch() as place:
        written = run([appender, place, "--events", records], cpu=1).said["ns_per_event"]
        through_map = run([mapped, place / "segment", records], cpu=1).said["ns_per_record"]
        rows = [
            ["append of a record by write(2)", f"{written:.0f} ns"],
            ["the same by memcpy to a mapped file", f"{through_map:.0f} ns"],
            ["the mapped file is truncated, on the disk", ending(mapped, place / "segment", records, "truncate")],
        ]
    rows.append(["the same on a tmpfs", ending(mapped, SHARED_MEMORY / f"segment-{os.getpid()}", records, "truncate")])
    with small_disk() as disk:
        if disk:
            rows.append(["a disk without room, blocks not allocated", ending(mapped, disk / "segment", 20_000, "sparse")])
    return [
        Table(
            "mapped",
            "A segment through a map",
            ["what", "it comes to"],
            rows,
            "SIGBUS ends the host, or runs a handler of the host's that knows nothing of it. No handler of our own may be in a"
            " guest, blocks can be allocated ahead, but nobody can keep an operator from truncating a file: so an append stays a write(2).",
        )
    ]


def ending(program: Path, file: Path, records: int, how: str) -> str:
    try:
        number = run([program, file, records, how]).said["signal"]
    finally:
        file.unlink(missing_ok=True)
    return signal.Signals(number).name if number else "goes on"


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A tmpfs of 1 MiB, where this process may mount one."""
    with scratch() as place:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
        mounted = os.geteuid() == 0 and subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
        try:
            yield place if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", str(place)], check=True)
