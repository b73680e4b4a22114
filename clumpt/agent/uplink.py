"""
What this peer sends next: one piece after the other, so that the wire is never
idle and what is decided late is decided well.

Pieces wait here, not in the buffers of the kernel; so a small message never
waits behind megabytes, and the next piece is chosen by what is known now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clumpt.agent.offers import Offers
from clumpt.agent.rate import Bucket
from clumpt.errors import Busy, NotHere
from clumpt.interfaces import ILink
from clumpt.model import Package, PeerName
from clumpt.pieces import Bits, Digest

#: Pieces that may be on the wire, until the peer shows that it has them: half of them fill the way there,
#: the others are those whose acknowledgement is on the way back.
WINDOW = 8
#: Pieces offered, asked for, or on the wire, together: how far ahead is decided.
AHEAD = 24
#: With fewer than these, what others may give as well is offered too.
IDLE = 14
#: Requests of one peer that may wait; more are answered with Busy.
MOST_WAITING = 16
#: Seconds after which a piece that is not acknowledged does not count any more.
CLOGGED = 0.5
#: Seconds after which an unanswered offer counts as declined.
UNANSWERED = 2.0


@define(eq=False)
class _Request:
    peer: PeerName
    digest: Digest
    index: int
    read: Callable[[], bytes]
    length: int
    answer: Deferred[bytes]


@define(eq=False)
class Uplink:
    """
    The requests that wait to be answered, and the offers that bring them.

    @ivar rate: bytes a second in total.
    @ivar source: is this a submitter, which gives each piece away once?
    @ivar links: the open links.
    @ivar held: the pieces of a package that can be given.
    """

    _reactor: IReactorTime
    _random: Random
    rate: Bucket
    _source: bool
    _links: Callable[[], Mapping[PeerName, ILink]]
    _held: Callable[[Package], Bits]
    _waiting: list[_Request] = field(factory=list, init=False)
    _unheard: dict[tuple[PeerName, Digest, int], float] = field(factory=dict, init=False)
    _offers: dict[Digest, Offers] = field(factory=dict, init=False)
    _packages: dict[Digest, Package] = field(factory=dict, init=False)
    _offered: dict[PeerName, float] = field(factory=dict, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _free_at: float = field(default=0.0, init=False)

    def saw(self, peer: PeerName, package: Package, bits: Bits) -> None:
        """C{peer} wants C{package} and holds these pieces of it."""
        digest = package.sha256
        self._heard(peer, digest, bits)
        if digest not in self._offers:
            if len(bits) == package.pieces.count:
                return
            self._packages[digest] = package
            self._offers[digest] = Offers(package.pieces.count, self._random, self._source)
        self._offers[digest].saw(peer, bits)
        self._tidy(digest)
        self.go_on()

    def _tidy(self, digest: Digest) -> None:
        if self._offers[digest].idle and not self._source:
            del self._offers[digest], self._packages[digest]

    def _heard(self, peer: PeerName, digest: Digest, bits: Bits) -> None:
        for key in [key for key in self._unheard if key[:2] == (peer, digest) and key[2] in bits]:
            del self._unheard[key]

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone."""
        for key in [key for key in self._unheard if key[0] == peer]:
            del self._unheard[key]
        for offers in self._offers.values():
            offers.lost(peer)
        self.go_on()

    def declined(self, peer: PeerName, digest: Digest, index: int) -> None:
        """C{peer} does not want what was offered."""
        if digest in self._offers:
            self._offers[digest].declined(peer, index, self._reactor.seconds())
            self._tidy(digest)
            self.go_on()

    def ask(self, peer: PeerName, package: Package, index: int, read: Callable[[], bytes]) -> Deferred[bytes]:
        """
        C{peer} asks for a piece; fires with what C{read} gives, when it is its turn.

        Fails with L{clumpt.errors.Busy}; cancelling it frees the place.
        """
        if sum(request.peer == peer for request in self._waiting) >= MOST_WAITING:
            raise Busy(1.0)
        if package.sha256 in self._offers:
            self._offers[package.sha256].answered(peer, index, self._reactor.seconds())
        answer: Deferred[bytes] = Deferred(lambda _: self._cancelled(request))
        length = package.pieces.length(index)
        request = _Request(peer, package.sha256, index, read, length, answer)
        self._waiting.append(request)
        self.go_on()
        return answer

    def _cancelled(self, request: _Request) -> None:
        if request in self._waiting:
            self._waiting.remove(request)
        request.answer.errback(CancelledError())

    def stop(self) -> None:
        """Send nothing more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._offers.clear()
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.answer.errback(Busy(1.0))

    def go_on(self) -> None:
        """Send and offer what can be sent and offered now."""
        now = self._reactor.seconds()
        while self._on_the_wire(now) < WINDOW and (request := self._next(now)) is not None:
            self._grant(request, now)
        self._offer(now)
        self._look_later(now)

    def _on_the_wire(self, now: float) -> int:
        return sum(now - since < CLOGGED for since in self._unheard.values())

    def _next(self, now: float) -> _Request | None:
        """The request to answer now: of those whose link has room, the one for the rarest piece."""
        if self._free_at > now:
            return None
        links = self._links()
        able = [one for one in self._waiting if one.peer not in links or not links[one.peer].full]
        return min(able, key=self._copies, default=None)

    def _copies(self, request: _Request) -> int:
        offers = self._offers.get(request.digest)
        return offers.copies(request.index) if offers is not None else 0

    def _grant(self, request: _Request, now: float) -> None:
        self._waiting.remove(request)
        self._free_at = now + self.rate.take(request.length, now)
        if request.digest in self._offers:
            # Others do not want the rest, so they do not tell that they have this.
            self._unheard[request.peer, request.digest, request.index] = now
        try:
            data = request.read()
        except NotHere as gone:
            request.answer.errback(gone)
        else:
            request.answer.callback(data)

    def _offer(self, now: float) -> None:
        links = self._links()
        full = {peer for peer, link in links.items() if link.full}
        for digest, offers in list(self._offers.items()):
            held = self._held(self._packages[digest])
            while self._ahead() < AHEAD:
                offer = offers.choose(held, full, self._ahead() < IDLE, now)
                if offer is None:
                    break
                peer, index = offer
                if peer in links:
                    self._offered[peer] = now
                    links[peer].offer(digest, index)
                else:
                    offers.lost(peer)

    def _ahead(self) -> int:
        unanswered = sum(offers.unanswered for offers in self._offers.values())
        return unanswered + len(self._waiting) + len(self._unheard)

    def _look_later(self, now: float) -> None:
        """Some things happen only because time passes: the rate, clogged links, silence after an offer."""
        if self._timer is not None and self._timer.active():
            return
        if self._waiting and self._free_at > now:
            self._timer = self._reactor.callLater(self._free_at - now, self._look)
        elif self._offers or self._waiting:
            self._timer = self._reactor.callLater(CLOGGED, self._look)

    def _look(self) -> None:
        now = self._reactor.seconds()
        for key, since in list(self._unheard.items()):
            if now - since > UNANSWERED:
                del self._unheard[key]
        for peer, since in list(self._offered.items()):
            if now - since > UNANSWERED:
                del self._offered[peer]
                for offers in self._offers.values():
                    offers.forget(peer)
        self.go_on()
