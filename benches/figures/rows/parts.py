"""Where the work of a delivered event goes: by thread in CPU time, and by step in instructions."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..sink import sink
from ..table import Table
from ..watch import has_ended
from ..workshop import Settings, compile_c, scratch

EVENTS = 500_000
#: callgrind is fifty times slower, and takes the start of the process along.
COUNTED_EVENTS = 20_000
SAMPLE_S = 0.01

#: What the threads are called, and what they do.
THREADS = {
    "deliver_meditop": "the host's: enqueue, and a flush that waits",
    "meditopia": "the sender's: take events over from the journal into the store",
    "meditopia-lane": "the lane's: choose, mark, send, settle",
}
TAKE_OVER, SEND, THREAD = "ElectedSender::take_over", "Agent::run_via_middleware", "clone"
COMMIT = ["Store>::commit", "Store>::end_joint_commit"]


@dataclass(frozen=True)
class Step:
    """What some functions do on the thread that `on` runs on, without what others do below them."""

    what: str
    on: str
    functions: Sequence[str]
    without: Sequence[str] = ()


STEPS = [
    Step("take over: read, check, pack", TAKE_OVER, [TAKE_OVER], COMMIT),
    Step("take over: commit", TAKE_OVER, COMMIT),
    # The compiler has put these into one another.
    Step("read rows, choose, build the body, settle", SEND, [THREAD], [*COMMIT, SEND]),
    Step("settle and mark: commit", SEND, COMMIT),
    Step("send, and read the answer", SEND, [SEND]),
]


def tables(settings: Settings) -> list[Table]:
    program = compile_c("deliver_meditopia", ours=True)
    return [by_thread(program, settings.events(EVENTS)), by_step(program, settings.events(COUNTED_EVENTS))]


def by_thread(program: Path, events: int) -> Table:
    seconds: dict[str, list[float]] = {}
    with scratch() as place, sink() as api:
        subprocess.run([program, place / "spool", api.url, str(events), "--fill"], check=True, stdout=subprocess.DEVNULL)
        process = subprocess.Popen([program, place / "spool", api.url, str(events), "--drain"], stdout=subprocess.DEVNULL)
        while not has_ended(process.pid):
            for name, used in thread_seconds(process.pid).items():
                seconds[name] = [max(pair) for pair in zip(used, seconds.get(name, used))]
            time.sleep(SAMPLE_S)
        if process.wait() != 0:
            raise RuntimeError(f"{program} ended with {process.returncode}")
    rows = [
        [what, *(f"{part * 1e6 / events:.2f}" for part in seconds.get(name, (0.0, 0.0)))] for name, what in THREADS.items()
    ]
    return Table(
        "cpu-by-thread",
        "CPU of a delivered event by thread",
        ["thread", "in user mode, µs", "in the kernel, µs"],
        rows,
        f"A process that drains a backlog of {events:,} events over one lane; what it cost to enqueue them is in another table.",
    )


def thread_seconds(pid: int) -> dict[str, tuple[float, float]]:
    """User and kernel time of each thread by its name."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            name, rest = re.fullmatch(r"\d+ \((.*)\) (.*)", task.read_text().strip(), re.S).groups()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = rest.split()
        found[name] = (int(fields[11]) / tick, int(fields[12]) / tick)
    return found


def by_step(program: Path, events: int) -> Table:
    threads = counted_threads(program, events)
    rows = []
    for step in STEPS:
        # Another build may have put the function into its caller.
        thread = next((counts for counts in threads if total(counts, [step.on])), None)
        if thread:
            rows.append([step.what, round((total(thread, step.functions) - total(thread, step.without)) / events)])
    return Table(
        "instructions-by-step",
        "Instructions of a delivered event by step",
        ["step", "instructions"],
        rows,
        "Counted by callgrind in user mode while a backlog is drained, batches of 100; the kernel's part is in the table above.",
    )


def counted_threads(program: Path, events: int) -> list[dict[str, int]]:
    """For each thread of a drain, the instructions of each function with all that it calls."""
    with scratch() as place, sink() as api:
        subprocess.run([program, place / "spool", api.url, str(events), "--fill"], check=True, stdout=subprocess.DEVNULL)
        command = ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={place}/out"]
        drain = [program, place / "spool", api.url, str(events), "--drain"]
        subprocess.run([*command, *drain], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return [inclusive(file) for file in sorted(place.glob("out-*"))]


def inclusive(file: Path) -> dict[str, int]:
    command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", str(file)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ *([\d,]+) \( *[\d.]+%\) +\S*?:(.+?)(?: \[.*\])?$", said, re.M)
    return {function: int(count.replace(",", "")) for count, function in found}


def total(counts: dict[str, int], names: Sequence[str]) -> int:
    return sum(count for function, count in counts.items() if function.endswith(tuple(names)))
