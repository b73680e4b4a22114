"""
What this peer sends next: one piece after the other, so that the wire is never
idle and what is decided late is decided well.

Pieces wait here, not in the buffers of the kernel; so a small message never
waits behind megabytes, and the next piece is chosen by what is known now.
Requests for pieces that are on their way here wait for them to come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clumpt.agent.feeder import Feeder
from clumpt.agent.near import Near
from clumpt.agent.offers import Offers
from clumpt.agent.rate import Bucket
from clumpt.agent.waiting import Full, Request, unasked, unheard
from clumpt.errors import Busy, NotHere
from clumpt.interfaces import ILink
from clumpt.model import Package, PeerName
from clumpt.pieces import NONE, Bits, Digest, Round

#: Pieces that may be on the wire, until the peer shows that it has them: half of them fill the way there,
#: the others are those whose acknowledgement is on the way back.
WINDOW = 10
#: Of them, those to one peer, if there are others: a slow one does not take all.
WINDOW_EACH = 5
#: Offers that were not answered, and requests that can be granted: so many that the wire is hardly ever idle.
READY = 14
#: The same and the requests that wait for pieces: how far ahead is decided.
AHEAD = 20
#: Requests of one peer that may wait; more are answered with Busy.
MOST_WAITING = 16
#: A piece that is not acknowledged does not count any more after this many times the usual wait ...
CLOGGED = 4.0
#: ... but never before this many seconds.
CLOGGED_AT_LEAST = 0.5
#: The usual wait changes by this part of the newest.
SMOOTH = 0.125
#: Seconds after which an unanswered offer counts as declined, and a request for a piece that does not come
#: is given up.
UNANSWERED = 3.0
#: Seconds between looks at what did not happen.
LOOK = 0.25
#: A peer that owes us a word and has said nothing for so many seconds is as good as gone, until it does.
SILENT = 1.0


@define(eq=False)
class Uplink:
    """
    The requests that wait to be answered, and the offers that bring them.

    @ivar rate: bytes a second in total.
    @ivar source: is this a submitter, which gives each piece away once?
    @ivar links: the open links.
    @ivar held: the pieces of a package that can be given.
    @ivar soon: those that are on their way here, and can be given then.
    @ivar read: a piece that is about to be sent to a peer; raises L{clumpt.errors.NotHere}.
    @ivar near: where peers stand, None if it does not matter.
    @ivar fanout: peers that are sent pieces at one time, at most.
    """

    _reactor: IReactorTime
    _random: Random
    rate: Bucket
    _source: bool
    _links: Callable[[], Mapping[PeerName, ILink]]
    _held: Callable[[Package], Bits]
    _soon: Callable[[Package], Bits]
    _read: Callable[[PeerName, Package, int], bytes]
    fanout: int = WINDOW
    near: Near | None = None
    feeder: Feeder = field(init=False)
    _waiting: list[Request] = field(factory=list, init=False)
    #: Requests for pieces that are on their way here.
    _early: list[Request] = field(factory=list, init=False)
    #: When what was sent, that the peer did not show to have yet.
    _unheard: dict[PeerName, dict[tuple[Digest, int], float]] = field(factory=dict, init=False)
    usual: float = field(default=CLOGGED_AT_LEAST / CLOGGED, init=False)
    _offers: dict[Digest, Offers] = field(factory=dict, init=False)
    _packages: dict[Digest, Package] = field(factory=dict, init=False)
    #: When a peer was offered something last.
    _offered: dict[PeerName, float] = field(factory=dict, init=False)
    #: When those were heard last that are silent.
    _silent: dict[PeerName, float] = field(factory=dict, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)
    _going: bool = field(default=False, init=False)
    _changed: bool = field(default=False, init=False)
    _free_at: float = field(default=0.0, init=False)
    _stopped: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.feeder = Feeder(self._reactor, self, self._offers, self._packages, self._held)

    # What others hold, want and decline.

    def saw(self, peer: PeerName, package: Package, bits: Bits, coming: Bits = NONE) -> None:
        """C{peer} wants C{package} and holds these pieces of it; C{coming} are on their way to it."""
        digest = package.sha256
        self._heard(peer, digest, bits)
        offers = self._offers.get(digest)
        if offers is None:
            if len(bits) == package.pieces.count or package.pieces.count < 2:
                # What is one piece is asked for by all who hear that it is here.
                return
            self._packages[digest] = package
            offers = Offers(package.pieces.count, self._random, self._source, self.near)
            self._offers[digest] = offers
            self.feeder.known(digest)
        offers.saw(peer, bits)
        if self.feeder.passes_on(digest):
            self._spare(lambda one: (one.peer, one.digest) == (peer, digest) and bits.value >> one.index & 1)
        offers.awaits(peer, coming, self._reactor.seconds())
        if len(bits) == package.pieces.count:
            self._tidy(digest)
        self.go_on()

    def _spare(self, needless: Callable[[Request], object]) -> None:
        """Some of what nobody asked for need not be sent any more."""
        self._waiting = [one for one in self._waiting if one.asked or not needless(one)]

    def _tidy(self, digest: Digest) -> None:
        if self._offers[digest].idle and not self._source:
            del self._offers[digest], self._packages[digest]

    def _heard(self, peer: PeerName, digest: Digest, bits: Bits) -> None:
        sent = self._unheard.get(peer)
        if not sent:
            return
        for key in [key for key in sent if bits.value >> key[1] & 1 and key[0] == digest]:
            wait = self._reactor.seconds() - sent.pop(key)
            self.usual += SMOOTH * (wait - self.usual)

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone."""
        self._unheard.pop(peer, None)
        self._silent.pop(peer, None)
        for offers in self._offers.values():
            offers.lost(peer)
        self._spare(lambda one: one.peer == peer)
        self.feeder.lost(peer)
        self.go_on()

    def forget(self, peer: PeerName, digest: Digest) -> None:
        """C{peer} lost pieces of this package."""
        if digest in self._offers:
            self._offers[digest].lost(peer)

    def declined(self, peer: PeerName, digest: Digest, index: int) -> None:
        """C{peer} does not want what was offered."""
        if digest in self._offers:
            self._offers[digest].declined(peer, index, self._reactor.seconds())
            self._tidy(digest)
            self.go_on()

    def ask(self, peer: PeerName, package: Package, index: int, read: Callable[[], bytes]) -> Deferred[bytes]:
        """
        C{peer} asks for a piece that is here or on its way.

        Fires with what C{read} gives, when it is its turn.  Fails with L{clumpt.errors.NotHere} if the
        piece does not come after all; cancelling it frees the place.  Raises L{clumpt.errors.Busy}.
        """
        asked = sum(request.peer == peer for request in (*self._waiting, *self._early))
        if self._stopped or asked >= MOST_WAITING:
            raise Busy(1.0)
        if package.sha256 in self._offers:
            self._offers[package.sha256].asked(peer, index)
        answer: Deferred[bytes] = Deferred(lambda _: self._cancelled(request))
        length, now = package.pieces.length(index), self._reactor.seconds()
        request = Request(peer, package.sha256, index, read, length, now, answer.callback, answer.errback)
        here = index in self._held(package)
        (self._waiting if here else self._early).append(request)
        self.go_on()
        return answer

    # What goes round.

    def goes_round(self, peer: PeerName, digest: Digest, word: Round) -> None:
        """C{peer} wants to be sent what comes of a package; or says that it goes round no more."""
        self.feeder.heard(peer, digest, word)
        self.go_on()

    def unring(self, digest: Digest) -> bool:
        """A package is to be offered from now on; did it go round until now?"""
        went = self.feeder.end(digest)
        self.go_on()
        return went

    def queued(self, peer: PeerName) -> int:
        """How many pieces wait for C{peer}."""
        return sum(request.peer == peer for request in self._waiting)

    def queue(self, peer: PeerName, package: Package, index: int) -> None:
        """Let a piece wait that C{peer} did not ask for."""
        self._waiting.append(unasked(peer, package, index, self._read, self._links, self._reactor.seconds()))

    def spare(self, digest: Digest) -> None:
        """None of a package need be sent but what was asked for."""
        self._spare(lambda one: one.digest == digest)

    def waits(self, peer: PeerName | None) -> tuple[float, float]:
        """Seconds for which C{peer} does not show to have something that it was sent, or says nothing."""
        link = self._links().get(peer) if peer is not None else None
        return unheard(link, self._unheard, self._reactor.seconds())

    def _cancelled(self, request: Request) -> None:
        for queue in (self._waiting, self._early):
            if request in queue:
                queue.remove(request)
        request.fail(CancelledError())

    # What comes here, or does not.

    def arrived(self, package: Package, index: int) -> None:
        """A piece is here that may have been asked for already."""
        self.feeder.push.moved(package.sha256)
        for request in [one for one in self._early if one.index == index and one.digest == package.sha256]:
            self._early.remove(request)
            self._waiting.append(request)
        self.go_on()

    def missed(self, package: Package) -> None:
        """Something that was on its way here does not come: who asked for it must look elsewhere."""
        able = self._held(package).value | self._soon(package).value
        self._give_up(
            [one for one in self._early if one.digest == package.sha256 and not able >> one.index & 1]
        )

    def _give_up(self, requests: list[Request]) -> None:
        for request in requests:
            if request in self._early:
                self._early.remove(request)
                if request.digest in self._offers:
                    self._offers[request.digest].missed(request.peer, request.index)
                request.fail(NotHere(f"piece {request.index} did not come"))

    def stop(self) -> None:
        """Send nothing more, though links may be open for a moment yet."""
        self._stopped = True
        for timer in (self._timer, self._next):
            if timer is not None and timer.active():
                timer.cancel()
        self._offers.clear()
        for queue in (self._waiting, self._early):
            while queue:
                queue.pop().fail(Busy(1.0))

    # Sending and offering.

    def go_on(self) -> None:
        """Send and offer what can be sent and offered now."""
        self._changed = True
        if self._going or self._stopped:
            # Called from within: what is said may free a link, or bring an answer, at once.
            return
        self._going = True
        try:
            while self._changed:
                self._changed = False
                now = self._reactor.seconds()
                self.feeder.go_on(now)
                if self._waiting and self._free_at <= now:
                    self._send(now)
                if self._offers:
                    self._offer(now)
        finally:
            self._going = False
        self._look_later(now)

    def _send(self, now: float) -> None:
        clogged = now - max(CLOGGED_AT_LEAST, CLOGGED * self.usual)
        flying = {
            peer: number
            for peer, sent in self._unheard.items()
            if (number := sum(at > clogged for at in sent.values()))
        }
        fed = {request.peer for request in self._waiting if not request.asked}
        room = self.feeder.beside(WINDOW) - sum(number for peer, number in flying.items() if peer not in fed)
        links = self._links()
        each = WINDOW_EACH if len(links) > 1 else WINDOW
        # What is passed on without being asked for goes first, as many others wait for it.
        for request in sorted(self._waiting, key=lambda one: one.asked):
            peer = request.peer
            if self._free_at > now:
                break
            able = request in self._waiting and (peer not in links or not links[peer].full)
            able = able and (peer in flying or len(flying) < self.fanout) and (peer in fed or room > 0)
            most = self.feeder.window(peer, request.digest, each) if peer in fed else each
            if able and flying.get(peer, 0) < most:
                flying[peer] = flying.get(peer, 0) + 1
                room -= peer not in fed
                self._grant(request, now)

    def _grant(self, request: Request, now: float) -> None:
        self._waiting.remove(request)
        self._free_at = now + self.rate.take(request.length, now)
        if request.digest in self._offers:
            # Others do not want the rest, so they do not tell that they have this.
            self._unheard.setdefault(request.peer, {})[request.digest, request.index] = now
        try:
            data = request.read()
        except NotHere as gone:
            request.fail(gone)
        else:
            request.give(data)

    def _offer(self, now: float) -> None:
        for digest, offers in list(self._offers.items()):
            if self.feeder.passes_on(digest):
                continue
            if self._ready() >= READY:
                return
            package, links = self._packages[digest], self._links()
            here, soon = self._held(package), self._soon(package)
            full = Full(links)
            while (ready := self._ready()) < READY:
                offer = offers.choose(here, soon if ready + len(self._early) < AHEAD else NONE, full, now)
                if offer is None:
                    break
                peer, index = offer
                if peer in links:
                    self._offered[peer] = now
                    links[peer].offer(digest, index)
                else:
                    offers.lost(peer)

    def _ready(self) -> int:
        return sum(offers.unanswered for offers in self._offers.values()) + len(self._waiting)

    def _look_later(self, now: float) -> None:
        """Some things happen only because time passes: the rate, and silence after an offer or a piece."""
        if self._waiting and self._free_at > now and not _active(self._next):
            self._next = self._reactor.callLater(self._free_at - now, self.go_on)
        busy = self._offers or self._waiting or self._early or self.feeder.push.busy
        if busy and not _active(self._timer):
            self._timer = self._reactor.callLater(LOOK, self._look)

    def _look(self) -> None:
        now = self._reactor.seconds()
        long_ago = now - UNANSWERED
        self._listen(now)
        self.feeder.push.look(now)
        for peer, sent in list(self._unheard.items()):
            for key in [key for key, since in sent.items() if since < long_ago]:
                del sent[key]
            if not sent:
                del self._unheard[peer]
        for peer, since in list(self._offered.items()):
            if since < long_ago:
                del self._offered[peer]
                for offers in self._offers.values():
                    offers.forget(peer)
        self._give_up([request for request in self._early if request.since < long_ago])
        self.go_on()

    def _listen(self, now: float) -> None:
        """Who is silent?  What they were sent or offered must not keep us, and is for others."""
        links = self._links()
        for peer, since in list(self._silent.items()):
            if peer in links and links[peer].heard > since:
                del self._silent[peer]
                for offers in self._offers.values():
                    offers.heard(peer)
        long_ago = now - max(SILENT, CLOGGED * self.usual)
        for peer, link in links.items():
            if peer not in self._silent and max(self._owing(peer, now), link.heard) < long_ago:
                self._silent[peer] = link.heard
                self._expect_nothing(peer)

    def _expect_nothing(self, peer: PeerName) -> None:
        """C{peer} is silent; who hears that of one request may take back others, or go on with them."""
        self._unheard.pop(peer, None)
        self._offered.pop(peer, None)
        for offers in self._offers.values():
            offers.silent(peer)
        for request in [one for one in (*self._waiting, *self._early) if one.peer == peer]:
            for queue in (self._waiting, self._early):
                if request in queue:
                    queue.remove(request)
                    request.fail(Busy(SILENT))

    def _owing(self, peer: PeerName, now: float) -> float:
        """Since when C{peer} owes us a word; C{now} if it does not."""
        sent = self._unheard.get(peer)
        since = min(sent.values()) if sent else now
        if any(offers.answer_due(peer) for offers in self._offers.values()):
            since = min(since, self._offered.get(peer, now))
        return since


def _active(timer: IDelayedCall | None) -> bool:
    return timer is not None and bool(timer.active())
