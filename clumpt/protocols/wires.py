"""What all lines of one peer share."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from clumpt.interfaces import ISecurity
from clumpt.protocols.limits import Limits

#: The same complaint is logged again after so many seconds.
REPEAT = 3600.0
#: Different complaints that are remembered, and of one peer.
MOST, MOST_EACH = 1024, 16


@define(eq=False)
class Complaints:
    """
    Tells the operator whom we hung up on and why: once, not at every try.

    @ivar count: how often anybody was hung up on.
    """

    log = Logger()

    _clock: IReactorTime
    count: int = field(default=0, init=False)
    _told: dict[tuple[str, str], float] = field(factory=dict, init=False)
    #: Of whom it was said that there are more.
    _named: dict[str, float] = field(factory=dict, init=False)

    def about(self, peer: str, why: str) -> None:
        """We hung up on C{peer}, a name or a host, because of C{why}."""
        self.count += 1
        now = self._clock.seconds()
        told = self._told.get((peer, why))
        if told is not None and now - told < REPEAT:
            return
        if told is None and self._reasons(peer, now) >= MOST_EACH:
            if now - self._named.get(peer, -REPEAT) >= REPEAT:
                self._named[peer] = now
                self.log.warn("hanging up on {peer}: {why}; no more is said of it", peer=peer, why=why)
                self._named = {name: at for name, at in self._named.items() if now - at < REPEAT}
            return
        if len(self._told) >= MOST:
            del self._told[next(iter(self._told))]
        self._told.pop((peer, why), None)
        self._told[peer, why] = now
        self.log.warn("hanging up on {peer}: {why}", peer=peer, why=why)

    def _reasons(self, peer: str, now: float) -> int:
        """How many complaints of C{peer} were logged within the last hour."""
        return sum(other == peer and now - at < REPEAT for (other, _), at in self._told.items())


@define(eq=False)
class Open:
    """
    The lines that are not closed yet; each is known by the way to close it.

    @ivar changes: how often a line, or a link of two, has begun or ended.
    """

    changes: int = field(default=0, init=False)
    _closers: dict[object, Callable[[str], None]] = field(factory=dict, init=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    def __len__(self) -> int:
        return len(self._closers)

    def add(self, line: object, close: Callable[[str], None]) -> None:
        """C{line} was opened; C{close} ends it in bounded time, for the reason given."""
        self._closers[line] = close

    def remove(self, line: object) -> None:
        """C{line} is closed."""
        self._closers.pop(line, None)
        if not self._closers:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    def close(self, why: str) -> Deferred[None]:
        """Close all; fires when none is open any more."""
        if not self._closers:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._waiting.append(closed)
        for close in list(self._closers.values()):
            close(why)
        return closed


@frozen(eq=False)
class Wires:
    """What every line needs to know."""

    clock: IReactorTime
    security: ISecurity
    limits: Limits
    complaints: Complaints
    open: Open = field(factory=Open)
