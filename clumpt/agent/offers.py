"""
Which piece of one package is offered to whom: pure decisions.

The newest useful piece goes to the peer that has least: a fresh piece doubles
while it is rare, and the load spreads.  Each piece is promised to a peer by
one of us at a time, as the peer declines what is on its way to it already; so
no byte is sent twice.  A source gives each piece away once, in order: the
peers do the rest among themselves.
"""

from __future__ import annotations

from collections.abc import Container
from random import Random

from attrs import define, field

from clumpt.model import PeerName
from clumpt.pieces import Bits

#: Offers to one peer that may be unanswered.
PER_PEER = 2
#: The same for a source, which may have only one peer to give to.
PER_PEER_OF_SOURCE = 8
#: Seconds for which a peer that declined is left alone, unless it shows progress ...
DECLINED = 0.1
#: ... twice as long each time in a row ...
LONGER = 2.0
#: ... and after so many it does not seem to want the rest, until it shows progress.
REFUSALS = 9
#: Peers that have nearly the same number of pieces are taken as equal.
NEARLY = 3.0


@define
class _View:
    """What one peer is known to hold, was promised, and was offered and did not answer."""

    held: int = 0
    promised: int = 0
    open: int = 0
    refusals: int = 0
    not_before: float = 0.0


@define
class Offers:
    """
    The peers that want one package of C{count} pieces.

    @ivar source: is everything here from the start, and given away once?
    """

    count: int
    _random: Random
    source: bool = False
    _views: dict[PeerName, _View] = field(factory=dict, init=False)
    _given: int = field(default=0, init=False)

    def saw(self, peer: PeerName, bits: Bits) -> None:
        """C{peer} holds these pieces."""
        view = self._views.setdefault(peer, _View())
        if bits.value & ~view.held:
            view.not_before, view.refusals = 0.0, 0
        view.held |= bits.value
        view.promised &= ~bits.value

    def lost(self, peer: PeerName) -> None:
        """C{peer} is gone; what it was promised may be given again."""
        view = self._views.pop(peer, None)
        if view is not None:
            self._given &= ~view.promised

    @property
    def idle(self) -> bool:
        """Does nobody lack anything?"""
        full = (1 << self.count) - 1
        return all(view.held == full for view in self._views.values())

    @property
    def unanswered(self) -> int:
        """Offers that were not answered yet."""
        return sum(view.open for view in self._views.values())

    def copies(self, index: int) -> int:
        """How many of the peers are known to hold piece C{index}."""
        return sum(view.held >> index & 1 for view in self._views.values())

    def answered(self, peer: PeerName, asked: int | None, now: float) -> None:
        """C{peer} asked for piece C{asked}, or declined if that is None."""
        view = self._views.get(peer)
        if view is None:
            return
        view.open = max(0, view.open - 1)
        if asked is None:
            view.not_before = now + DECLINED * LONGER ** min(view.refusals, REFUSALS)
            view.refusals += 1
        else:
            view.refusals = 0
            view.promised |= 1 << asked
            self._given |= 1 << asked

    def declined(self, peer: PeerName, index: int, now: float) -> None:
        """C{peer} does not want piece C{index} now."""
        self.answered(peer, None, now)
        if peer in self._views:
            self._views[peer].promised &= ~(1 << index)
            self._given &= ~(1 << index)
            if self._views[peer].refusals > REFUSALS and not self.source:
                self.lost(peer)

    def forget(self, peer: PeerName) -> None:
        """What C{peer} did not answer for too long counts as declined."""
        if peer in self._views:
            view = self._views[peer]
            view.open = 0
            self._given &= ~view.promised
            view.promised = 0

    def choose(
        self, here: Bits, busy: Container[PeerName], idle: bool, now: float
    ) -> tuple[PeerName, int] | None:
        """
        The next offer, which counts as made; None if there is none to make.

        @param here: the pieces that can be given.
        @param busy: peers whose links are full.
        @param idle: is there so little to send that what others may give as well may be offered too?
        """
        fresh = here.value & ~self._given if self.source else here.value
        for view in self._views.values():
            fresh &= ~(view.held | view.promised)
        if fresh or self.source or not idle:
            here = Bits(fresh)
        most = PER_PEER_OF_SOURCE if self.source else PER_PEER
        best: tuple[float, PeerName, int] | None = None
        for peer, view in self._views.items():
            if view.open >= most or view.not_before > now or peer in busy:
                continue
            useful = here.value & ~view.held & ~view.promised
            if useful:
                rank = self._rank(view)
                if best is None or rank < best[0]:
                    best = rank, peer, useful
        if best is None:
            return None
        _, peer, useful = best
        index = (useful & -useful if self.source else useful).bit_length() - 1
        view = self._views[peer]
        view.open += 1
        view.promised |= 1 << index
        self._given |= 1 << index
        return peer, index

    def _rank(self, view: _View) -> float:
        """Who has least comes first; for a source, who has least to pass on yet."""
        jitter = self._random.random() * NEARLY
        if self.source:
            return view.promised.bit_count() + jitter
        return (view.held | view.promised).bit_count() + jitter
