"""When to dial again a peer to whom we want to stay linked (R84)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from attrs import define, field

from clumpt.model import Address
from clumpt.protocols.alarm import Alarm
from clumpt.protocols.limits import Limits


def pause(failures: int, limits: Limits, random: Random) -> float:
    """
    Seconds before the next try, after C{failures} in a row: doubled each time, and never the same
    for two peers.
    """
    most = min(limits.first_retry * 2 ** min(failures, 30), limits.last_retry)
    return random.uniform(most / 2, most)


@define(eq=False)
class Keeper:
    """
    Wants one peer to be linked.

    @ivar addresses: where it may be dialled.
    """

    _limits: Limits
    _random: Random
    _alarm: Alarm
    _dial: Callable[[], None]
    addresses: Sequence[Address]
    _failures: int = field(default=0, init=False)

    def now(self) -> None:
        """Dial."""
        self._alarm.stop()
        self._dial()

    def failed(self) -> None:
        """It could not be reached; dial again later."""
        self._alarm.set(pause(self._failures, self._limits, self._random), self._dial)
        self._failures += 1

    def linked(self) -> None:
        """It is linked; no need to dial."""
        self._alarm.stop()

    def unlinked(self, lasted: float) -> None:
        """The link is gone after C{lasted} seconds; dial again soon, unless it never lasts."""
        if lasted >= self._limits.steady:
            self._failures = 0
        self.failed()

    def stop(self) -> None:
        """Want it no more."""
        self._alarm.stop()
