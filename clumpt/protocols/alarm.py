"""One timer, known to be off when it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@define(eq=False)
class Alarm:
    """At most one call is due."""

    _clock: IReactorTime
    _due: IDelayedCall | None = field(default=None, init=False)

    @property
    def due(self) -> bool:
        """Is a call due?"""
        return self._due is not None

    def set(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        """Make C{call} due in C{seconds}, instead of what was due."""
        self.stop()
        self._due = self._clock.callLater(seconds, self._ring, call, args)

    def stop(self) -> None:
        """Nothing is due any more."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _ring(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._due = None
        call(*args)
