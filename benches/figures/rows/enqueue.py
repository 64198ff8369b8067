"""What an enqueue costs the host: one thread, several threads, several processes, batches, and with the disk in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..contest import Contender, Goal, Outcome, Row, duel, run
from ..plots import Series, lines
from ..table import Table
from ..workshop import BENCHES, PROGRAMS, Settings, compile_c, scratch

EVENTS = 1_000_000
#: Each waits for the disk.
SYNCED_EVENTS = 2_000
#: Below this the disk says that it is done before it is, or is memory.
HONEST_SYNC_US = 50
BATCH = 1_000

THREADS = (1, 2, 4, 8)
PROCESSES = (1, 2, 4, 8, 16, 32, 64)
CURVE_ROUNDS = 3


def compile_meditopia() -> Path:
    return compile_c("enqueue_meditopia", ours=True)


def compile_appender() -> Path:
    return compile_c("enqueue_appender")


def compile_rdkafka() -> Path:
    return compile_c("enqueue_rdkafka", "rdkafka")


def last_cpu() -> int:
    """Where a single thread is kept; interrupts tend to go to the first one."""
    return max(os.sched_getaffinity(0))


def enqueue(program: Path, *options: str | int, cpu: int | None = None) -> dict:
    """Lets a contender enqueue into an empty directory, which is gone afterwards."""
    with scratch() as directory:
        return run([program, directory, *options], cpu=cpu).said


def contender(name: str, program: Path, *options: str | int, alone: bool = True) -> Contender:
    """One that is measured in nanoseconds an event; `alone` is on one CPU."""
    cpu = last_cpu() if alone else None
    return Contender(name, lambda: enqueue(program, *options, cpu=cpu)["ns_per_event"])


def contests(settings: Settings) -> list[Row]:
    ours, appender, rdkafka = compile_meditopia(), compile_appender(), compile_rdkafka()
    events = ("--events", settings.events(EVENTS))
    four = (*events, "--processes", 4)
    return [
        Row(
            key="enqueue-append",
            what="enqueue, `process`, 1 thread",
            unit="ns/event",
            ours=contender("meditopia_enqueue", ours, *events),
            reference=contender("bare write(2) append", appender, *events),
            goal=Goal(1.5),
            rounds=settings.rounds(9),
            note="184 bytes a record, warm, on one CPU",
        ),
        Row(
            key="enqueue-rdkafka",
            what="enqueue, `process`, 1 thread",
            unit="ns/event",
            ours=contender("meditopia_enqueue", ours, *events),
            reference=contender("rd_kafka_produce, in memory", rdkafka, *events),
            goal=Goal(2),
            rounds=settings.rounds(9),
            note="the reference keeps nothing when the process dies; beyond the goal: below 1",
        ),
        Row(
            key="enqueue-processes",
            what="enqueue, `process`, 4 processes on one spool",
            unit="ns/event",
            ours=contender("meditopia_enqueue", ours, *four, alone=False),
            reference=contender("4 bare appenders, a file each", appender, *four, alone=False),
            goal=Goal(1.5),
            rounds=settings.rounds(9),
            note="wall time of the whole, divided by all events",
        ),
        Row(
            key="enqueue-json",
            what=f"enqueue_json of {BATCH:,}",
            unit="ns/event",
            ours=contender("meditopia_enqueue_json", ours, *events, "--per-call", BATCH),
            reference=contender("meditopia_enqueue one by one", ours, *events),
            goal=Goal(0.35),
            rounds=settings.rounds(9),
        ),
        *synced_rows(settings, ours, appender),
    ]


def synced_rows(settings: Settings, ours: Path, appender: Path) -> list[Row]:
    """`power`: void on a disk whose syncs are too fast to be true, so that disk is asked first."""
    sync_us = enqueue(appender, "--events", 200, "--fdatasync", "--latency")["p50"] / 1_000
    honest = sync_us >= HONEST_SYNC_US
    note = f"append + fdatasync takes {sync_us:,.0f} µs here (p50)"
    if not honest:
        note += f"; void, because a disk that keeps what it says needs more than {HONEST_SYNC_US} µs"
    # Not the short form's thousand: the disks of CI are slow.
    events = ("--events", 200 if settings.short else SYNCED_EVENTS)
    return [
        Row(
            key=f"enqueue-power-{threads}",
            what=f"enqueue, `power`, {threads} thread{'s' if threads > 1 else ''}",
            unit="ns/event",
            ours=contender(
                "meditopia_enqueue", ours, *events, "--threads", threads, "--durability", "power", alone=threads == 1
            ),
            reference=contender(
                "append + fdatasync" + (", a file each" if threads > 1 else ""),
                appender, *events, "--threads", threads, "--fdatasync", alone=threads == 1,
            ),
            goal=Goal(bound) if honest else None,
            rounds=settings.rounds(9),
            note=note,
        )
        for threads, bound in ((1, 1.3), (4, 1.0))
    ]


def tables(settings: Settings) -> list[Table]:
    return [
        curve(settings, "threads", "--threads", THREADS, "threads share a client", "a file for each thread"),
        curve(settings, "processes", "--processes", PROCESSES, "processes on one spool", "a file for each process"),
    ]


def curve(
    settings: Settings, workers: str, option: str, counts: Sequence[int], together: str, apart: str
) -> Table:
    """Enqueue against bare appends for a growing number of workers; the events in all stay the same."""
    ours, appender = compile_meditopia(), compile_appender()
    events = ("--events", settings.events(EVENTS))
    outcomes = [
        duel(
            Row(
                key=f"{workers}-{count}",
                what=f"{count} {workers}",
                unit="ns/event",
                ours=contender("meditopia", ours, *events, option, count, alone=False),
                reference=contender("appender", appender, *events, option, count, alone=False),
            ),
            rounds=settings.rounds(CURVE_ROUNDS),
        )
        for count in counts
    ]
    plot = f"throughput_{workers}.svg"
    lines(
        (PROGRAMS if settings.short else BENCHES) / "plots" / plot,
        f"Events enqueued a second, all {workers} together",
        workers,
        "million events/s",
        [
            Series(f"meditopia, {together}", points(counts, outcomes, lambda outcome: outcome.ours.median)),
            Series(f"bare append, {apart}", points(counts, outcomes, lambda outcome: outcome.reference.median)),
        ],
        log_x=True,
        about="Durability: process. A record is one write(2) of 184 bytes for both.",
    )
    return Table(
        key=f"throughput-{workers}",
        title=f"Enqueue with many {workers}",
        columns=(workers, "meditopia, ns/event", "bare append, ns/event", "ratio"),
        rows=[
            (count, round(outcome.ours.median), round(outcome.reference.median), round(outcome.ratio.median, 2))
            for count, outcome in zip(counts, outcomes)
        ],
        note=f"Wall time of the whole, divided by all events; medians of {settings.rounds(CURVE_ROUNDS)}. "
        f"meditopia: {together}; the appenders: {apart}.",
        plots=(plot,),
    )


def points(counts, outcomes: Sequence[Outcome], ns_per_event) -> list[tuple[float, float]]:
    """Nanoseconds an event as million events a second."""
    return [(count, 1_000 / ns_per_event(outcome)) for count, outcome in zip(counts, outcomes)]
