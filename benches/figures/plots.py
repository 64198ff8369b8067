"""Figures as SVG: plain text without scripts or fonts of its own, light and dark by the reader's preference.

What tells lines apart is not colour alone: width, dashes and markers differ, too. The first series is
drawn as the one that matters. Points say their figures when pointed at, and `<desc>` says them to those
who do not see the picture. The legend stands above the plot, where it covers nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from .scales import Linear, Log, Scale, figure

WIDTH = 760.0
LEFT, RIGHT, BOTTOM = 76.0, 28.0, 58.0
PLOT_HEIGHT = 356.0
TITLE_Y, LEGEND_Y, LEGEND_ROW = 30.0, 54.0, 22.0
#: Of the 13 px text; rather too wide than cut.
LETTER = 7.4
#: Beyond this many points a series is a line without markers.
MARKED = 40

STYLE = """\
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .tick { font-size: 12px; fill: #59636e; }
  .card { fill: #ffffff; } .grid { stroke: #d1d9e0; stroke-width: 1; }
  .line { fill: none; stroke-linejoin: round; stroke-linecap: round; }
  .s0 { stroke: #0b5fc4; stroke-width: 3; } .m0 { fill: #0b5fc4; }
  .s1 { stroke: #b4470d; stroke-width: 2; stroke-dasharray: 9 5; } .m1 { fill: #b4470d; }
  .s2 { stroke: #7a3fa0; stroke-width: 2; stroke-dasharray: 2 5; } .m2 { fill: #7a3fa0; }
  .s3 { stroke: #1a7f37; stroke-width: 2; stroke-dasharray: 14 4 2 4; } .m3 { fill: #1a7f37; }
  .s4 { stroke: #59636e; stroke-width: 1.5; } .m4 { fill: #59636e; }
  .s5 { stroke: #8a6100; stroke-width: 2; stroke-dasharray: 5 4; } .m5 { fill: #8a6100; }
  .s6 { stroke: #b0186b; stroke-width: 2; stroke-dasharray: 14 4 2 4 2 4; } .m6 { fill: #b0186b; }
  .s7 { stroke: #0a6b75; stroke-width: 2; stroke-dasharray: 20 6; } .m7 { fill: #0a6b75; }
  .spread { stroke: #1f2328; stroke-width: 1.5; fill: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .tick { fill: #b1bac4; }
    .card { fill: #0d1117; } .grid { stroke: #30363d; }
    .s0 { stroke: #58a6ff; } .m0 { fill: #58a6ff; }
    .s1 { stroke: #f0883e; } .m1 { fill: #f0883e; }
    .s2 { stroke: #d2a8ff; } .m2 { fill: #d2a8ff; }
    .s3 { stroke: #56d364; } .m3 { fill: #56d364; }
    .s4 { stroke: #9198a1; } .m4 { fill: #9198a1; }
    .s5 { stroke: #e3b341; } .m5 { fill: #e3b341; }
    .s6 { stroke: #ff80bf; } .m6 { fill: #ff80bf; }
    .s7 { stroke: #56c7d1; } .m7 { fill: #56c7d1; }
    .spread { stroke: #f0f6fc; }
  }
"""
STYLES = 8


@dataclass(frozen=True)
class Series:
    """A line: its points in the order in which they are joined."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Bar:
    """A bar, with its quartiles if they are known; those of this library and the first one stand out."""

    name: str
    value: float
    spread: tuple[float, float] | None = None
    ours: bool = False


def lines(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    log_x: bool = False,
    log_y: bool = False,
    about: str = "",
) -> None:
    """Draws lines over two axes. What is not above 0 has no place on a logarithmic axis and is left out."""
    if len(series) > STYLES:
        raise ValueError(f"{title}: more than {STYLES} lines in one picture are told apart by nobody")
    shown = [Series(one.name, _drawable(one.points, log_x, log_y)) for one in series]
    shown = [one for one in shown if one.points]
    if not shown:
        raise ValueError(f"{title}: nothing to draw")

    places, top = _legend_places([one.name for one in shown])
    bottom = top + PLOT_HEIGHT
    x = _scale([point[0] for one in shown for point in one.points], log_x, LEFT, WIDTH - RIGHT)
    y = _scale([point[1] for one in shown for point in one.points], log_y, bottom, top)

    svg = _Svg(title, f"{about} {_in_words(shown, x_label, y_label)}".strip(), bottom + BOTTOM)
    _axes(svg, x, y, _logarithmic(x_label, log_x), _logarithmic(y_label, log_y), top, bottom)
    # The first one is on top.
    for index in reversed(range(len(shown))):
        _line(svg, index, shown[index], x, y)
    for index, (one, (left, middle)) in enumerate(zip(shown, places)):
        svg.add(f'<path class="line s{index}" d="M{left:.1f},{middle:.1f} h34"/>')
        if len(one.points) <= MARKED:
            svg.add(_marker(index, left + 17, middle))
        svg.text(left + 44, middle + 4.5, one.name)
    svg.write(path)


def bars(path: Path, title: str, label: str, bars: Sequence[Bar], about: str = "") -> None:
    """Draws horizontal bars from 0, each with its name before and its figure behind it."""
    row = 34.0
    left = 24 + min(320.0, max(len(bar.name) for bar in bars) * LETTER)
    right = WIDTH - RIGHT - 64
    top = TITLE_Y + 22
    bottom = top + row * len(bars) + 6
    x = Linear([0, *(max(bar.value, *(bar.spread or (0,))) for bar in bars)], left, right)

    words = ". ".join(f"{bar.name}: {figure(bar.value)}" for bar in bars)
    svg = _Svg(title, f"{about} {label}. {words}.".strip(), bottom + BOTTOM)
    for tick, name in x.ticks():
        svg.add(f'<path class="grid" d="M{x(tick):.1f},{top} V{bottom}"/>')
        svg.text(x(tick), bottom + 20, name, "tick", "middle")
    svg.text((left + right) / 2, bottom + BOTTOM - 14, label, anchor="middle")
    for index, bar in enumerate(bars):
        middle = top + 6 + row * (index + 0.5)
        svg.text(left - 10, middle + 4.5, bar.name, anchor="end")
        svg.add(
            f'<rect class="m{0 if index == 0 or bar.ours else 4}" x="{left:.1f}" y="{middle - 9:.1f}"'
            f' width="{max(1.0, x(bar.value) - left):.1f}" height="18" rx="2"/>'
        )
        end = x(bar.value)
        if bar.spread:
            low, high = map(x, bar.spread)
            end = max(end, high)
            svg.add(
                f'<path class="spread" d="M{low:.1f},{middle - 4:.1f} v8 M{low:.1f},{middle:.1f} H{high:.1f}'
                f' M{high:.1f},{middle - 4:.1f} v8"/>'
            )
        svg.text(end + 8, middle + 4.5, figure(bar.value))
    svg.write(path)


class _Svg:
    def __init__(self, title: str, about: str, height: float) -> None:
        self.elements = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" width="{WIDTH:g}"'
            f' height="{height:g}" role="img" aria-labelledby="title about">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="about">{escape(about)}</desc>',
            f"<style>\n{STYLE}</style>",
            f'<rect class="card" width="{WIDTH:g}" height="{height:g}" rx="8"/>',
        ]
        self.text(24, TITLE_Y, title, "title")

    def add(self, element: str) -> None:
        self.elements.append(element)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start", turn: str = "") -> None:
        kind = f' class="{kind}"' if kind else ""
        self.add(f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escape(words)}</text>')

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*self.elements, "</svg>", ""]))


def _scale(values: Sequence[float], log: bool, start: float, end: float) -> Scale:
    return Log(values, start, end) if log else Linear(values, start, end)


def _drawable(points: Sequence[tuple[float, float]], log_x: bool, log_y: bool) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if not (log_x and x <= 0) and not (log_y and y <= 0)]


def _logarithmic(label: str, log: bool) -> str:
    return f"{label} (logarithmic)" if log and "logarithmic" not in label else label


def _axes(svg: _Svg, x: Scale, y: Scale, x_label: str, y_label: str, top: float, bottom: float) -> None:
    right = WIDTH - RIGHT
    for tick, name in x.ticks():
        svg.add(f'<path class="grid" d="M{x(tick):.1f},{top} V{bottom}"/>')
        svg.text(x(tick), bottom + 20, name, "tick", "middle")
    for tick, name in y.ticks():
        svg.add(f'<path class="grid" d="M{LEFT},{y(tick):.1f} H{right}"/>')
        svg.text(LEFT - 8, y(tick) + 4, name, "tick", "end")
    svg.text((LEFT + right) / 2, bottom + BOTTOM - 14, x_label, anchor="middle")
    middle = (top + bottom) / 2
    svg.text(20, middle, y_label, anchor="middle", turn=f' transform="rotate(-90 20 {middle:.1f})"')


def _line(svg: _Svg, index: int, one: Series, x: Scale, y: Scale) -> None:
    places = [(x(a), y(b)) for a, b in one.points]
    drawn = places[:1]
    for place in places[1:-1]:
        # A long series has many points on one pixel.
        if abs(place[0] - drawn[-1][0]) + abs(place[1] - drawn[-1][1]) >= 0.5:
            drawn.append(place)
    drawn += places[1:][-1:]
    svg.add(f'<path class="line s{index}" d="M{" L".join(f"{a:.1f},{b:.1f}" for a, b in drawn)}"/>')
    if len(places) <= MARKED:
        for place, (a, b) in zip(places, one.points):
            svg.add(_marker(index, *place, f"{one.name}: {figure(b)} at {figure(a)}"))


def _marker(index: int, x: float, y: float, words: str = "") -> str:
    """A disc, square, diamond or triangle of one size."""
    shape = (
        f"M{x - 3.5:.1f},{y:.1f} a3.5,3.5 0 1 0 7,0 a3.5,3.5 0 1 0 -7,0",
        f"M{x - 3.2:.1f},{y - 3.2:.1f} h6.4 v6.4 h-6.4 Z",
        f"M{x:.1f},{y - 4.5:.1f} l4.5,4.5 l-4.5,4.5 l-4.5,-4.5 Z",
        f"M{x:.1f},{y - 4.4:.1f} l4.4,7.6 h-8.8 Z",
    )[index % 4]
    return f'<path class="m{index}" d="{shape}"><title>{escape(words)}</title></path>' if words else (
        f'<path class="m{index}" d="{shape}"/>'
    )


def _legend_places(names: Sequence[str]) -> tuple[list[tuple[float, float]], float]:
    """Where each entry stands, in rows that are broken where the next one would not fit; and where the plot begins."""
    places, left, middle = [], 24.0, LEGEND_Y
    for name in names:
        width = 44 + len(name) * LETTER + 22
        if places and left + width > WIDTH - RIGHT + 22:
            left, middle = 24.0, middle + LEGEND_ROW
        places.append((left, middle))
        left += width
    return places, middle + 24


def _in_words(series: Sequence[Series], x_label: str, y_label: str) -> str:
    words = [f"{y_label} against {x_label}."]
    for one in series:
        step = max(1, (len(one.points) + 7) // 8)
        few = [*one.points[:-1:step], one.points[-1]]
        words.append(f"{one.name}: " + ", ".join(f"{figure(y)} at {figure(x)}" for x, y in few) + ".")
    return " ".join(words)
