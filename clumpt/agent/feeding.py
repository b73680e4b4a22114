"""
Who sends us the pieces of one package as they come to him, without being asked for each: pure decisions.

A submitter feeds one peer, each peer the next one in the ring of its group, and
so each piece goes round: that takes no offers and no requests, and every link
carries every piece once.  It works while all are there and equally fast.  Where
it does not, it is over for everybody, and pieces are offered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field

from clumpt.model import PeerName

#: Seconds in which the first piece comes, if it goes round.
FIRST = 2.0
#: Seconds without a piece, and times the usual time between two, after which it does not go round any more.
DRY, GAPS = 1.0, 8.0
#: Pieces that came in vain after which it is better to be offered them.
VAIN = 8
#: That time changes by this part of the newest.
SMOOTH = 0.125


@define
class Feeding:
    """
    Those who were asked to feed us.

    @ivar feeder: the peer before us in the ring.
    @ivar submitters: they feed whom they like.
    @ivar passed: who fed us before, and may not know yet that somebody else does.
    @ivar spare: who would feed us, but was not ahead of us.
    """

    feeder: PeerName | None = field(default=None, init=False)
    submitters: set[PeerName] = field(factory=set, init=False)
    passed: set[PeerName] = field(factory=set, init=False)
    spare: set[PeerName] = field(factory=set, init=False)
    _vain: int = field(default=0, init=False)
    #: When somebody was asked first, and when a piece came last.
    _begun: float = field(default=0.0, init=False)
    _came: float | None = field(default=None, init=False)
    _gap: float = field(default=0.0, init=False)

    def begin(
        self, nearest: Sequence[PeerName], submitters: Sequence[PeerName], now: float
    ) -> list[PeerName]:
        """
        Whom to ask, who was not asked yet.

        @param nearest: linked peers of our ring, the one before us first.
        """
        asked = [peer for peer in submitters if peer not in self.submitters]
        self.submitters.update(asked)
        if self.feeder is None and nearest:
            self.feeder, self._begun = nearest[0], now
            asked.append(nearest[0])
        return asked

    def turn(self, peer: PeerName, now: float) -> None:
        """C{peer} is asked in place of the one before us; what it has waiting for us comes in a moment."""
        if self.feeder is not None:
            self.passed.add(self.feeder)
        self.spare.discard(peer)
        self.feeder, self._begun, self._vain = peer, now, 0
        if self._came is not None:
            self._came = now

    @property
    def goes(self) -> bool:
        """Did a piece come by itself?"""
        return self._came is not None

    @property
    def feeders(self) -> Collection[PeerName]:
        """All who were asked, in a lasting order."""
        before = {self.feeder} if self.feeder is not None else set()
        return sorted(self.submitters | self.passed | self.spare | before)

    def feeds(self, peer: PeerName) -> bool:
        """Is C{peer} to feed us, as far as we know, and not another one in its place?"""
        return peer == self.feeder or peer in self.submitters

    def came(self, useful: bool, now: float) -> None:
        """A piece came that was not asked for by itself."""
        if self._came is not None:
            gap = now - self._came
            self._gap += SMOOTH * (gap - self._gap) if self._gap else gap
        self._came = now
        self._vain += not useful

    def fails(self, now: float) -> bool:
        """Do they not come as they should?"""
        if self._came is None:
            return now - self._begun >= FIRST
        return self._vain >= VAIN or now - self._came >= max(DRY, GAPS * self._gap)
