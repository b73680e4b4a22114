"""Time to all against the size of the file, for each number of peers, as SVG; both axes are logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from attrs import frozen

from bench.lab.report import Facts, grouped, median

_WIDTH, _HEIGHT = 420, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 46, 44
_LEGEND = 150
#: Colours that people with any kind of colour vision can tell apart (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8c8c00", "#7f3fbf", "#666666")


@frozen
class Point:
    """The median time of a contestant."""

    contestant: str
    peers: int
    rate: float
    size: int
    seconds: float


def points(results: Iterable[Facts]) -> list[Point]:
    """One for each contestant and setting without faults; the fluid limit is a contestant too."""
    made = []
    for (_, fault), contestants in grouped(results).items():
        for name, runs in contestants.items():
            first, seconds = runs[0], median(runs, "all")
            if not fault and seconds is not None:
                made.append(Point(name, first["peers"], first["rate"], first["size"], seconds))
        if not fault and first["fluid"]:
            made.append(Point("fluid limit", first["peers"], first["rate"], first["size"], first["fluid"]))
    return made


@frozen
class Axis:
    """Maps a range of values to a range of pixels."""

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], begin: float, end: float) -> Axis:
        """One that shows C{values} from the pixels C{begin} to C{end}, in whole decades."""
        return cls(
            10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values))), begin, end
        )

    def at(self, value: float) -> float:
        """The pixel of C{value}."""
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + part * (self.end - self.begin)

    @property
    def ticks(self) -> list[float]:
        """The decades."""
        decades = round(math.log10(self.high / self.low))
        return [self.low * 10**n for n in range(decades + 1)]


def svg(results: Sequence[Facts]) -> str:
    """The picture: one panel for each number of peers and rate."""
    all_points = _lines(points(results))
    panels = sorted({(point.peers, point.rate) for point in all_points})
    names = list(dict.fromkeys(point.contestant for point in all_points))
    colours = {
        name: "#000000" if name == "fluid limit" else COLOURS[index % len(COLOURS)]
        for index, name in enumerate(sorted(names, key=lambda name: name == "fluid limit"))
    }
    sizes = Axis.of([point.size for point in all_points], _LEFT, _WIDTH - _RIGHT)
    seconds = Axis.of([point.seconds for point in all_points], _HEIGHT - _BOTTOM, _TOP)
    width = _WIDTH * len(panels) + _LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" font-family="sans-serif"'
        ' font-size="11">',
        f'<rect width="{width}" height="{_HEIGHT}" fill="white"/>',
    ]
    for index, (peers, rate) in enumerate(panels):
        parts.append(f'<g transform="translate({index * _WIDTH},0)">')
        parts += _frame(f"{peers} peers, {rate:g} Mbit/s", sizes, seconds)
        here = [point for point in all_points if (point.peers, point.rate) == (peers, rate)]
        for name in names:
            line = sorted((point.size, point.seconds) for point in here if point.contestant == name)
            parts += curve([(sizes.at(x), seconds.at(y)) for x, y in line], colours[name], name)
        parts.append("</g>")
    for row, name in enumerate(names):
        x, y = _WIDTH * len(panels) + 8, _TOP + 10 + 18 * row
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colours[name]}"/>')
        parts.append(f'<text x="{x + 10}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _lines(made: Sequence[Point]) -> Sequence[Point]:
    """Those of panels that have lines: several sizes; all, if there are no lines at all."""
    sizes: dict[tuple[int, float], set[int]] = {}
    for point in made:
        sizes.setdefault((point.peers, point.rate), set()).add(point.size)
    return [point for point in made if len(sizes[point.peers, point.rate]) > 1] or made


def _frame(title: str, sizes: Axis, seconds: Axis) -> list[str]:
    parts = [f'<text x="{_LEFT}" y="20" font-weight="bold">{escape(title)}</text>']
    for value in sizes.ticks:
        x = sizes.at(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 28}" text-anchor="middle">{_bytes(value)}</text>')
    for value in seconds.ticks:
        y = seconds.at(value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g} s</text>')
    parts.append(f'<text x="{_LEFT}" y="{_TOP - 2}" fill="#666">until all have it</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">size of the file</text>')
    return parts


def curve(places: Sequence[tuple[float, float]], colour: str, name: str) -> list[str]:
    """A line with a mark at each place, in pixels; Clumpt's is wide, the limit's dashed."""
    dashes = ' stroke-dasharray="4 3"' if name == "fluid limit" else ""
    wide = 3 if name.startswith("clumpt") else 1.5
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"{dashes}/>'
    return [line, *marks] if places else []


def _bytes(value: float) -> str:
    unit = next(
        (power, name) for power, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")) if value >= power
    )
    return f"{value / unit[0]:g} {unit[1]}"
