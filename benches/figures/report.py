"""`results.json` and the `README.md` that is made of it. Nothing is measured here.

The raw values are kept; medians, quartiles and verdicts are worked out anew each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .contest import Goal, Row, Spread
from .scales import figure
from .table import Table

NOTES = Path(__file__).resolve().parent / "notes"

INTRODUCTION = """\
# Figures

Each figure is measured beside its reference in one run, by turns, so that whatever else the machine does hits both.
A ratio is of two neighbours in time. All figures are medians with their quartiles in brackets. Machines differ, and
shared ones are noisy: the ratios count, and the absolute figures do not.

```sh
make bench                                             # measures all and writes this file; installs what it needs (Debian, as root)
cd benches && python3 -m figures --list                # the rows and their keys
cd benches && python3 -m figures --only KEY,KEY        # measures some rows again
cd benches && python3 -m figures --short               # shows that all of it runs; says nothing about time
```

What is measured is the release build; the programs are in [`c`](c), [`php`](php) and [`python`](python), what runs
them in [`figures`](figures), and every single value in [`results.json`](results.json). What bad events cost in
requests is counted elsewhere and stands in [isolation](../docs/isolation.md).
"""


@dataclass
class Results:
    """All that was measured, by key, in the order of the report."""

    machine: dict[str, str] = field(default_factory=dict)
    contests: dict[str, dict] = field(default_factory=dict)
    tables: dict[str, dict] = field(default_factory=dict)
    #: Keys of what could not be measured.
    failed: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Results:
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(vars(self), indent=1, ensure_ascii=False) + "\n")

    def add_contest(self, row: Row, ours: Sequence[float], reference: Sequence[float], measured: str) -> None:
        self.contests[row.key] = {
            "what": row.what,
            "unit": row.unit,
            "ours": {"name": row.ours.name, "values": list(ours)},
            "reference": {"name": row.reference.name, "values": list(reference)},
            "goal": vars(row.goal) if row.goal else None,
            "note": row.note,
            "measured": measured,
        }

    def add_table(self, table: Table, measured: str) -> None:
        self.tables[table.key] = {
            "title": table.title,
            "columns": list(table.columns),
            "rows": [list(row) for row in table.rows],
            "note": table.note,
            "plots": list(table.plots),
            "measured": measured,
        }

    def succeeded(self, key: str) -> None:
        self.failed = [failed for failed in self.failed if failed != key]


def write_readme(results: Results, path: Path) -> None:
    path.write_text("\n".join(markdown(results)).rstrip() + "\n")


def markdown(results: Results) -> Iterable[str]:
    yield INTRODUCTION
    if results.contests:
        yield from contests(results.contests)
    if results.failed:
        yield f"Could not be measured: {', '.join(f'`{key}`' for key in results.failed)}.\n"
    for key, table in results.tables.items():
        yield f"## {table['title']}\n"
        yield from table_lines(table["columns"], table["rows"])
        yield ""
        for plot in table["plots"]:
            yield f"![{alternative(table['title'])}](plots/{plot})\n"
        if table["note"]:
            yield f"{table['note']}\n"
        yield from note(key)
    yield "## Where this was measured\n"
    yield from table_lines(["", ""], results.machine.items())
    yield ""
    yield from measured_apart(results)


def contests(rows: dict[str, dict]) -> Iterable[str]:
    verdicts = [verdict(row) for row in rows.values()]
    met, judged = verdicts.count("met"), sum(1 for one in verdicts if one)
    yield f"## Against references: {met} of {judged} goals met\n"
    columns = ["what", "unit", "this library", "reference", "its figure", "ratio", "goal", ""]
    yield from table_lines(columns, (contest_cells(row) for row in rows.values()))
    yield ""
    for row in rows.values():
        ours = row["ours"]
        said = "; ".join(filter(None, (ours["name"], row["note"].rstrip("."))))
        yield f"- *{contest_title(row)}*: {said}. Rounds: {len(ours['values'])}."
    yield ""
    for key, row in rows.items():
        written = list(note(key))
        if written:
            yield f"### {contest_title(row)}\n"
            yield from written


def contest_title(row: dict) -> str:
    return f"{row['what']}, against {row['reference']['name']}"


def contest_cells(row: dict) -> list[str]:
    ours, reference = row["ours"], row["reference"]
    ratio = ratio_of(row)
    said = verdict(row)
    return [
        row["what"],
        row["unit"],
        spread(Spread.of(ours["values"])),
        reference["name"],
        spread(Spread.of(reference["values"])),
        f"**{figure(ratio.median)}** [{figure(ratio.low)}, {figure(ratio.high)}]",
        str(Goal(**row["goal"])) if row["goal"] else "",
        "**missed**" if said == "missed" else said,
    ]


def ratio_of(row: dict) -> Spread:
    return Spread.of([a / b for a, b in zip(row["ours"]["values"], row["reference"]["values"])])


def verdict(row: dict) -> str:
    """`met`, `missed`, or nothing where there is no goal."""
    if not row["goal"]:
        return ""
    return "met" if Goal(**row["goal"]).is_met(ratio_of(row).median) else "missed"


def spread(values: Spread) -> str:
    return f"{figure(values.median)} [{figure(values.low)}, {figure(values.high)}]"


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[str | float | int]]) -> Iterable[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(cell(value) for value in row)} |"


def cell(value: str | float | int) -> str:
    if isinstance(value, float):
        return figure(value)
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def alternative(title: str) -> str:
    return title.replace("[", "(").replace("]", ")")


def note(key: str) -> Iterable[str]:
    """What somebody has written about a row: where the time goes, what was tried."""
    path = NOTES / f"{key}.md"
    if path.exists():
        yield path.read_text().strip() + "\n"


def measured_apart(results: Results) -> Iterable[str]:
    """Says which figures are of another day or commit than the description of the machine."""
    usual = results.machine.get("measured")
    apart: dict[str, list[str]] = {}
    for key, one in [*results.contests.items(), *results.tables.items()]:
        if one["measured"] != usual:
            apart.setdefault(one["measured"], []).append(f"`{key}`")
    for measured, keys in apart.items():
        yield f"Measured {measured}: {', '.join(keys)}.\n"
