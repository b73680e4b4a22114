"""What was measured, beside what the paper says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean, median
from typing import Any

from attrs import frozen

from clumpt.apps.screen import columns


@frozen
class Figure:
    """
    One line of the evaluation.

    @ivar what: what was done, C{requirement} which of the paper's evaluations it is.
    @ivar paper: what the paper reached, in its words, and C{limit} in seconds for the worst.
    @ivar values: seconds, one for each time it was done.
    @ivar goal: C{(mean or median, worst)} in seconds that this program is to reach, None for none.
    """

    what: str
    requirement: str
    paper: str
    limit: float
    values: tuple[float, ...]
    goal: tuple[float, float] | None = None
    middle: str = "median"

    @property
    def typical(self) -> float:
        """The median, or the mean where the paper tells the mean."""
        return (mean if self.middle == "mean" else median)(self.values)

    @property
    def worst(self) -> float:
        """The longest."""
        return max(self.values)

    @property
    def good(self) -> bool:
        """Is it at least what the paper reached?"""
        return self.worst <= self.limit

    @property
    def reached(self) -> bool:
        """Is the goal reached?"""
        return self.goal is None or (self.typical <= self.goal[0] and self.worst <= self.goal[1])

    @property
    def fields(self) -> dict[str, Any]:
        """The figure for programs."""
        return {
            "what": self.what,
            "requirement": self.requirement,
            "paper": self.paper,
            "times": len(self.values),
            self.middle: round(self.typical, 4),
            "worst": round(self.worst, 4),
            "ok": self.good,
            "goal": self.reached,
        }


def table(figures: Sequence[Figure], goals: bool = False) -> Iterator[str]:
    """C{figures} in columns; with C{goals}, and whether they were reached, for developers."""
    heads = ["", "THE PAPER", "HERE", "WORST", *(["GOAL"] if goals else [])]
    rows = []
    for figure in figures:
        row = [
            f"{figure.what} ({figure.requirement})",
            figure.paper,
            f"{figure.middle} {figure.typical:.3f} s",
            f"{figure.worst:.3f} s",
        ]
        if goals:
            row.append(_goal(figure))
        rows.append(row)
    yield from columns(heads, rows)


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return "-"
    typical, worst = figure.goal
    return f"{typical:g} s, worst {worst:g} s: {'reached' if figure.reached else 'MISSED'}"
