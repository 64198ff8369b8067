"""Where the figures come from: the machine, and the versions of everything that was measured."""

from __future__ import annotations

import ctypes
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from . import fpm
from .workshop import BENCHES, LIBRARY, ROOT, VENV, scratch

#: As long as a record of the library.
RECORD = b"r" * 184
SYNCS = 200

REQUIREMENTS = BENCHES / "python" / "requirements.txt"


def describe(short: bool) -> dict[str, str]:
    """What is said under the tables, in this order. What cannot be found out is left out."""
    with scratch() as directory:
        disk = {
            "file system": file_system(directory),
            "fdatasync of an appended record, p50": f"{fdatasync_us(directory, 20 if short else SYNCS):,.0f} µs",
        }
    found = {
        "measured": measured_now(),
        "libmeditopia": library_version(),
        "CPU": cpu_model(),
        "CPUs": str(len(os.sched_getaffinity(0))),
        "memory": memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        **disk,
        "compilers": ", ".join(filter(None, (first_line("rustc", "--version"), first_line("cc", "--version")))),
        "librdkafka": package("rdkafka"),
        "libcurl": package("libcurl"),
        "SQLite": package("sqlite3"),
        "nginx": first_number("nginx", "-v"),
        "PHP": first_number(fpm.find(), "-v") if has_fpm() else "",
        "Python": platform.python_version(),
        **peers(),
    }
    return {name: value for name, value in found.items() if value}


def measured_now() -> str:
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}, commit {commit()}"


def commit() -> str:
    """The commit that is checked out, and whether the library differs from it."""
    git = ("git", "-C", str(ROOT))
    head = first_line(*git, "rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    changed = first_line(*git, "status", "--porcelain", "--", "src", "include", "Cargo.toml", "Cargo.lock", "build.rs")
    return f"{head} with changes" if changed else head


def cpu_model() -> str:
    text = Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    virtual = " (in a virtual machine)" if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) else ""
    return (name[1] if name else platform.machine()) + virtual


def memory() -> str:
    kib = re.search(r"^MemTotal:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return f"{int(kib[1]) / 1024**2:.1f} GiB" if kib else ""


def file_system(directory: Path) -> str:
    """The type of the mount that the directory is on: the last one of the deepest."""
    kind, depth = "", -1
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mounted, its_kind, *_ = line.split(" ")
        mounted = Path(mounted.encode().decode("unicode_escape"))
        if (mounted == directory or mounted in directory.parents) and len(mounted.parts) >= depth:
            kind, depth = its_kind, len(mounted.parts)
    return kind


def fdatasync_us(directory: Path, times: int) -> float:
    took = []
    file = os.open(directory / "synced", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        for _ in range(times):
            start = time.perf_counter_ns()
            os.write(file, RECORD)
            os.fdatasync(file)
            took.append((time.perf_counter_ns() - start) / 1_000)
    finally:
        os.close(file)
    return statistics.median(took)


def library_version() -> str:
    try:
        version = ctypes.CDLL(str(LIBRARY / "libmeditopia.so")).meditopia_version
    except OSError:
        return ""
    version.restype = ctypes.c_char_p
    return version().decode()


def package(name: str) -> str:
    return first_line("pkg-config", "--modversion", name)


def peers() -> dict[str, str]:
    """The versions of Python's peers, by the names in requirements.txt."""
    python = VENV / "bin" / "python"
    if not REQUIREMENTS.exists() or not python.exists():
        return {}
    lines = [line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
    names = [re.split(r"[\s=<>!~\[;]", line)[0] for line in lines if line]
    ask = (
        "import importlib.metadata as m, json, sys\n"
        "print(json.dumps([m.version(name) for name in sys.argv[1:]]))"
    )
    answer = first_line(str(python), "-c", ask, *names)
    return {f"{name} (PyPI)": version for name, version in zip(names, json.loads(answer or "[]"))}


def has_fpm() -> bool:
    try:
        return bool(fpm.find())
    except FileNotFoundError:
        return False


def first_number(*command: str) -> str:
    number = re.search(r"\d+(\.\d+)+", first_line(*command))
    return number[0] if number else ""


def first_line(*command: str) -> str:
    """The first line that a command says; nothing if it fails or is not there."""
    return (said(command).splitlines() or [""])[0].strip()


def said(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
