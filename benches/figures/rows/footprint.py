"""What the library takes of its host: memory, descriptors and threads, and the size of the file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..contest import Contender, Goal, Row, run
from ..sink import Sink, sink
from ..table import Table
from ..workshop import LIBRARY, Settings, compile_c, scratch

SIZE_LIMIT_MB = 4.2
BACKLOG = 1_000_000
BATCH = 100
#: For the threads to come to rest, and for memory to be given back.
REST_S = 2.0
POLL_S = 0.05
DELIVERED_S = 600

#: Sections below this are added up.
SECTION_KB = 20
CRATES = 12
C_LIBRARIES = {"sqlite3": "SQLite (C)", "ring_core": "ring (C)", "meditopia_": "meditopia"}
UNKNOWN = "unknown"
#: What nm calls symbols of .bss, which is not in the file.
IN_MEMORY_ONLY = "bB"


def contests(settings: Settings) -> list[Row]:
    return [
        Row(
            key="so-size",
            what="libmeditopia.so, stripped",
            unit="MB",
            ours=Contender("libmeditopia", lambda: stripped_bytes() / 1e6),
            reference=Contender("the limit", lambda: SIZE_LIMIT_MB),
            goal=Goal(1),
            rounds=1,
        )
    ]


def tables(settings: Settings) -> list[Table]:
    return [memory_table(settings), sections_table(), *crates_table()]


def memory_table(settings: Settings) -> Table:
    backlog = settings.events(BACKLOG)
    program, fill = compile_c("deliver_footprint", ours=True), compile_c("deliver_meditopia", ours=True)
    rows = []

    def look(state: str, guest: Guest) -> None:
        rows.append((state, *guest.footprint()))

    with guest_of([compile_c("deliver_nothing")]) as nothing:
        look("an empty C program without the library", nothing)
    with scratch() as place, sink() as api:
        with guest_of([program, place / "enqueue", api.url, "enqueue"]) as guest:
            look("the same with the library loaded", guest)
            guest.take("open", "enqueue")
            look("role enqueue, open, 1 event enqueued", guest)
        spool = place / "both"
        with guest_of([program, spool, api.url, "both"]) as guest:
            guest.take("open")
            look("role both, open", guest)
            guest.take("enqueue", "flush")
            time.sleep(REST_S)
            look("role both, idle after 1 delivered event", guest)
            before = api.requests()
            run([fill, spool, api.url, backlog, "--fill"])
            wait_for(api, before + backlog // BATCH // 2)
            look(f"in the middle of a backlog of {backlog:,} events", guest)
            wait_for(api, before + backlog // BATCH)
            guest.take("flush")
            time.sleep(REST_S)
            look(f"idle after the {backlog:,} events", guest)
    return Table(
        key="footprint",
        title="What a host process takes",
        columns=("state", "RSS KiB", "PSS KiB", "private dirty KiB", "descriptors", "threads"),
        rows=rows,
        note="Three of the descriptors are the standard ones. RSS holds the pages of the file that were touched, which "
        "all processes share; private dirty is what each process takes for itself.",
    )


class Guest:
    """A program that takes a step a line and waits in between."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self._await_done()

    def take(self, *steps: str) -> None:
        for step in steps:
            self.process.stdin.write(f"{step}\n")
            self.process.stdin.flush()
            self._await_done()

    def _await_done(self) -> None:
        if self.process.stdout.readline() != "done\n":
            raise RuntimeError(f"{self.process.args[0]} failed")

    def footprint(self) -> tuple[int, int, int, int, int]:
        here = Path(f"/proc/{self.process.pid}")
        kib = dict(re.findall(r"^(\w+):\s+(\d+) kB", (here / "smaps_rollup").read_text(), re.MULTILINE))
        return (
            int(kib["Rss"]),
            int(kib["Pss"]),
            int(kib["Private_Dirty"]),
            len(os.listdir(here / "fd")),
            len(os.listdir(here / "task")),
        )


@contextmanager
def guest_of(command: list[str | Path]) -> Iterator[Guest]:
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Guest(process)
    finally:
        # It ends with its input.
        process.communicate()


def wait_for(api: Sink, requests: int) -> None:
    deadline = time.monotonic() + DELIVERED_S
    while api.requests() < requests:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{requests} requests have not come within {DELIVERED_S} s")
        time.sleep(POLL_S)


def stripped_bytes() -> int:
    with scratch() as place:
        return stripped(place).stat().st_size


def stripped(place: Path) -> Path:
    copy = place / "libmeditopia.so"
    shutil.copy(LIBRARY / "libmeditopia.so", copy)
    subprocess.run(["strip", "--strip-all", copy], check=True)
    return copy


def sections_table() -> Table:
    with scratch() as place:
        file = stripped(place)
        total = file.stat().st_size
        said = subprocess.run(["size", "-A", file], stdout=subprocess.PIPE, text=True, check=True).stdout
    sizes = {name: int(size) for name, size in re.findall(r"^(\.\S+)\s+(\d+)\s+\d+$", said, re.MULTILINE)}
    # It takes nothing of the file.
    sizes.pop(".bss", None)
    big = {name: size for name, size in sizes.items() if size >= SECTION_KB * 1000}
    rows = [(name, kb(size)) for name, size in sorted(big.items(), key=lambda one: -one[1])]
    return Table(
        key="so-sections",
        title="The stripped library by section",
        columns=("section", "kB"),
        rows=[*rows, ("all others and headers", kb(total - sum(big.values()))), ("the file", kb(total))],
    )


def crates_table() -> list[Table]:
    """By whose code it is, as far as symbols tell; empty if the build has none."""
    command = ["nm", "--print-size", "--defined-only", "--demangle", "--numeric-sort", LIBRARY / "libmeditopia.so"]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    sizes: Counter[str] = Counter()
    # A C function without a prefix is its neighbour's: an object file stays in one piece.
    neighbour = UNKNOWN
    for size, kind, name in re.findall(r"^[0-9a-f]+ ([0-9a-f]+) (\w) (.+)$", said, re.MULTILINE):
        if kind in IN_MEMORY_ONLY:
            continue
        crate = crate_of(name)
        if crate is None:
            crate = neighbour = library_of(name) or neighbour
        sizes[crate] += int(size, 16)
    if not sizes:
        return []
    biggest = sizes.most_common(CRATES)
    rest = sum(sizes.values()) - sum(size for _, size in biggest)
    return [
        Table(
            key="so-crates",
            title="The library by crate",
            columns=("crate", "kB"),
            rows=[*((name, kb(size)) for name, size in biggest), ("all others", kb(rest))],
            note="Functions and named data, by the symbol that they are under. What was inlined counts to whom it was "
            "inlined into; relocations, unwinding tables and unnamed constants are nobody's.",
        )
    ]


def crate_of(symbol: str) -> str | None:
    """The crate of a demangled symbol: `rustls::x`, `<rustls::X>::y`, `<T as rustls::Y>::z`; None if it is not Rust's."""
    if "::" not in symbol:
        return None
    found = re.match(r"<*[&*]?(?:mut |const |dyn )*(\w+)::", symbol) or re.search(r" as (\w+)::", symbol)
    return found[1] if found else UNKNOWN


def library_of(symbol: str) -> str | None:
    """Whose C a symbol is, if its prefix tells."""
    return next((library for prefix, library in C_LIBRARIES.items() if symbol.startswith(prefix)), None)


def kb(size: int) -> int:
    return round(size / 1000)
