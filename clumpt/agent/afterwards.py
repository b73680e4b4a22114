"""
What follows when packages have come: first what others wait for, and then what only this node does.

Whoever has a package gives it to others within moments, and most of all a small one. What installs it works
for this node alone, and would take the processor that these wait for.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds until it is this node's turn: by then those who heard of a small package from here have it.
LATER = 0.05


@define(eq=False)
class Afterwards:
    """
    Both are done once for all packages that come meanwhile.

    @ivar others: called in the next turn; C{own}: L{LATER} seconds after the first that it is for.
    """

    _clock: IReactorTime
    _others: Callable[[], object]
    _own: Callable[[], object]
    _soon: IDelayedCall | None = field(default=None, init=False)
    _later: IDelayedCall | None = field(default=None, init=False)

    def came(self) -> None:
        """A package is here."""
        if self._soon is None:
            self._soon = self._clock.callLater(0, self._for_others)
        if self._later is None:
            self._later = self._clock.callLater(LATER, self._for_us)

    def stop(self) -> None:
        """Nothing follows any more."""
        for timer in (self._soon, self._later):
            if timer is not None:
                timer.cancel()
        self._soon = self._later = None

    def _for_others(self) -> None:
        self._soon = None
        self._others()

    def _for_us(self) -> None:
        self._later = None
        self._own()
