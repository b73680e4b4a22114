"""Telling how a demonstration goes, in lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from attrs import define, field

from clumpt.apps.demonstration.submitting import View
from clumpt.apps.demonstration.summary import Result


@define(eq=False)
class Lines:
    """One line for each step, with the seconds since the start."""

    _stderr: TextIO
    _clock: Callable[[], float]
    _began: float = field(init=False)

    @_began.default
    def _now(self) -> float:
        return self._clock()

    def step(self, text: str) -> None:
        """See L{clumpt.apps.demonstration.flow.Show}."""
        self._stderr.write(f"{self._clock() - self._began:6.1f} s  {text}\n")
        self._stderr.flush()

    def spread(self, view: View) -> None:
        """See L{clumpt.apps.demonstration.flow.Show}; only ends are told here."""

    def ended(self, result: Result) -> None:
        """See L{clumpt.apps.demonstration.flow.Show}."""
        self.step(f"update {result.seq}: {result.done} of {result.targets} installed")

    def close(self) -> None:
        """See L{clumpt.apps.demonstration.flow.Show}."""
