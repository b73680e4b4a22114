"""Which pieces of one package come by themselves, along the trees (L{clumpt.trees}): pure decisions."""

from __future__ import annotations

from collections.abc import Collection

from attrs import define, field

from clumpt.agent.feeding import DRY, FIRST, GAPS, SMOOTH
from clumpt.errors import BadDocument
from clumpt.model import PeerName
from clumpt.pieces import Bits
from clumpt.trees import TREES, Branch, carried

#: What comes along one tree, and so many pieces less than along the other, is asked for as well.
BEHIND = 20
#: How often it may change who is above us in one tree of a package.
MOST_TURNS = 16


@define
class _Above:
    """
    Who pushes what one tree carries.

    @ivar since: when a piece came last, or who it is was told; C{gap}: the usual time between two.
    """

    peer: PeerName
    since: float
    began: bool = False
    gap: float = 0.0

    def dry(self, now: float) -> bool:
        """Does nothing come any more, or nothing at all?"""
        return now - self.since >= (max(DRY, GAPS * self.gap) if self.began else FIRST)


@define
class Pushed:
    """
    Who is above us in the trees of one package of C{count} pieces.

    What does not come as it should is asked for, like anything else: so nobody waits for a tree to be mended.

    @ivar asked: those who know that we want to be sent what comes.
    @ivar branches: what begins here, by the number of the tree.
    """

    count: int
    asked: set[PeerName] = field(factory=set, init=False)
    branches: dict[int, Branch] = field(factory=dict, init=False)
    _above: dict[int, _Above] = field(factory=dict, init=False)
    _before: set[PeerName] = field(factory=set, init=False)
    _turns: int = field(default=0, init=False)
    #: Until when it may still be told who is above us in the other tree.
    _until: float = field(default=0.0, init=False)

    @property
    def above(self) -> Collection[PeerName]:
        """Those who push now, each once, in a lasting order."""
        return sorted({above.peer for above in self._above.values()})

    def pushes(self, peer: PeerName) -> bool:
        """Does C{peer} push, or did it a moment ago?"""
        return peer in self.above or peer in self._before

    def turn(self, tree: int, peer: PeerName, now: float) -> PeerName | None:
        """
        C{peer} is above us in a tree; returns who was, and is not any more in any.

        Raises L{BadDocument} if that changes without end.
        """
        self._turns += 1
        if self._turns > MOST_TURNS * TREES:
            raise BadDocument("it changes again and again who is above us in a tree")
        if self._turns == 1:
            self._until = now + FIRST
        former = self._above.get(tree)
        self._above[tree] = _Above(peer, now)
        # Even if it was told before: what it knew of us it may have dropped.
        self.asked.discard(peer)
        self._before.discard(peer)
        if former is None or former.peer in self.above:
            return None
        self._before.add(former.peer)
        self.asked.discard(former.peer)
        return former.peer

    def came(self, index: int, now: float) -> None:
        """Piece C{index} came by itself."""
        above = self._above.get(index % TREES)
        if above is not None:
            if above.began:
                above.gap += SMOOTH * (now - above.since - above.gap)
            above.began, above.since = True, now

    def comes(self, held: Bits, now: float) -> Bits:
        """The pieces that need not be asked for; C{held} are here."""
        parts = [carried(tree, self.count).value for tree in range(TREES)]
        counts = [(part & held.value).bit_count() for part in parts]
        coming = 0
        for tree, part in enumerate(parts):
            if max(counts) - counts[tree] < BEHIND and self._flows(tree, now):
                coming |= part
        return Bits(coming)

    def _flows(self, tree: int, now: float) -> bool:
        above = self._above.get(tree)
        return now < self._until if above is None else not above.dry(now)

    def dropped(self, peer: PeerName) -> None:
        """C{peer} pushes nothing any more; what it sent before may still come."""
        self.lost(peer)
        self._before.add(peer)

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone."""
        self.asked.discard(peer)
        self._before.discard(peer)
        self._until = 0.0
        self._above = {tree: above for tree, above in self._above.items() if above.peer != peer}
