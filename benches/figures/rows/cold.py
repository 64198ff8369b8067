"""What a short process pays for the library: to load it, enqueue one event and end."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ..contest import Contender, Goal, Row, run
from ..table import Table
from ..workshop import Settings, compile_c, scratch
from .enqueue import last_cpu

RUNS = 200
#: Of the short form.
FEW_RUNS = 10
#: The driver puts the number of the run there.
NEW_EACH_TIME = "spool-{}"


def programs() -> dict[str, Path]:
    return {
        "driver": compile_c("cold_driver"),
        "empty": compile_c("cold_empty"),
        "curl": compile_c("cold_dlopen_curl", "dl"),
        "meditopia": compile_c("cold_meditopia", ours=True),
    }


def contests(settings: Settings) -> list[Row]:
    built = programs()
    return [
        Row(
            key="cold",
            what="cold C process: load, open, enqueue 1, close, exit",
            unit="µs/process",
            ours=Contender("meditopia", lambda: cold(settings, built, "meditopia", "spool")["us"]),
            reference=Contender("dlopen of libcurl, and exit", lambda: cold(settings, built, "curl")["us"]),
            goal=Goal(0.2),
            rounds=settings.rounds(9),
            note="whole processes, from spawn to end, on one CPU; the spool is there already",
        )
    ]


def cold(settings: Settings, built: dict[str, Path], program: str, *arguments: str) -> dict:
    """Medians of many runs, one after the other. Arguments are names in a directory that is empty at first."""
    runs = FEW_RUNS if settings.short else RUNS
    with scratch() as directory:
        paths = [directory / argument for argument in arguments]
        return run([built["driver"], runs, built[program], *paths], cpu=last_cpu()).said


def tables(settings: Settings) -> list[Table]:
    built = programs()
    return [costs(settings, built), *syscalls(built)]


def costs(settings: Settings, built: dict[str, Path]) -> Table:
    """What of a cold process is the process itself, what is loading, and what is work."""
    said = [
        ("an empty process", cold(settings, built, "empty")),
        ("meditopia, only loaded", cold(settings, built, "meditopia")),
        ("meditopia, 1 event, into a spool that is there", cold(settings, built, "meditopia", "spool")),
        ("meditopia, 1 event, into a new spool", cold(settings, built, "meditopia", NEW_EACH_TIME)),
        ("dlopen of libcurl", cold(settings, built, "curl")),
    ]

    def cells(name: str, of: dict) -> Sequence[str | float | int]:
        more_us = of["us"] - said[0][1]["us"]
        return (name, round(of["us"]), round(of["cpu_us"]), round(more_us), of["page_faults"], of["peak_kib"])

    return Table(
        key="cold-parts",
        title="A cold process",
        columns=("process", "µs", "of which CPU", "µs more than an empty one", "page faults", "peak memory, KiB"),
        rows=[cells(*one) for one in said],
        note="Medians of many runs, one after the other, from spawn to end; page faults and memory are the last one's.",
    )


def syscalls(built: dict[str, Path]) -> list[Table]:
    """Nothing where there is no strace, or where it may not trace."""
    if shutil.which("strace") is None:
        return []

    def ready_spool(directory: Path) -> list[Path]:
        run([built["meditopia"], directory / "spool"])
        return [directory / "spool"]

    try:
        counted = [
            ("an empty process", count(built["empty"], lambda _: [])),
            ("meditopia, 1 event", count(built["meditopia"], ready_spool)),
            ("dlopen of libcurl", count(built["curl"], lambda _: [])),
        ]
    except subprocess.CalledProcessError:
        return []
    names = {name for _, calls in counted for name in calls}
    most_first = sorted(names, key=lambda name: (-counted[1][1].get(name, 0), name))
    return [
        Table(
            key="cold-syscalls",
            title="System calls of a cold process",
            columns=("call", *(who for who, _ in counted)),
            rows=[
                ("all", *(sum(calls.values()) for _, calls in counted)),
                *((name, *(calls.get(name, 0) for _, calls in counted)) for name in most_first),
            ],
            note="From execve to exit, the dynamic linker's included; the spool is there already.",
        )
    ]


def count(program: Path, arguments: Callable[[Path], Sequence[Path]]) -> dict[str, int]:
    """How often a program makes each system call."""
    with scratch() as directory:
        trace = directory / "trace"
        subprocess.run(
            ["strace", "-f", "-c", "-U", "calls,name", "-o", trace, program, *arguments(directory)],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        lines = [line.split() for line in trace.read_text().splitlines()]
    # A header, a rule, the calls, a rule and the total.
    return {line[1]: int(line[0]) for line in lines[2:-2]}
