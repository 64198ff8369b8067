"""A process looked at from outside while it empties a spool: what it sent, its memory, the spool's size."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .contest import conclude
from .sink import Sink

SAMPLE_S = 0.02
#: The spool's files are looked at less often.
DISK_SAMPLE_S = 0.2


@dataclass(frozen=True)
class Sample:
    seconds: float
    requests: int
    rss_kib: int


@dataclass(frozen=True)
class Drain:
    """A process that has emptied a spool."""

    samples: Sequence[Sample]
    requests: int
    #: From the opening to the last answer, as the process itself says.
    seconds: float
    peak_kib: int
    cpu_s: float
    disk_peak_bytes: int

    def rate(self, begin: float = 0, end: float = 1) -> float:
        """Requests a second between two points of the backlog, 0 its first request and 1 its last."""
        first, last = self.requests * begin, self.requests * end
        return (last - first) / (self._reached(last) - self._reached(first))

    def _reached(self, requests: float) -> float:
        """When so many requests had been sent, between the two samples around it."""
        # Of those with no request yet only the last one counts: the taking over comes before.
        before = max((s for s in self.samples if s.requests <= requests), key=lambda s: s.seconds)
        after = next((s for s in self.samples if s.requests > requests), None)
        if after is None:
            return next(s.seconds for s in self.samples if s.requests >= requests)
        share = (requests - before.requests) / (after.requests - before.requests)
        return before.seconds + share * (after.seconds - before.seconds)


def watch(command: Sequence[str | int | Path], api: Sink, spool: Path) -> Drain:
    """Runs a drain to its end; `api` is its alone."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    began, samples, disk_peak, disk_due = time.monotonic(), [], disk_bytes(spool), 0.0
    before = api.requests()
    while not has_ended(process.pid):
        now = time.monotonic() - began
        samples.append(Sample(now, api.requests() - before, rss_kib(process.pid)))
        if now >= disk_due:
            disk_peak, disk_due = max(disk_peak, disk_bytes(spool)), now + DISK_SAMPLE_S
        time.sleep(SAMPLE_S)
    ended = conclude(process, command)
    said = ended.said
    requests = api.requests() - before
    # It may all be over between two looks.
    samples.append(Sample(max(said["seconds"], samples[-1].seconds if samples else 0) + 1e-6, requests, 0))
    if samples[0].requests > 0:
        samples.insert(0, Sample(0, 0, 0))
    return Drain(samples, requests, said["seconds"], said["peak_kib"], ended.cpu_s, disk_peak)


def has_ended(pid: int) -> bool:
    """Whether a child has ended; its exit status stays to be asked for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def rss_kib(pid: int) -> int:
    """0 for a process that has just ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def disk_bytes(directory: Path) -> int:
    """What the files below it take on the disk; those that vanish meanwhile take nothing."""
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total
