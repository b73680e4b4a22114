"""Passes on the pieces of packages that go round (L{clumpt.agent.ringed}), without being asked for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from clumpt.agent.offers import Offers
from clumpt.agent.pusher import Pusher
from clumpt.agent.waiting import QUEUED, Queue
from clumpt.model import Package, PeerName
from clumpt.pieces import Bits, Digest, Round

#: Of the pieces on the wire, those to one that is fed: what comes must go on, though acknowledgements are
#: slow where both links are busy.  If one piece was not acknowledged for so many seconds, no more are sent
#: than to others: behind them would wait what we acknowledge ourselves.
WINDOW_FED, OLD = 12, 0.2
#: Those to one below us in a tree, and beside them to all who ask: behind these, all below would wait.
WINDOW_PUSHED, BESIDE = 8, 3


class Detour(Protocol):
    """The way round a peer that does not keep up: L{clumpt.agent.detour.Around}."""

    def find(self, package: Package, slow: PeerName, looks: Callable[[], bool]) -> None:
        """Let one after C{slow} know that it can be fed from here, as long as one is looked for."""

    def leave_out(self, digest: Digest, slow: PeerName) -> None:
        """Tell C{slow} that a package goes round without it."""


@define(eq=False)
class Feeder:
    """
    The packages here that go round.

    @ivar offers: what is known of the peers that want a package, and C{packages}: those packages.
    @ivar held: the pieces of a package that can be given.
    @ivar rings: packages that this source feeds to one peer, from where they go round by themselves.
    @ivar broken: called with a package that goes round no more.
    """

    _clock: IReactorTime
    _queue: Queue
    _offers: Mapping[Digest, Offers]
    _packages: Mapping[Digest, Package]
    _held: Callable[[Package], Bits]
    rings: set[Digest] = field(factory=set, init=False)
    broken: Callable[[Digest], object] = field(init=False)
    #: None at a submitter: what does not keep up there is passed by for another one that asked.
    detour: Detour | None = field(default=None, init=False)
    push: Pusher = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.broken = self.end
        self.push = Pusher(self._clock, self._queue, self._offers, self._held)

    def known(self, digest: Digest) -> None:
        """Somebody wants this package, for the first time."""
        if digest in self.rings:
            self._offers[digest].ring.begin(self._clock.seconds())

    def heard(self, peer: PeerName, digest: Digest, word: Round) -> None:
        """C{peer} wants to be sent what comes of a package; or says that it goes round no more."""
        if word is Round.ENOUGH:
            self.push.enough(peer, digest)
        elif word is Round.WANTED and self.push.wanted(peer, digest):
            return
        elif digest in self._offers and word is Round.WANTED:
            self._wanted(peer, digest, self._offers[digest])
        elif digest in self._offers and word is Round.OVER:
            self.broken(digest)

    def _wanted(self, peer: PeerName, digest: Digest, offers: Offers) -> None:
        passed = offers.ring.feed(peer)
        if passed:
            self._queue.spare(digest)
        for slow in passed:
            offers.forget(slow)
            if self.detour is not None:
                self.detour.leave_out(digest, slow)

    def came(self, peer: PeerName, digest: Digest, index: int) -> None:
        """C{peer} sent a piece by itself: so it goes on."""
        if digest in self._offers:
            self._offers[digest].came(peer, index, self._clock.seconds())

    def passes_on(self, digest: Digest) -> bool:
        """Is a package passed on from here without being offered?"""
        return self._offers[digest].ring.goes or self.push.pushes(digest)

    def beside(self, usual: int) -> int:
        """How many pieces may be on the wire to those who asked for them."""
        return BESIDE if any(map(self.push.pushes, self._offers)) else usual

    def window(self, peer: PeerName, digest: Digest, usual: int) -> int:
        """How many pieces may be on the wire to C{peer}, who is sent some by themselves."""
        if self.push.below(peer, digest):
            return WINDOW_PUSHED
        return WINDOW_FED if self._queue.waits(peer)[0] < OLD else usual

    def feeds(self, peer: PeerName, digest: Digest) -> bool:
        """Is C{peer} the one to whom a package goes on from here?  Not who is fed as there is time."""
        return digest in self._offers and self._offers[digest].follower == peer

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone: what it was fed does not go round any more."""
        self.push.lost(peer)
        for digest, offers in list(self._offers.items()):
            if offers.ring.goes and peer in offers.ring.eaters:
                self.broken(digest)

    def end(self, digest: Digest) -> bool:
        """A package is to be offered from now on; did it go round until now?"""
        offers = self._offers.get(digest)
        if offers is None or offers.ring.over or self.push.pushes(digest):
            return False
        went, eaters = offers.ring.goes, list(offers.ring.eaters)
        offers.ring.end()
        self._queue.spare(digest)
        for peer in eaters:
            # What waited for it was promised.
            offers.forget(peer)
        return went

    def go_on(self, now: float) -> None:
        """Let what came wait for who is fed, like what others asked for."""
        self.push.go_on(now)
        for digest, offers in list(self._offers.items()):
            peer = offers.hungry
            waits, mute = self._queue.waits(peer) if peer == offers.follower else (0.0, 0.0)
            if peer is not None and self.detour is not None and offers.ring.look(waits, mute, now):
                self.detour.find(self._packages[digest], peer, offers.ring.looks)
            elif offers.ring.fails(waits, mute, now):
                self._fails(peer, digest, offers)
            elif peer is not None:
                self._feed(peer, self._packages[digest], offers, now)

    def _fails(self, peer: PeerName | None, digest: Digest, offers: Offers) -> None:
        if digest in self.rings and peer is not None and offers.pass_by(peer):
            # It may begin with anybody.
            self._queue.spare(digest)
        else:
            self.broken(digest)

    def _feed(self, peer: PeerName, package: Package, offers: Offers, now: float) -> None:
        queued, held = self._queue.queued(peer), self._held(package)
        while queued < QUEUED and (index := offers.next_for(peer, held, now)) is not None:
            self._queue.queue(peer, package, index)
            queued += 1
