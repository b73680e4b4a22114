"""Totals of bytes per second, kept by a token bucket (R7)."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field

from clumpt.hours import Hours


def minute_of_day(seconds: float) -> int:
    """The minute of the day of a moment, in seconds since the epoch, by the time zone of this node."""
    local = time.localtime(seconds)
    return local.tm_hour * 60 + local.tm_min


@define
class Bucket:
    """
    Lets C{rate} bytes per second through, on the average of a second.

    The hours are looked up whenever something is to go, so that they hold from their first minute on, also
    when the clock on the wall is put forward or back.  What waits already, waits as long as it was told.

    @ivar rate: bytes per second of the whole daemon, 0 for no limit.
    @ivar hours: other rates at some hours of the day.
    @ivar minute: the minute of the day on this node.
    """

    rate: float
    hours: Hours = Hours()
    _minute: Callable[[], int] = lambda: 0  # noqa: E731 - who names no hours needs no clock
    _free_at: float = field(default=0.0, init=False)

    def take(self, amount: int, now: float) -> float:
        """Reserve C{amount} bytes; returns the seconds to wait before they may go."""
        rate = self.hours.rate(self._minute(), self.rate) if self.hours.spans else self.rate
        if rate <= 0:
            return 0.0
        # One second may be saved up, so that a quiet link answers a small request at once.
        start = max(self._free_at, now - 1.0)
        self._free_at = start + amount / rate
        return max(0.0, self._free_at - now)
