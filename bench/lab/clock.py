"""Virtual time that costs next to nothing, for simulations of thousands of peers."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from attrs import define, field


@define(eq=False)
class Timer:
    """What L{Clock.callLater} returns."""

    call: Callable[..., object] | None

    def active(self) -> bool:
        """Is it still to come?"""
        return self.call is not None

    def cancel(self) -> None:
        """Let it not come."""
        self.call = None


@define(eq=False)
class Clock:
    """Virtual time; as much of a reactor as is needed."""

    now: float = 0.0
    events: int = 0
    _heap: list[tuple[float, int, Any, tuple[Any, ...]]] = field(factory=list, init=False)
    _numbers: Any = field(factory=count, init=False)

    def seconds(self) -> float:
        """The time."""
        return self.now

    def at(self, when: float, call: Callable[..., object], *args: Any) -> None:
        """Call at a time."""
        heappush(self._heap, (when, next(self._numbers), call, args))

    def callLater(self, delay: float, call: Callable[..., object], *args: Any) -> Timer:
        """Call after a while."""
        timer = Timer(call)
        self.at(self.now + delay, self._ring, timer, args)
        return timer

    def _ring(self, timer: Timer, args: tuple[Any, ...]) -> None:
        call, timer.call = timer.call, None
        if call is not None:
            call(*args)

    def step(self) -> bool:
        """The next event; False if there is none."""
        if not self._heap:
            return False
        self.now, _, call, args = heappop(self._heap)
        self.events += 1
        call(*args)
        return True
