"""
Which piece of one package is offered to whom: pure decisions.

The newest useful piece goes to the peer that has least: a fresh piece doubles
while it is rare, and the load spreads.  A piece that is on its way here is
offered already, so that it goes on at once when it comes.  Each piece is
promised to a peer by one of us at a time, as the peer declines what is on its
way to it already; so no byte is sent twice.  A source gives each piece away
once, in order: the peers do the rest among themselves.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from random import Random

from attrs import define, field

from clumpt.agent.near import Near
from clumpt.agent.ringed import Ringed
from clumpt.model import PeerName
from clumpt.pieces import Bits

#: Unanswered offers to one peer times the number of peers: with few peers, each is offered more.
SPREAD = 16
#: Unanswered offers of a source to one peer, at least.
LEAST_OF_SOURCE = 4
#: Seconds for which a peer that declined is left alone, unless it shows progress ...
DECLINED = 0.02
#: ... twice as long each time in a row ...
LONGER = 2.0
#: ... and after so many it does not seem to want the rest, until it shows progress.
REFUSALS = 11
#: Seconds for which it is believed that what a peer told to be on its way to it still is.
COMING = 0.5
#: Seconds for which a piece that a far peer declined is not offered to it again.
SPARED = 0.5
#: Peers that have nearly the same number of pieces are taken as equal.
NEARLY = 10.0


@define
class _View:
    """
    What one peer is known to hold, and was promised by us.

    @ivar open: what it was offered and did not answer, the oldest first.
    @ivar spared: what a peer that is far need not be offered any more.
    """

    held: int = 0
    promised: int = 0
    #: What is on its way to it from others, as it told last, and when that was.
    coming: int = 0
    told_at: float = 0.0
    spared: int = 0
    spared_until: float = 0.0
    open: list[int] = field(factory=list)
    refusals: int = 0
    not_before: float = 0.0
    #: It does not answer: what it was promised does not count as given.
    silent: bool = False

    def awaited(self, now: float) -> int:
        """What is on its way to it from others, as far as is known by now."""
        return self.coming if now - self.told_at < COMING else 0

    def spare(self, index: int, now: float) -> None:
        """Do not offer this piece for a while."""
        if now >= self.spared_until:
            self.spared, self.spared_until = 0, now + SPARED
        self.spared |= 1 << index


@define
class Offers:
    """
    The peers that want one package of C{count} pieces.

    @ivar source: is everything here from the start, and given away once?
    @ivar near: where peers stand, None if it does not matter.
    @ivar unanswered: offers that were not answered yet.
    """

    count: int
    _random: Random
    source: bool = False
    near: Near | None = None
    ring: Ringed = field(factory=Ringed, init=False)
    unanswered: int = field(default=0, init=False)
    _views: dict[PeerName, _View] = field(factory=dict, init=False)
    _given: int = field(default=0, init=False)

    def saw(self, peer: PeerName, bits: Bits) -> None:
        """C{peer} holds these pieces."""
        view = self._views.get(peer)
        if view is None:
            view = self._views[peer] = _View()
        if bits.value & ~view.held:
            view.not_before, view.refusals = 0.0, 0
        view.held |= bits.value
        view.promised &= ~bits.value

    def awaits(self, peer: PeerName, bits: Bits, now: float) -> None:
        """These pieces are on their way to C{peer}, and no others."""
        view = self._views.get(peer)
        if view is not None:
            view.coming, view.told_at = bits.value, now

    @property
    def follower(self) -> PeerName | None:
        """Who is fed first, and takes part; None if nobody does."""
        return next(filter(self._there, self.ring.eaters), None) if self.ring.goes else None

    def _there(self, peer: PeerName) -> bool:
        return peer in self._views and not self._views[peer].silent

    def mute(self, peer: PeerName) -> bool:
        """Does C{peer} take part, and say nothing any more?"""
        return peer in self._views and self._views[peer].silent

    @property
    def hungry(self) -> PeerName | None:
        """
        Who is fed, and lacks something; None if nobody is.

        It is the first who asked; where that one has it before us, there is time for the last one.
        """
        eaters = self.ring.eaters[::-1] if self.ring.closed else self.ring.eaters
        peer = next(filter(self._there, eaters), None) if self.ring.goes else None
        return peer if peer is not None and self._views[peer].held != (1 << self.count) - 1 else None

    def lacks(self, peer: PeerName) -> bool:
        """Does C{peer} take part, and lack something?"""
        return self._there(peer) and self._views[peer].held != (1 << self.count) - 1

    def next_for(self, peer: PeerName, here: Bits, now: float, once: bool = True) -> int | None:
        """
        The piece that C{peer} is fed next, which counts as promised; None if there is none.

        @param once: does a source not feed what it has given to somebody?
        """
        view = self._views[peer]
        useful = here.value & ~(view.held | view.promised | view.awaited(now))
        if self.source and once:
            useful &= ~self._given
        if not useful:
            return None
        index = (useful & -useful).bit_length() - 1
        view.promised |= 1 << index
        self._given |= 1 << index
        return index

    def pass_by(self, peer: PeerName) -> bool:
        """Feed the next who asked in place of C{peer}, whatever that was given; False if there is none."""
        if len(self.ring.eaters) < 2:
            return False
        self.ring.eaters.remove(peer)
        self.silent(peer)
        self.heard(peer)
        return True

    def came(self, peer: PeerName, index: int, now: float) -> None:
        """C{peer} sent piece C{index} by itself."""
        self.saw(peer, Bits(1 << index))
        self.ring.begin(now)
        follower = self.follower
        self.ring.came(index, self._views[follower].held if follower is not None else -1, now)

    def lost(self, peer: PeerName) -> None:
        """C{peer} is gone; what nobody else is known to hold, or was promised, may be given again."""
        view = self._views.pop(peer, None)
        if view is not None:
            self.unanswered -= len(view.open)
            self._give_again()

    def answer_due(self, peer: PeerName) -> bool:
        """Did C{peer} not answer an offer?"""
        view = self._views.get(peer)
        return view is not None and bool(view.open)

    def silent(self, peer: PeerName) -> None:
        """C{peer} does not say anything: until it does, it is as if it were gone."""
        view = self._views.get(peer)
        if view is not None and not view.silent:
            self.forget(peer)
            view.silent = True
            self._give_again()

    def heard(self, peer: PeerName) -> None:
        """C{peer} says something again."""
        view = self._views.get(peer)
        if view is not None:
            view.silent = False

    def _give_again(self) -> None:
        """Only what those hold, or were promised, who are there, is given."""
        self._given = 0
        for view in self._views.values():
            if not view.silent:
                self._given |= view.held | view.promised

    @property
    def idle(self) -> bool:
        """Does nobody lack anything?"""
        full = (1 << self.count) - 1
        return all(view.held == full for view in self._views.values())

    def asked(self, peer: PeerName, index: int) -> None:
        """C{peer} asked for piece C{index}, most likely because of an offer."""
        view = self._views.get(peer)
        if view is not None:
            if index not in view.open and view.open:
                # It has, or is about to have, what it was offered.
                self._take_back(view, 1 << view.open[0])
            self._answered(view, index)
            view.refusals = 0
            view.promised |= 1 << index
            self._given |= 1 << index

    def declined(self, peer: PeerName, index: int, now: float) -> None:
        """C{peer} does not want piece C{index} now."""
        view = self._views.get(peer)
        if view is not None:
            self._answered(view, index)
            if self._with_mates(peer):
                # It gets this from somebody who is nearer, most likely, and goes on taking others.
                view.spare(index, now)
            elif view.not_before <= now:
                # Several at once count as one.
                view.not_before = now + DECLINED * LONGER ** min(view.refusals, REFUSALS)
                view.refusals += 1
            self._take_back(view, 1 << index)
            if view.refusals > REFUSALS and not self.source:
                self.lost(peer)

    def missed(self, peer: PeerName, index: int) -> None:
        """Piece C{index}, which was promised to C{peer}, does not come here after all."""
        if peer in self._views:
            self._take_back(self._views[peer], 1 << index)

    def forget(self, peer: PeerName) -> None:
        """What C{peer} did not answer for too long counts as declined."""
        view = self._views.get(peer)
        if view is not None:
            self.unanswered -= len(view.open)
            view.open.clear()
            self._take_back(view, view.promised)

    def choose(
        self, here: Bits, soon: Bits, busy: Container[PeerName], now: float
    ) -> tuple[PeerName, int] | None:
        """
        The next offer, which counts as made; None if there is none to make.

        @param here: the pieces that can be given.
        @param soon: the pieces that can be given when they have come.
        @param busy: peers whose links are full.
        """
        most = max(LEAST_OF_SOURCE if self.source else 1, -(-SPREAD // max(1, len(self._views))))
        able = here.value | soon.value
        best: tuple[float, PeerName, _View, int] | None = None
        free = [
            (peer, view, useful)
            for peer, view in self._views.items()
            if len(view.open) < most
            and not view.silent
            and view.not_before <= now
            and (useful := able & ~(view.held | view.promised | view.awaited(now)))
            and peer not in busy
        ]
        if not free:
            return None
        able = self._best(able, now)
        for peer, view, useful in free:
            useful &= able
            if useful and self.near is not None and self.near.far(peer):
                useful &= ~self.near.unwanted(peer, self._known(now), self.count)
                useful &= ~(view.spared if now < view.spared_until else 0)
            if useful:
                rank = self._rank(view)
                if best is None or rank < best[0]:
                    best = rank, peer, view, useful
        if best is None:
            return None
        _, peer, view, useful = best
        index = (useful & -useful if self.source else useful).bit_length() - 1
        view.open.append(index)
        self.unanswered += 1
        view.promised |= 1 << index
        self._given |= 1 << index
        return peer, index

    def _best(self, able: int, now: float) -> int:
        """Of the pieces that can be given, those that nobody has who wants the package; if any are left."""
        full = (1 << self.count) - 1
        fresh = able & ~self._given
        for view in self._views.values():
            # Who holds everything is no sign that the others have it: a source gives each piece away once.
            if view.held != full and not view.silent:
                fresh &= ~(view.held | view.promised | view.awaited(now))
        return fresh if fresh or self.source else able

    def _with_mates(self, peer: PeerName) -> bool:
        """Does C{peer} stand elsewhere, and others with it?"""
        near = self.near
        if near is None or not (there := near.far(peer)):
            return False
        return any(
            near.far(other) == there
            for other, view in self._views.items()
            if other != peer and not view.silent
        )

    def _known(self, now: float) -> Iterator[tuple[PeerName, int]]:
        """What those who answer have, were promised, or are waiting for."""
        for peer, view in self._views.items():
            if not view.silent:
                yield peer, view.held | view.promised | view.awaited(now)

    def _rank(self, view: _View) -> float:
        """Who has least comes first; for a source, who has least to pass on yet."""
        if self.source:
            return view.promised.bit_count() + self._random.random()
        return (view.held | view.promised).bit_count() + self._random.random() * NEARLY

    def _answered(self, view: _View, index: int) -> None:
        if view.open:
            view.open.remove(index if index in view.open else view.open[0])
            self.unanswered -= 1

    def _take_back(self, view: _View, pieces: int) -> None:
        view.promised &= ~pieces
        self._given &= ~pieces
