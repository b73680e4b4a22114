"""Which pieces of one package come by themselves, along the trees (L{clumpt.trees}): pure decisions."""

from __future__ import annotations

from collections.abc import Collection

from attrs import define, field

from clumpt.agent.feeding import DRY, FIRST, GAPS, SMOOTH
from clumpt.model import PeerName
from clumpt.pieces import Bits
from clumpt.trees import TREES, carried

#: What comes along one tree, and so many pieces less than along the other, is asked for as well.
BEHIND = 20
#: Seconds without a piece, at least, after which it counts how often they come along the other tree; and so
#: many times less often is too slow.
PAUSE, SLOWER = 0.3, 8.0


@define
class _Above:
    """
    Who pushes what one tree carries.

    @ivar since: when a piece came last, or who it is was told; C{gap}: the usual time between two.
    @ivar late: was it far behind another tree, since a piece came last?
    """

    peer: PeerName
    since: float
    began: bool = False
    gap: float = 0.0
    late: bool = False

    def flows(self, now: float, other: float) -> bool:
        """
        Does it come as it should?

        @param other: seconds between two pieces along another tree, 0 if that is not known.
        """
        waits, usual = now - self.since, max(DRY, GAPS * self.gap)
        if self.late:
            return False
        if not self.began:
            return waits < FIRST
        if not other:
            return waits < usual
        return waits < min(usual, max(PAUSE, GAPS * other)) and self.gap < SLOWER * other


@define
class Pushed:
    """
    Who is above us in the trees of one package of C{count} pieces.

    What does not come as it should is asked for, like anything else: so nobody waits for a tree to be mended.

    @ivar asked: those who know that we want to be sent what comes.
    """

    count: int
    asked: set[PeerName] = field(factory=set, init=False)
    _above: dict[int, _Above] = field(factory=dict, init=False)
    _before: set[PeerName] = field(factory=set, init=False)
    #: The usual time between two pieces along each tree in which somebody was above us.
    _gaps: dict[int, float] = field(factory=dict, init=False)
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
        """C{peer} is above us in a tree; returns who was, and is not any more in any."""
        if not self._gaps:
            self._until = now + FIRST
        former = self._above.get(tree)
        # Who takes the place of another need not begin at first: it is soon seen whether something comes.
        self._above[tree] = _Above(peer, now, tree in self._gaps, self._gaps.setdefault(tree, 0.0))
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
                gap = now - above.since
                above.gap += SMOOTH * (gap - above.gap) if above.gap else gap
                self._gaps[index % TREES] = above.gap
            above.began, above.since, above.late = True, now, False

    def comes(self, held: Bits, now: float) -> Bits:
        """The pieces that need not be asked for; C{held} are here."""
        parts = [carried(tree, self.count).value for tree in range(TREES)]
        counts = [(part & held.value).bit_count() for part in parts]
        coming = 0
        for tree, part in enumerate(parts):
            behind = max(counts) - counts[tree] >= BEHIND
            if behind and tree in self._above:
                self._above[tree].late = True
            if not behind and self._flows(tree, now):
                coming |= part
        return Bits(coming)

    def _flows(self, tree: int, now: float) -> bool:
        above = self._above.get(tree)
        if above is None:
            return now < self._until
        others = [one.gap for number, one in self._above.items() if number != tree]
        return above.flows(now, max(others, default=0.0))

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
