"""From figures to places on a picture, and which figures stand beside an axis.

A linear axis begins at 0: one that does not makes noise look like a cliff.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Union

#: No label stands closer to the next one than this many px along a horizontal axis, and this along a vertical one.
WIDE, HIGH = 58.0, 24.0


class Linear:
    """From 0, or a round figure below it, to a round figure."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(0.0, *values), max(0.0, *values)
        if low == high:
            high = 1.0
        self.step = _round_step((high - low) / min(8.0, _room(start, end)))
        self.low = math.floor(low / self.step + 1e-9) * self.step
        self.high = math.ceil(high / self.step - 1e-9) * self.step
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        count = round((self.high - self.low) / self.step)
        values = [self.low + self.step * i for i in range(count + 1)]
        unit, letter = _unit(self.high, least=10_000)
        return [(value, _plain(value / unit) + (letter if value else "")) for value in values]


class Log:
    """From a little below the least to a little above the greatest, with figures at 1, 2 and 5 or as many as fit."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.values = sorted(set(values))
        low, high = self.values[0], self.values[-1]
        if low == high:
            low, high = low / 2, high * 2
        margin = (high / low) ** 0.03
        self.low, self.high = low / margin, high * margin
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        return [(value, tick(value)) for value in self._places()]

    def _places(self) -> list[float]:
        # 1, 2, 4, 8 threads are what was measured, and what is written.
        if len(self.values) <= 10 and all(value >= 1 and value == int(value) for value in self.values):
            if self._fit(self.values):
                return self.values
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in ([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]):
            places = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
            places = [place for place in places if self.low <= place <= self.high]
            if len(places) <= 10 and self._fit(places):
                break
        while not self._fit(places):
            places = places[::2]
        return places

    def _fit(self, places: Sequence[float]) -> bool:
        at = [self(place) for place in places]
        least = HIGH if self.start > self.end else WIDE
        return all(abs(b - a) >= least for a, b in zip(at, at[1:]))


Scale = Union[Linear, Log]


def figure(value: float) -> str:
    """A figure as it is said: three digits that count, thousands set apart."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 1_000:
        return f"{round(value):,}"
    return _plain(round(value, 2 - math.floor(math.log10(abs(value)))))


def tick(value: float) -> str:
    if value < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    unit, letter = _unit(value, least=1_000)
    return _plain(value / unit) + letter


def _unit(value: float, least: float) -> tuple[float, str]:
    for unit, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= max(unit, least):
            return unit, letter
    return 1.0, ""


def _plain(value: float) -> str:
    text = f"{value:,.10f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def _round_step(least: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= least * (1 - 1e-9))


def _room(start: float, end: float) -> float:
    return abs(end - start) / (HIGH if start > end else WIDE)
