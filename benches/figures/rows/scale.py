"""What becomes of the rate, the memory and the disk with more lanes, a longer backlog, and many segments."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..contest import Contender, Goal, Row, run
from ..plots import Series, lines
from ..sink import Sink, sink
from ..table import Table
from ..watch import Drain, disk_bytes, watch
from ..workshop import BENCHES, PROGRAMS, Settings, compile_c, scratch

BATCH = 100
TENTH = 0.1

LANES = (1, 2, 4, 8)
LATENCY_MS = 50
#: About five seconds, whatever the lanes.
EVENTS_PER_LANE = 10_000

BACKLOGS = (10_000, 100_000, 1_000_000)
#: Only if MEDITOPIA_BENCH_HUGE is set: it takes minutes and some gigabytes of disk.
HUGE_BACKLOG = 10_000_000
LONG_BACKLOG = 1_000_000
LONG_ROUNDS = 3
MEMORY_LIMIT_MIB = 40.0

SEGMENTS = 10_000
#: What a long outage leaves: as many events in each of the segments, and others that expired before.
EVENTS_PER_SEGMENT = 1_000
EXPIRED = 1_000_000

MEMORY_PLOT, RATE_PLOT = "memory_drain.svg", "drain_rate.svg"
#: A point of the rate's plot each so much of the backlog, and of the memory's each so many seconds.
RATE_SHARE, MEMORY_S = 0.02, 0.1


def contests(settings: Settings) -> list[Row]:
    drains = LongDrains(settings.events(LONG_BACKLOG))
    backlog = f"a backlog of {settings.events(LONG_BACKLOG):,} events"
    return [
        Row(
            key="backlog-memory",
            what=f"peak memory while it delivers {backlog}",
            unit="MiB (VmHWM)",
            ours=Contender("libmeditopia, 1 lane", lambda: drains.next("memory").peak_kib / 1024),
            reference=Contender("the limit", lambda: MEMORY_LIMIT_MIB),
            goal=Goal(1),
            rounds=LONG_ROUNDS,
        ),
        Row(
            key="backlog-rate",
            what=f"does the rate hold over {backlog}: last tenth against first",
            unit="requests/s",
            ours=Contender("the last tenth", lambda: drains.next("last").rate(1 - TENTH, 1)),
            reference=Contender("the first tenth of the same run", lambda: drains.next("first").rate(0, TENTH)),
            goal=Goal(0.95, at_least=True),
            rounds=LONG_ROUNDS,
            note="In the first tenth the sender also takes the rest of the backlog over.",
        ),
    ]


class LongDrains:
    """Drains of the same backlog, each of which every reader sees once: both rows are about the same runs."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.waiting: dict[str, deque[Drain]] = {reader: deque() for reader in ("memory", "first", "last")}

    def next(self, reader: str) -> Drain:
        if not self.waiting[reader]:
            made = drain(self.events)
            for queue in self.waiting.values():
                queue.append(made)
        return self.waiting[reader].popleft()


def tables(settings: Settings) -> list[Table]:
    huge = [outage_table(settings)] if is_huge() else []
    return [lanes_table(settings), backlog_table(settings), segments_table(settings), *huge]


def is_huge() -> bool:
    return bool(os.environ.get("MEDITOPIA_BENCH_HUGE"))


def lanes_table(settings: Settings) -> Table:
    rows = []
    for lanes in LANES:
        done = drain(settings.events(EVENTS_PER_LANE * lanes), delay_ms=LATENCY_MS, lanes=lanes)
        ideal = lanes * 1000 / LATENCY_MS
        rows.append((lanes, round(done.rate(), 1), round(ideal), f"{done.rate() / ideal:.0%}"))
    return Table(
        key="lanes",
        title=f"Lanes against an API that answers after {LATENCY_MS} ms",
        columns=("lanes", "requests/s", "at best", "reached"),
        rows=rows,
        note="From the first request to the last. A user's events share a lane, so near the end some lanes are "
        "empty before others.",
    )


def backlog_table(settings: Settings) -> Table:
    backlogs = [*BACKLOGS, *([HUGE_BACKLOG] if is_huge() else [])]
    rows = []
    for backlog in backlogs:
        events = settings.events(backlog)
        done = drain(events)
        rows.append(
            (
                f"{events:,}",
                round(done.seconds, 2),
                round(done.rate()),
                f"{done.rate(1 - TENTH, 1) / done.rate(0, TENTH):.2f}",
                round(done.peak_kib / 1024, 1),
                round(done.disk_peak_bytes / events),
                round(done.cpu_s * 1e6 / events, 2),
            )
        )
        if backlog == LONG_BACKLOG:
            plot(done, events, settings)
    return Table(
        key="backlog",
        title="A backlog that one lane delivers without delay",
        columns=(
            "events",
            "seconds",
            "requests/s",
            "last tenth / first",
            "VmHWM MiB",
            "disk bytes/event at the peak",
            "us CPU/event",
        ),
        rows=rows,
        note="The seconds begin with the opening, the rate with the first request.",
        plots=(MEMORY_PLOT, RATE_PLOT),
    )


def plot(done: Drain, events: int, settings: Settings) -> None:
    plots = (PROGRAMS if settings.short else BENCHES) / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    lines(
        plots / MEMORY_PLOT,
        f"Memory while {events:,} events are delivered",
        "seconds since the opening",
        "MiB",
        [Series("resident memory", memory_over_time(done))],
    )
    shares = [step * RATE_SHARE for step in range(round(1 / RATE_SHARE))]
    lines(
        plots / RATE_PLOT,
        f"Rate while {events:,} events are delivered",
        "thousand events delivered",
        "requests/s",
        [
            Series(
                "libmeditopia, 1 lane",
                [((share + RATE_SHARE) * events / 1000, done.rate(share, share + RATE_SHARE)) for share in shares],
            )
        ],
    )


def memory_over_time(done: Drain) -> Sequence[tuple[float, float]]:
    points, due = [], 0.0
    for sample in done.samples:
        if sample.rss_kib > 0 and sample.seconds >= due:
            points.append((sample.seconds, sample.rss_kib / 1024))
            due = sample.seconds + MEMORY_S
    return points


def segments_table(settings: Settings) -> Table:
    segments = SEGMENTS // 100 if settings.short else SEGMENTS
    program, fill_many = compile_c("deliver_meditopia", ours=True), compile_c("deliver_segments", ours=True)
    with full_spool([fill_many], segments, 1) as (spool, api):
        many = watch([program, spool, api.url, segments, "--drain"], api, spool)
    with full_spool([program], segments, "--fill") as (spool, api):
        one = watch([program, spool, api.url, segments, "--drain"], api, spool)
    return Table(
        key="segments",
        title=f"Taking over {segments:,} segments of an event each, left by as many processes",
        columns=("segments", "seconds until all is delivered", "us/segment", "us CPU/segment", "VmHWM MiB"),
        rows=[
            (
                f"{segments:,}",
                round(many.seconds, 2),
                round((many.seconds - one.seconds) * 1e6 / segments, 1),
                round((many.cpu_s - one.cpu_s) * 1e6 / segments, 1),
                round(many.peak_kib / 1024, 1),
            ),
            (1, round(one.seconds, 2), "", "", round(one.peak_kib / 1024, 1)),
        ],
        note="A segment's cost is what its drain takes longer than that of one segment with as many events.",
    )


def outage_table(settings: Settings) -> Table:
    segments, expired = (count // 100 if settings.short else count for count in (SEGMENTS, EXPIRED))
    events = segments * EVENTS_PER_SEGMENT
    program, fill_many = compile_c("deliver_meditopia", ours=True), compile_c("deliver_segments", ours=True)
    with full_spool([program], expired, "--fill") as (spool, api):
        time.sleep(1.1)
        run([program, spool, api.url, expired, "--drain", "--ttl", 1])
        run([fill_many, spool, api.url, segments, EVENTS_PER_SEGMENT])
        look = run([program, spool, api.url, events, "--look"]).said
        disk = disk_bytes(spool)
        done = watch([program, spool, api.url, events, "--drain"], api, spool)
    return Table(
        key="outage",
        title=f"{events:,} events of {segments:,} processes wait, {expired:,} are rejected",
        columns=("what", "seconds", "VmHWM MiB", "disk, GB"),
        rows=[
            ("a process opens the spool and asks for the statistics", look["seconds"], mib(look["peak_kib"]), gb(disk)),
            ("a process delivers all of them", round(done.seconds, 1), mib(done.peak_kib), gb(done.disk_peak_bytes)),
        ],
        note="The rejected events are some that expired. One lane, an API without delay.",
    )


def mib(kib: int) -> float:
    return round(kib / 1024, 1)


def gb(size: int) -> float:
    return round(size / 1e9, 2)


@contextmanager
def full_spool(fill: Sequence[str | Path], *arguments: str | int, delay_ms: int = 0) -> Iterator[tuple[Path, Sink]]:
    """A spool that a program has filled, and where it delivers to."""
    with scratch() as place, sink(delay_ms) as api:
        run([*fill, place / "spool", api.url, *arguments])
        yield place / "spool", api


def drain(events: int, delay_ms: int = 0, lanes: int = 1) -> Drain:
    """Fills a spool, and lets another process empty it."""
    program = compile_c("deliver_meditopia", ours=True)
    with full_spool([program], events, "--fill", delay_ms=delay_ms) as (spool, api):
        done = watch([program, spool, api.url, events, "--drain", "--lanes", lanes], api, spool)
    if done.requests < -(-events // BATCH):
        raise RuntimeError(f"{done.requests} requests came for {events} events")
    return done
