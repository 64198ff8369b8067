"""Instructions of one enqueue, counted by callgrind: the same on a busy machine as on an idle one.

What the kernel does for the write is not in it; how many system calls there are is.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from ..table import Table
from ..workshop import Settings, compile_c, scratch

#: How the event is handed over: what it is called here, the function, and events in a call.
KINDS = {
    "given": ("five strings, the time given", "meditopia_enqueue", 1),
    "now": ("the same, the time is now", "meditopia_enqueue", 1),
    "sized": ("the same, with lengths", "meditopia_enqueue_n", 1),
    "escaped": ("a value with six escapes", "meditopia_enqueue", 1),
    "long": ("a value of 1,000 bytes", "meditopia_enqueue", 1),
    "json": ("1,000 as JSON, for each event", "meditopia_enqueue_json", 1_000),
}


def tables(settings: Settings) -> list[Table]:
    program = compile_c("enqueue_counted", ours=True)
    rows = []
    for kind, (what, function, events) in KINDS.items():
        few, many = (2, 4) if events > 1 else (50, 250)
        # The difference: what the first calls set up is not part of a warm one.
        instructions = (count(program, kind, function, many) - count(program, kind, function, few)) / (many - few) / events
        calls = (system_calls(program, kind, many) - system_calls(program, kind, few)) / (many - few) / events
        rows.append([what, f"`{function}`", round(instructions), f"{calls:.3g}"])
    return [
        Table(
            "instructions",
            "Instructions of one enqueue",
            ["an event", "by", "instructions", "system calls"],
            rows,
            "Counted by callgrind and strace on warm calls, without the kernel's part; the record has 184 bytes but for the long value.",
        )
    ]


def count(program: Path, kind: str, function: str, calls: int) -> int:
    """Instructions inside of the exported function, over a whole run."""
    with scratch() as directory:
        command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out",
            "--collect-atstart=no", f"--toggle-collect={function}",
            program, directory / "spool", kind, calls,
        ]  # fmt: skip
        done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        found = re.search(r"Collected : (\d+)", done.stderr)
        if not found:
            raise RuntimeError(f"callgrind did not tell what it counted: {done.stderr}")
        return int(found[1])


def system_calls(program: Path, kind: str, calls: int) -> int:
    with scratch() as directory:
        log = directory / "calls"
        command = ["strace", "-f", "-o", log, program, directory / "spool", kind, calls]
        subprocess.run([str(part) for part in command], check=True)
        return len(log.read_text().splitlines())
