"""One package on its way here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from clumpt.agent.swarm import Ask, Swarm
from clumpt.errors import BadDocument
from clumpt.interfaces import IAssembly, ILink
from clumpt.model import Package, PeerName
from clumpt.provenance import Origin

#: Packages that may arrive at the same time, the others wait in the order of their updates: a few, and more
#: while they are small, together.
FEW, AT_ONCE, SMALL = 16, 64, 1024 * 1024
#: Seconds for which a peer that was silent is not asked again of our own accord.
SHUN = 5.0


@define(eq=False)
class Arrival:
    """
    What is known of it, and under way for it.

    @ivar open: what was asked and not answered yet.
    @ivar asking: who was asked for the hashes of the pieces.
    @ivar barren: who did not have them a moment ago.
    @ivar finishing: is it being made whole and durable?
    @ivar teller: who was asked for what is one piece because it told of it, which may not have it yet.
    """

    package: Package
    swarm: Swarm
    assembly: IAssembly
    open: dict[Ask, Deferred[Any]] = field(factory=dict)
    asking: set[PeerName] = field(factory=set)
    barren: set[PeerName] = field(factory=set)
    finishing: bool = False
    teller: PeerName | None = None
    _origins: dict[PeerName, Origin] = field(factory=dict)

    def cancel(self) -> None:
        """Nothing that was asked for is waited for any more."""
        for answer in list(self.open.values()):
            answer.cancel()

    def origin(self, peer: PeerName, find: Callable[[PeerName], Origin]) -> Origin:
        """What kind of sender C{peer} is, which is looked up for its first piece."""
        if peer not in self._origins:
            self._origins[peer] = find(peer)
        return self._origins[peer]

    def check(self, index: int, done: str) -> None:
        """Raises L{BadDocument} if there is no piece C{index}, of which something is C{done}."""
        if not 0 <= index < self.package.pieces.count:
            raise BadDocument(f"piece {index} of {self.package.pieces.count} {done}")

    def expect(self, peer: PeerName, now: float) -> bool:
        """
        C{peer} told of it: so it has it, or is about to; is it to be asked, if it is one piece?

        Not if somebody was asked, even in vain.  Who is asked heard of it before us, and asks whom it heard
        it from: so nobody waits for each other.
        """
        if self.package.pieces.count > 1 or self.finishing or self.open or self.teller is not None:
            return False
        self.teller = peer
        self.swarm.offered(peer, 0, now)
        return True

    @property
    def starves(self) -> bool:
        """Does nobody linked hold a missing piece, or expect one, or send them by itself, or may soon?"""
        swarm = self.swarm
        return not (self.finishing or swarm.holders or swarm.promised or swarm.comes or self.asking)

    def give_up_silent(self, links: Mapping[PeerName, ILink], now: float) -> None:
        """Who says nothing will not send either, long before it is known that the link is dead."""
        long_ago = now - self.swarm.patience
        for ask in self.swarm.overdue(long_ago):
            link, answer = links.get(ask.peer), self.open.get(ask)
            if link is not None and link.heard < long_ago and answer is not None:
                # First, or it would be asked again at once.
                self.swarm.gave_up(ask.peer, now + SHUN)
                answer.cancel()


def full_hands(arriving: Collection[Package]) -> bool:
    """Is enough on its way?"""
    if FEW <= len(arriving) < AT_ONCE:
        return sum(package.size for package in arriving) >= SMALL
    return len(arriving) >= AT_ONCE
