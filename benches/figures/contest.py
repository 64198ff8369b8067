"""Two contenders measured by turns, A B A B, so that whatever else the machine does hits both."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Measure = Callable[[], float]


@dataclass(frozen=True)
class Contender:
    """Somebody who does the work: `measure` does it once and returns what it cost, in the row's unit."""

    name: str
    measure: Measure


@dataclass(frozen=True)
class Goal:
    """Ours divided by the reference's has to be at most, or at least, this."""

    bound: float
    at_least: bool = False

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Row:
    """A line of the table: what is measured, in which unit, and against whom."""

    key: str
    what: str
    unit: str
    ours: Contender
    reference: Contender
    goal: Goal | None = None
    rounds: int = 9
    note: str = ""


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)


@dataclass(frozen=True)
class Outcome:
    """What a row came to."""

    row: Row
    ours: Spread
    reference: Spread
    ratio: Spread
    met: bool | None = field(default=None)


def duel(row: Row, rounds: int | None = None) -> Outcome:
    """Runs a row. A round's ratio is of two neighbours in time; the median of the rounds counts."""
    ours, reference = [], []
    for turn in range(rounds or row.rounds):
        # Who goes first changes, so that neither always runs in the other's wake.
        order = [(row.ours, ours), (row.reference, reference)]
        for contender, values in order if turn % 2 == 0 else reversed(order):
            values.append(contender.measure())
    ratio = Spread.of([a / b for a, b in zip(ours, reference)])
    met = row.goal.is_met(ratio.median) if row.goal else None
    return Outcome(row, Spread.of(ours), Spread.of(reference), ratio, met)


@dataclass(frozen=True)
class Run:
    """A program that has ended: the JSON object of its last line, and what the kernel counted."""

    said: dict
    cpu_s: float
    peak_kib: int


def run(command: Sequence[str | Path], *, cpu: int | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Runs a program to its end, on one CPU if asked; an exit code other than 0 is an error."""

    def pin() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        preexec_fn=pin,
        text=True,
    )
    return conclude(process, command)


def conclude(process: subprocess.Popen, command: Sequence[str | Path]) -> Run:
    """Reads what a program says until it ends; an exit code other than 0 is an error."""
    with process.stdout:
        output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {' '.join(map(str, command))}\n{output}")
    lines = output.splitlines()
    said = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Run(said, used.ru_utime + used.ru_stime, used.ru_maxrss)
