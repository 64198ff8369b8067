"""Hosts in other languages: a whole request of php-fpm, and a call from Python and C++.

Each contender has a php-fpm of its own. Only the library's has anything preloaded, so that the other one
pays for nothing of it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .. import fpm
from ..contest import Contender, Goal, Row, run
from ..plots import Bar, bars
from ..table import Table
from ..workshop import BENCHES, LIBRARY, PROGRAMS, ROOT, VENV, Settings, compile_c, compile_cpp, scratch
from .enqueue import compile_meditopia, contender as enqueue_contender

PHP = BENCHES / "php"
PACKAGE = ROOT / "bindings" / "php"
PYTHON = BENCHES / "python"
FFI_HEADER = ROOT / "include" / "meditopia_ffi.h"
SHARED_OBJECT = LIBRARY / "libmeditopia.so"

WARM_REQUESTS = 2_000
FRESH_WORKERS = 200
#: What is preloaded for a script: the classes that it uses. The others pay for nothing of it.
PRELOADED = {"enqueue.php": PHP / "Meditopia.php", "package.php": PACKAGE / "preload.php"}
#: They make the spool or the file, and the worker's caches.
WARM_UP_REQUESTS = 300
LOOP_EVENTS = 200_000
CPP_EVENTS = 1_000_000
ROUNDS = 9
TABLE_ROUNDS = 5
PLOT = "php_request.svg"


def contests(settings: Settings) -> list[Row]:
    return [*php_rows(settings), *python_rows(settings), cpp_row(settings)]


def cpp_row(settings: Settings) -> Row:
    """What the conversion of arguments and errors costs; both get the same C strings."""
    by_cpp = compile_c("enqueue_hpp", "stdc++", ours=True, part=compile_cpp("enqueue_hpp"))
    events = ("--events", settings.events(CPP_EVENTS))
    return Row(
        key="cpp",
        what="C++: enqueue by meditopia.hpp, 1 thread",
        unit="ns/event",
        ours=enqueue_contender("client::enqueue", by_cpp, *events),
        reference=enqueue_contender("meditopia_enqueue from C", compile_meditopia(), *events),
        goal=Goal(1.05),
        rounds=settings.rounds(ROUNDS),
        note="C strings for both, which C++ measures to make a view of them; exceptions on",
    )


def php_rows(settings: Settings) -> list[Row]:
    few = 10 if settings.short else FRESH_WORKERS
    many = 50 if settings.short else WARM_REQUESTS
    note = (
        "median over {} of the time from sending a FastCGI request to the end of its answer; the worker and the "
        "client are on a CPU each; the reference encodes the same event with json_encode"
    )
    return [
        Row(
            key="php-first",
            what="php-fpm with preload: the first request of a worker, enqueue 1",
            unit="µs/request",
            ours=Contender("enqueue by FFI", lambda: first("enqueue.php", few)),
            reference=Contender("file_put_contents, FILE_APPEND + LOCK_EX", lambda: first("append.php", few)),
            goal=Goal(1.1),
            rounds=settings.rounds(ROUNDS),
            note=note.format(f"{few} fresh workers"),
        ),
        Row(
            key="php-warm",
            what="php-fpm with preload: a later request, enqueue 1",
            unit="µs/request",
            ours=Contender("enqueue by FFI", lambda: warm("enqueue.php", many)),
            reference=Contender("file_put_contents, FILE_APPEND + LOCK_EX", lambda: warm("append.php", many)),
            goal=Goal(1.0),
            rounds=settings.rounds(ROUNDS),
            note=note.format(f"{many:,} requests on one connection"),
        ),
        Row(
            key="php-package-warm",
            what="php-fpm with preload: a later request, enqueue 1 by the package meditopia/partner-events",
            unit="µs/request",
            ours=Contender("Client::enqueue", lambda: warm("package.php", many)),
            reference=Contender("file_put_contents, FILE_APPEND + LOCK_EX", lambda: warm("append.php", many)),
            goal=None,
            rounds=settings.rounds(ROUNDS),
            note=note.format(f"{many:,} requests on one connection"),
        ),
    ]


def warm(script: str, requests: int) -> float:
    """Microseconds of a request to a worker that has answered many."""
    with serving(script) as (pool, request):
        ask(pool, request, WARM_UP_REQUESTS)
        return statistics.median(ask(pool, request, requests))


def first(script: str, workers: int) -> float:
    """Microseconds of a request that is the first one of its worker, which has started and waits."""
    with serving(script, requests_per_worker=1) as (pool, request):
        times, worker = [], 0
        # The first ones of all fill the master's caches and make the spool or the file.
        for _ in range(workers + 3):
            worker = pool.idle_worker(not_this=worker)
            times += ask(pool, request, 1)
            pool.hang_up()
        return statistics.median(times[3:])


def ask(pool: fpm.Fpm, request: bytes, times: int) -> list[float]:
    took = []
    for _ in range(times):
        us, answer = pool.ask(request)
        if fpm.body(answer) != "ok":
            raise RuntimeError(f"the request failed: {answer!r}")
        took.append(us)
    return took


@contextmanager
def serving(script: str, requests_per_worker: int = 0) -> Iterator[tuple[fpm.Fpm, bytes]]:
    """A php-fpm for this script, and the request for it; it and this process are on a CPU each."""
    cpus = sorted(os.sched_getaffinity(0))
    with scratch() as directory:
        preload = preloaded(directory, PRELOADED[script]) if script in PRELOADED else {}
        try:
            os.sched_setaffinity(0, {cpus[-1]})
            pool = fpm.Fpm(directory, preload, requests_per_worker=requests_per_worker)
            os.sched_setaffinity(0, {cpus[0]})
            with pool:
                yield pool, fpm.request(PHP / script, {"BENCH_DIRECTORY": str(directory)})
        finally:
            os.sched_setaffinity(0, cpus)


def preloaded(directory: Path, classes: Path) -> Mapping[str, object]:
    """Settings of a php.ini that loads the library and these classes once, in the master."""
    header = directory / "meditopia.h"
    header.write_text(
        f'#define FFI_SCOPE "MEDITOPIA"\n#define FFI_LIB "{SHARED_OBJECT}"\n{FFI_HEADER.read_text()}'
    )
    return {"ffi.enable": "preload", "ffi.preload": header, "opcache.preload": classes}


def tables(settings: Settings) -> list[Table]:
    """Both beside a request that does neither, by turns as well: what PHP takes by itself, and what they add."""
    kinds = {
        "nothing.php": "nothing",
        "append.php": "append with file_put_contents",
        "enqueue.php": "enqueue",
    }
    few, many = (10, 50) if settings.short else (FRESH_WORKERS, WARM_REQUESTS)
    took: dict[str, list[tuple[float, float]]] = {script: [] for script in kinds}
    for _ in range(settings.rounds(TABLE_ROUNDS)):
        for script in kinds:
            took[script].append((first(script, few), warm(script, many)))
    medians = {script: [statistics.median(values) for values in zip(*took[script])] for script in kinds}
    empty = medians["nothing.php"]
    folder = PROGRAMS if settings.short else BENCHES
    bars(
        folder / "plots" / PLOT,
        "What an enqueue and an append add to a request of php-fpm",
        "µs more than a request that does nothing",
        [
            Bar(f"{kinds[script]}, {when}", max(0.0, medians[script][place] - empty[place]), ours=script == "enqueue.php")
            for place, when in enumerate(("first of a worker", "later"))
            for script in ("enqueue.php", "append.php")
        ],
    )
    return [
        Table(
            "php-request",
            "A request of php-fpm",
            ["the script does", "first request of a worker, µs", "above nothing", "later request, µs", "above nothing"],
            [
                [does, *(round(us, 1) for us in (first_us, first_us - empty[0], warm_us, warm_us - empty[1]))]
                for does, (first_us, warm_us) in ((does, medians[script]) for script, does in kinds.items())
            ],
            "Only where it enqueues is the library preloaded; the difference is what that costs the request in all.",
            (PLOT,),
        )
    ]


def python_rows(settings: Settings) -> list[Row]:
    events = settings.events(LOOP_EVENTS)
    python = VENV / "bin" / "python" if (VENV / "bin" / "python").exists() else Path(sys.executable)
    cpu = max(os.sched_getaffinity(0))

    def contender(name: str, program: str, *before: Path) -> Contender:
        def measure() -> float:
            with scratch() as directory:
                command = [python, PYTHON / program, *before, directory, events]
                return run(command, cpu=cpu).said["ns_per_event"]

        return Contender(name, measure)

    record = contender("logging.FileHandler, a record", "enqueue_logging.py")

    def row(
        key: str, way: str, ours: Contender, note: str, reference: Contender = record, goal: Goal | None = Goal(0.5)
    ) -> Row:
        return Row(
            key=key,
            what=f"Python: enqueue by {way}, 1 thread",
            unit="ns/event",
            ours=ours,
            reference=reference,
            goal=goal,
            rounds=settings.rounds(ROUNDS),
            note=note,
        )

    rows = [
        row(
            "python-ctypes",
            "ctypes",
            contender("meditopia_enqueue_n", "enqueue_ctypes.py", SHARED_OBJECT),
            "str arguments, encoded at each call; the record is formatted with the time in front",
        ),
        row(
            "python-package",
            "the package",
            contender("Client.enqueue", "enqueue_package.py", SHARED_OBJECT),
            "keyword arguments, checks and the poll of the log included; the reference encodes the same event with json",
            contender("a line appended under flock", "enqueue_append.py"),
            goal=None,
        ),
    ]
    if subprocess.run([python, "-c", "import cffi"], capture_output=True).returncode == 0:
        by_cffi = contender("meditopia_enqueue_n", "enqueue_cffi.py", SHARED_OBJECT, FFI_HEADER)
        rows.append(row("python-cffi", "cffi", by_cffi, "in ABI mode, that is without compiled code"))
    return rows
