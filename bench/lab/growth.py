"""How the time of a spread grows with the number of peers: a table and a picture, for a document."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.lab.document import spliced
from bench.lab.plot import COLOURS, Axis, curve
from bench.lab.report import Facts

BEGIN, END = "<!-- simulated: written by bench/swarm_sim.py -->", "<!-- simulated: end -->"
PICTURE = "growth.svg"
#: The time for all over the fluid limit, at most, for each number of peers; for a package of 20 MB.
GOALS: Mapping[int, float] = {100: 1.08, 1000: 1.10, 10_000: 1.12}
GOALS_SIZE = 20_000_000
_WIDTH, _HEIGHT = 520, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 150, 30, 44
_HEADS = (
    "peers",
    "package",
    "pieces",
    "runs",
    "to all, s",
    "x fluid (least-most)",
    "goal",
    "median peer",
    "submitter sent",
    "messages per peer",
    "bytes on the wire per useful byte",
    "duplicates",
)


def grouped(results: Sequence[Facts]) -> dict[tuple[int, int, int], list[Facts]]:
    """The runs of each number of peers, size and number of pieces."""
    groups: dict[tuple[int, int, int], list[Facts]] = {}
    for facts in sorted(results, key=lambda facts: (-facts["size"], facts["peers"], facts["pieces"])):
        groups.setdefault((facts["peers"], facts["size"], facts["pieces"]), []).append(facts)
    return groups


def table(results: Sequence[Facts]) -> str:
    """One line for each number of peers, in Markdown."""
    lines = [f"| {' | '.join(_HEADS)} |", "| --- " * len(_HEADS) + "|"]
    for (peers, size, pieces), runs in grouped(results).items():

        def middle(name: str, runs: Sequence[Facts] = runs) -> float:
            return statistics.median(facts[name] for facts in runs)

        ratios = [facts["ratio"] for facts in runs]
        goal = GOALS.get(peers) if size == GOALS_SIZE else None
        cells = (
            f"{peers:,}",
            f"{size / 1e6:g} MB",
            str(pieces),
            str(len(runs)),
            f"{middle('ratio') * middle('fluid'):.2f}",
            f"{middle('ratio'):.3f} ({min(ratios):.3f}-{max(ratios):.3f})",
            "-" if goal is None else f"{goal:.2f} {'reached' if middle('ratio') <= goal else 'missed'}",
            f"{middle('median'):.3f}",
            f"{middle('submitted'):.2f} copies",
            f"{middle('messages'):.0f}",
            f"{middle('wire'):.3f}",
            f"{middle('duplicates'):.2%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def svg(results: Sequence[Facts]) -> str:
    """The time for all over the fluid limit, against the number of peers."""
    points: dict[str, list[tuple[int, float]]] = {}
    for (peers, size, pieces), runs in grouped(results).items():
        name = f"clumpt, {size / 1e6:g} MB, {pieces} pieces"
        points.setdefault(name, []).append((peers, statistics.median(facts["ratio"] for facts in runs)))
    points["goal"] = sorted(GOALS.items())
    points["fluid limit"] = [(peers, 1.0) for peers, _ in points["goal"]]
    peers_axis = Axis.of([peers for line in points.values() for peers, _ in line], _LEFT, _WIDTH - _RIGHT)
    top = max(ratio for line in points.values() for _, ratio in line)
    most = 1.0 + 0.1 * -(-(top - 1.0) // 0.1)

    def height(ratio: float) -> float:
        return _HEIGHT - _BOTTOM - (ratio - 1.0) / (most - 1.0) * (_HEIGHT - _BOTTOM - _TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="16" font-weight="bold">time until all have it, over the fluid limit</text>',
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">peers</text>',
    ]
    for value in peers_axis.ticks:
        x = peers_axis.at(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 28}" text-anchor="middle">{value:,.0f}</text>')
    for step in range(round((most - 1.0) / 0.1) + 1):
        y = height(1.0 + step / 10)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{1 + step / 10:.1f}</text>')
    for row, (name, line) in enumerate(points.items()):
        colour = "#000000" if name == "fluid limit" else COLOURS[row % len(COLOURS)]
        parts += curve([(peers_axis.at(peers), height(ratio)) for peers, ratio in line], colour, name)
        x, y = _WIDTH - _RIGHT + 8, _TOP + 10 + 18 * row
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 10}" y="{y}" font-size="9">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def write(path: Path, results: Sequence[Facts], when: str) -> None:
    """Bring the document at C{path} and its picture up to date."""
    part = "\n\n".join(
        [f"Simulated {when}.", f"![time against the number of peers]({PICTURE})", table(results)]
    )
    path.write_text(spliced(path.read_text(), part, BEGIN, END))
    (path.parent / PICTURE).write_text(svg(results))
