"""Pauses before something is looked at again: a bounded number of them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@define(eq=False)
class Pauses:
    """
    Pauses that are waited for at the same time.

    @ivar most: how many; what is beyond is not waited for.
    """

    _clock: IReactorTime
    _most: int
    _timers: list[IDelayedCall] = field(factory=list, init=False)

    def after(self, seconds: float, call: Callable[..., object], *args: object) -> None:
        """Call after a pause, if there are not too many."""
        self._timers = [timer for timer in self._timers if timer.active()]
        if len(self._timers) < self._most:
            self._timers.append(self._clock.callLater(seconds, call, *args))

    def stop(self) -> None:
        """Wait no more."""
        for timer in self._timers:
            if timer.active():
                timer.cancel()
