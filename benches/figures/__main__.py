"""Runs the figures: `cd benches && python3 -m figures --help`."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from . import rows as rows_package
from .contest import Contender, Row, duel
from .machine import describe
from .report import Results, contest_cells, write_readme
from .workshop import BENCHES, LIBRARY, PROGRAMS, Settings

#: The order of the report. A module that is not named here comes last.
ORDER = ("enqueue", "cold", "hosts", "delivery", "imports", "tail", "scale", "footprint", "instructions", "parts", "mapped")


def main() -> int:
    options = parse()
    settings = Settings(options.short)
    folder = PROGRAMS if options.short else BENCHES
    results_path, readme_path = folder / "results.json", folder / "README.md"
    modules = modules_in_order()
    if options.list:
        return list_all(modules, settings)
    if options.report:
        write_readme(Results.read(results_path), readme_path)
        return 0

    if not (LIBRARY / "libmeditopia.so").exists():
        raise SystemExit(f"there is no library in {LIBRARY.name}/ of the target directory; `make bench` builds it")
    run = Measurement(settings, options.only, results_path)
    for name, module in modules:
        run.contests(name, module)
    for name, module in modules:
        run.tables(name, module)
    write_readme(run.results, readme_path)
    print(f"written: {readme_path} and {results_path}")
    return run.conclude()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m figures", description=__doc__)
    parser.add_argument("--short", action="store_true", help="seconds instead of an hour; says nothing about time")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        metavar="KEY,KEY",
        help="measure these again and keep the rest: keys of rows, NAME for all of a module, NAME.tables for its tables",
    )
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--report", action="store_true", help="write the README anew from what was measured")
    return parser.parse_args()


def modules_in_order() -> list[tuple[str, ModuleType]]:
    names = [found.name for found in pkgutil.iter_modules(rows_package.__path__)]
    names.sort(key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [(name, importlib.import_module(f"{rows_package.__name__}.{name}")) for name in names]


def list_all(modules: Sequence[tuple[str, ModuleType]], settings: Settings) -> int:
    for name, module in modules:
        print(name)
        for row in module.contests(settings) if hasattr(module, "contests") else ():
            print(f"  {row.key:24} {row.what}, against {row.reference.name}: {row.goal or 'no goal'}")
        if hasattr(module, "tables"):
            print(f"  {name + '.tables':24} {(module.__doc__ or '').splitlines()[0]}")
    return 0


class Measurement:
    """One run: what is wanted of it, what came of it, what failed."""

    def __init__(self, settings: Settings, only: Sequence[str] | None, path: Path) -> None:
        self.settings, self.only, self.path = settings, only, path
        self.found: set[str] = set()
        self.failures = 0
        self.results = Results.read(path) if only else Results()
        machine, before = describe(settings.short), self.results.machine
        if before and any(before.get(name) != machine.get(name) for name in ("CPU", "CPUs")):
            raise SystemExit(f"{path.name} is of another machine: measure all of it on this one")
        self.results.machine = machine
        self.measured = machine["measured"]

    def wants(self, *names: str) -> bool:
        wanted = {name for name in names if self.only is None or name in self.only}
        self.found |= wanted
        return bool(wanted)

    def contests(self, name: str, module: ModuleType) -> None:
        if not hasattr(module, "contests"):
            return
        # It compiles what all of its rows need.
        rows = self.attempt(f"{name}.contests", lambda: module.contests(self.settings))
        for row in rows or ():
            if self.wants(row.key, name):
                self.attempt(row.key, lambda: self.contest(row))

    def contest(self, row: Row) -> None:
        print(f"{row.key}: {row.what}", flush=True)
        ours, reference = [], []
        recorded = replace(row, ours=recording(row.ours, ours), reference=recording(row.reference, reference))
        duel(recorded, self.settings.rounds(row.rounds))
        self.results.add_contest(row, ours, reference, self.measured)
        self.results.write(self.path)
        _, unit, ours_said, name, reference_said, ratio, goal, verdict = contest_cells(self.results.contests[row.key])
        print(f"  {ours_said} {unit}, {row.ours.name}")
        print(f"  {reference_said} {unit}, {name}")
        print(f"  ratio {ratio}; goal {goal or 'none'} {verdict}".replace("**", ""), flush=True)

    def tables(self, name: str, module: ModuleType) -> None:
        key = f"{name}.tables"
        if not hasattr(module, "tables") or not self.wants(key, name):
            return
        print(f"{key}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        for table in self.attempt(key, lambda: module.tables(self.settings)) or ():
            self.results.add_table(table, self.measured)
            print(f"  {table.title}")
            for row in (table.columns, *table.rows):
                print("    " + " | ".join(map(str, row)), flush=True)
        self.results.write(self.path)

    def attempt(self, key: str, action: Callable):
        """Does it; a failure is told, counted, and the others go on."""
        try:
            done = action()
        except Exception:
            print(f"{key} FAILED", file=sys.stderr)
            traceback.print_exc()
            self.failures += 1
            self.results.succeeded(key)
            self.results.failed.append(key)
            self.results.write(self.path)
            return None
        self.results.succeeded(key)
        return done

    def conclude(self) -> int:
        unknown = set(self.only or ()) - self.found
        if unknown:
            print(f"there is no {', '.join(sorted(unknown))}; --list says what there is", file=sys.stderr)
        if self.failures:
            print(f"{self.failures} could not be measured", file=sys.stderr)
        return 1 if unknown or self.failures else 0


def recording(contender: Contender, values: list[float]) -> Contender:
    """The same contender; what it measures is kept."""

    def measure() -> float:
        values.append(contender.measure())
        return values[-1]

    return replace(contender, measure=measure)


if __name__ == "__main__":
    sys.exit(main())
