"""Telling how a demonstration goes, in lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from attrs import define, field

from clumpt.apps.demonstration.flow import Show
from clumpt.apps.demonstration.submitting import View
from clumpt.apps.demonstration.summary import Result
from clumpt.progress import Stage

#: Seconds between two lines about the same update.
PAUSE = 1.0


def show_on(stderr: TextIO, clock: Callable[[], float]) -> Show:
    """Bars if C{stderr} is a terminal that can draw them, lines if not."""
    if stderr.isatty():
        try:
            from clumpt.apps.demonstration.live import Live
        except ImportError:
            return Lines(stderr, clock)
        return Live(stderr, clock)
    return Lines(stderr, clock)


@define(eq=False)
class Lines:
    """One line for each step, with the seconds since the start."""

    _stderr: TextIO
    _clock: Callable[[], float]
    _began: float = field(init=False)
    _next: float = field(default=0.0, init=False)

    @_began.default
    def _now(self) -> float:
        return self._clock()

    def step(self, text: str) -> None:
        """See L{Show}."""
        self._stderr.write(f"{self._clock() - self._began:6.1f} s  {text}\n")
        self._stderr.flush()
        self._next = self._clock() + PAUSE

    def spread(self, view: View) -> None:
        """See L{Show}; told now and then."""
        if self._clock() >= self._next:
            self.step(f"update {view.entry.seq}: {so_far(view)}")

    def ended(self, result: Result) -> None:
        """See L{Show}."""
        self.step(f"update {result.seq}: {result.done} of {result.targets} installed")

    def close(self) -> None:
        """See L{Show}."""


def so_far(view: View) -> str:
    """How many peers hold an update, and how many have installed it, in a few words."""
    done = view.picture.counts[Stage.DONE] if view.picture is not None else 0
    held = f"{len(view.standing.fetched)} hold it, " if view.standing is not None else ""
    return f"{held}{done} installed, of {len(view.plan.targets)}"
