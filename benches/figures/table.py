"""A table beside the contest: figures that have no opponent, or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Figures in columns, with a plot of them if one was drawn."""

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]
    note: str = ""
    #: File names under `benches/plots/`.
    plots: Sequence[str] = field(default=())
