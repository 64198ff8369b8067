"""How long a single enqueue takes at worst: quiet, and while another process drains the same spool.

On a machine with few cores the sender, nginx and the measured thread take the CPU from each other, and
whoever enqueues sees that. So a bare appender runs in the same company, beside a spool that it has nothing
to do with; and a call of more than a millisecond is said to have been preempted, blocked or running.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..contest import run
from ..plots import Series, lines
from ..sink import sink
from ..table import Table
from ..workshop import BENCHES, PROGRAMS, Settings, compile_c, scratch
from .enqueue import compile_appender, compile_meditopia, compile_rdkafka

#: 184 MB, which is more than twenty segments of 8 MiB.
EVENTS = 1_000_000
#: 74 MB in 20 s.
PACED_EVENTS = 400_000
PACED_RATE = 20_000
PLOT = "enqueue_latency.svg"
PACED_PLOT = "enqueue_latency_paced.svg"


@dataclass(frozen=True)
class Tail:
    """What a contender said of its calls."""

    name: str
    said: dict
    #: Events that the sender delivered meanwhile; None: there was none.
    delivered: int | None = None

    def cells(self) -> Sequence[str | float | int]:
        said = self.said
        return (
            self.name,
            *(round(said[key] / 1_000, 2) for key in ("p50", "p90", "p99", "p999", "p9999", "max")),
            *(said[key] for key in ("stalls", "preempted", "blocked", "running")),
            "" if self.delivered is None else self.delivered,
        )


class Draining:
    """A sender in another process, which drains a spool to a sink."""

    def __init__(self, program: Path, spool: Path, url: str) -> None:
        self.delivered = 0
        self.process = subprocess.Popen(
            [program, spool, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.process.stdout.readline()

    def stop(self) -> None:
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise RuntimeError(f"the sender ended with {self.process.returncode}: {output}")
        said = json.loads(output)
        if said["rejected"] or not said["delivered"]:
            raise RuntimeError(f"the sender did not deliver as it should: {said}")
        self.delivered = said["delivered"]


@contextmanager
def drained(program: Path, spool: Path, url: str) -> Iterator[Draining]:
    draining = Draining(program, spool, url)
    try:
        yield draining
        draining.stop()
    finally:
        if draining.process.poll() is None:
            draining.process.kill()
            draining.process.wait()


def tables(settings: Settings) -> list[Table]:
    flat_out = ("--events", settings.events(EVENTS))
    paced = ("--events", settings.events(PACED_EVENTS), "--rate", PACED_RATE)
    return [
        table(settings, "enqueue-latency", "as fast as it goes", flat_out, PLOT),
        table(settings, "enqueue-latency-paced", f"{PACED_RATE:,} calls a second", paced, PACED_PLOT),
    ]


def table(settings: Settings, key: str, pace: str, options: Sequence[str | int], plot: str) -> Table:
    tails = measure(options)
    lines(
        (PROGRAMS if settings.short else BENCHES) / "plots" / plot,
        f"Latency of one enqueue, {pace}",
        "1 / (1 - percentile): 100 is the 99th, 10,000 the 99.99th",
        "µs",
        [Series(tail.name, [(one_in, ns / 1_000) for one_in, ns in tail.said["curve"]]) for tail in tails],
        log_x=True,
        log_y=True,
        about="Every call is timed by itself. Durability: process.",
    )
    return Table(
        key=key,
        title=f"Latency of one enqueue, {pace}",
        columns=(
            "who", "p50, µs", "p90", "p99", "p99.9", "p99.99", "max",
            "above 1 ms", "preempted", "blocked", "running", "delivered meanwhile",
        ),
        rows=[tail.cells() for tail in tails],
        note=f"{options[1]:,} calls each, with the two readings of the clock in them. Of the calls above 1 ms: "
        "*preempted* by another process, *blocked* in the kernel for the disk or a lock, *running* all the time or "
        "held up by the host of a virtual machine. The appender shares the machine with the sender, not a file.",
        plots=(plot,),
    )


def measure(options: Sequence[str | int]) -> list[Tail]:
    ours, appender, rdkafka = compile_meditopia(), compile_appender(), compile_rdkafka()
    drain = compile_c("drain", ours=True)

    def latencies(program: Path, directory: Path, *more: str) -> dict:
        return run([program, directory, "--latency", *options, *more]).said

    def quiet(name: str, program: Path) -> Tail:
        with scratch() as directory:
            return Tail(name, latencies(program, directory))

    def beside_sender(name: str, measured: Callable[[Path, str], dict]) -> Tail:
        """`measured` gets a spool that is being drained, and the endpoint that it belongs to."""
        with scratch() as spool, sink() as api:
            with drained(drain, spool, api.url) as draining:
                said = measured(spool, api.url)
            return Tail(name, said, draining.delivered)

    def append_beside(spool: Path, url: str) -> dict:
        # Somebody else fills the spool at the same pace, so that the sender has the same work.
        command = (ours, spool, "--endpoint", url, "--latency", *options)
        feeder = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
        try:
            with scratch() as directory:
                return latencies(appender, directory)
        finally:
            feeder.kill()
            feeder.wait()

    return [
        quiet("meditopia", ours),
        beside_sender(
            "meditopia, while a sender drains", lambda spool, url: latencies(ours, spool, "--endpoint", url)
        ),
        quiet("bare append", appender),
        beside_sender("bare append, beside a sender at work", append_beside),
        quiet("rd_kafka_produce, in memory", rdkafka),
    ]
