"""Where things are, and the programs that are built before anything is measured."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BENCHES = Path(__file__).resolve().parent.parent
ROOT = BENCHES.parent
TARGET = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()
#: Holds `libmeditopia.so`: as it is shipped, or another build where only the harness is looked at.
LIBRARY = TARGET / os.environ.get("MEDITOPIA_BENCH_PROFILE", "release")
#: Compiled contenders.
PROGRAMS = TARGET / "benches"
#: Where Python's peers are installed.
VENV = PROGRAMS / "venv"

FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}"]
C_FLAGS = ["-std=gnu11", *FLAGS]


def compile_cpp(name: str) -> Path:
    """Compiles `benches/c/NAME.cpp`, a part of a program in C, to an object."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    part = PROGRAMS / f"{name}.{os.getpid()}.o"
    command = [os.environ.get("CXX", "c++"), "-std=c++17", *FLAGS, "-c", BENCHES / "c" / f"{name}.cpp", "-o", part]
    subprocess.run(list(map(str, command)), check=True)
    return part


def compile_c(name: str, *libraries: str, ours: bool = False, part: Path | None = None) -> Path:
    """Compiles `benches/c/NAME.c`; with `ours` it is linked with this library, with `part` with that object."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    program = PROGRAMS / name
    # Under another name first: a run beside this one may be executing it.
    fresh = program.with_suffix(f".{os.getpid()}")
    command = [os.environ.get("CC", "cc"), *C_FLAGS, BENCHES / "c" / f"{name}.c", "-o", fresh]
    if part:
        command.append(part)
    if ours:
        soname = LIBRARY / "libmeditopia.so.0"
        if not soname.exists():
            soname.symlink_to("libmeditopia.so")
        command += [f"-L{LIBRARY}", f"-Wl,-rpath,{LIBRARY}", "-lmeditopia"]
    subprocess.run([*map(str, command), *(f"-l{name}" for name in libraries), "-lpthread", "-lm"], check=True)
    if part:
        part.unlink()
    fresh.rename(program)
    return program


def compile_preloaded(name: str) -> Path:
    """Compiles `benches/c/NAME.c` to a library that stands in for functions of libc."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    library = PROGRAMS / f"{name}.so"
    fresh = library.with_suffix(f".{os.getpid()}")
    command = [os.environ.get("CC", "cc"), *C_FLAGS, "-shared", "-fPIC", BENCHES / "c" / f"{name}.c", "-o", fresh]
    subprocess.run(list(map(str, command)), check=True)
    fresh.rename(library)
    return library


@dataclass(frozen=True)
class Settings:
    """How long a run is: the short form only shows that the harness works."""

    short: bool

    def events(self, full: int) -> int:
        return max(1_000, full // 100) if self.short else full

    def rounds(self, full: int) -> int:
        return 1 if self.short else full


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty directory on a real disk, under `target/` and not on a tmpfs; empty files afterwards, and gone at the end.

    ext4 looks past each inode that was given back within the last minutes when it makes a file: of what is
    cleared away in between, whoever makes the next file would pay a microsecond for each.
    """
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="scratch-", dir=PROGRAMS))
    directory.chmod(0o700)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    try:
        yield directory
    finally:
        for file in directory.rglob("*"):
            if file.is_file() and not file.is_symlink():
                os.truncate(file, 0)
