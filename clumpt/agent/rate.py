"""Totals of bytes per second, kept by a token bucket (R7). Pure."""

from __future__ import annotations

from attrs import define, field


@define
class Bucket:
    """
    Lets C{rate} bytes per second through, on the average of a second.

    @ivar rate: bytes per second of the whole daemon, 0 for no limit.
    """

    rate: float
    _free_at: float = field(default=0.0, init=False)

    def take(self, amount: int, now: float) -> float:
        """Reserve C{amount} bytes; returns the seconds to wait before they may go."""
        if self.rate <= 0:
            return 0.0
        # One second may be saved up, so that a quiet link answers a small request at once.
        start = max(self._free_at, now - 1.0)
        self._free_at = start + amount / self.rate
        return max(0.0, self._free_at - now)
