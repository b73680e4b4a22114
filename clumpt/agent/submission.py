"""The submitter's side: tell a random share of the groups' peers, serve them, and go (R62-R65)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from clumpt.agent.errand import Errand, Seeded
from clumpt.agent.planter import Planter
from clumpt.agent.serve import Server
from clumpt.agent.visitor import Visitor
from clumpt.errors import PeerUnreachable
from clumpt.idset import IdSet
from clumpt.interfaces import ILink, INetwork, IPeerEvents
from clumpt.model import Address, Entry, Package, PeerName, Seq
from clumpt.pieces import NONE, Bits, Digest, Round
from clumpt.trees import TREES, plant

#: Peers dialled and served at the same time.
DIALS = 32
#: Seconds between looks at who makes progress.
WATCH = 0.5
#: Seconds without a link after which another peer is dialled as well: silence becomes an error much later.
UNANSWERED = 1.5
#: Seconds after which a peer that is told, but not at the top of a tree, hears of the updates from here: who
#: knows them asks for the hashes of pieces at once, and would keep the others waiting.
LATER = 1.0
#: Seconds without any progress after which another peer is told as well (H8).
STALLED = 30.0
#: Seconds, about, before peers that were lost are dialled again; doubled each time, up to the second.
AGAIN, AGAIN_MOST = 2.0, 30.0
#: How often they are dialled again if others have received; if nobody has, nobody but us holds the packages.
ROUNDS = 3
#: Envelopes in one page of the table.
PAGE = 64


@define(eq=False)
class _Told:
    """
    A peer that was told; what it has, and when it last showed that something goes on.

    @ivar notified: was it told of the updates?
    @ivar pieces: those that it holds, and C{table}: how many updates it has.
    """

    link: ILink
    moved: float
    head: Seq
    notified: bool = False
    sent: int = 0
    holding: set[Digest] = field(factory=set)
    pieces: dict[Digest, int] = field(factory=dict)
    table: int = 0


@implementer(IPeerEvents)
@define(eq=False)
class Submission(Visitor):
    """
    Brings entries and their packages to some of the peers, and ends when these have received them.

    Begin by starting the network with it: so that nothing is registered where nobody could be served.

    @ivar told: called with what was reached so far, when that changes and before peers are dialled again.
    @ivar began: when the first peer was notified, by the clock; None before.
    """

    _reactor: IReactorTime
    _random: Random
    _network: INetwork
    _server: Server
    told: Callable[[Seeded], None] = lambda so_far: None
    began: float | None = field(default=None, init=False)
    received: set[PeerName] = field(factory=set, init=False)
    unreachable: set[PeerName] = field(factory=set, init=False)
    slow: set[PeerName] = field(factory=set, init=False)
    _errand: Errand = field(default=Errand((), {}, {}, 0), init=False)
    _needed: set[Digest] = field(factory=set, init=False)
    _left: list[PeerName] = field(factory=list, init=False)
    #: Those that nobody took the place of yet.
    _trying: set[PeerName] = field(factory=set, init=False)
    #: When those were dialled that did not answer yet.
    _calls: dict[PeerName, float] = field(factory=dict, init=False)
    _links: dict[PeerName, _Told] = field(factory=dict, init=False)
    _done: Deferred[Seeded] = field(factory=Deferred, init=False)
    _deadline: IDelayedCall | None = field(default=None, init=False)
    _watching: IDelayedCall | None = field(default=None, init=False)
    _again: IDelayedCall | None = field(default=None, init=False)
    _rounds: int = field(default=0, init=False)
    _planted: bool = field(default=False, init=False)
    _log = Logger()

    def run(self, errand: Errand, within: float) -> Deferred[Seeded]:
        """
        Do the errand, once.

        Fires when the wanted number have received, when C{within} seconds are over, or when some have
        received and the others were tried again in vain, with what was reached.  What the server does not
        hold is left for the peers to find elsewhere.
        Peers that are linked are served until the network is stopped.
        """
        self._errand = errand
        newest = errand.entries[-1]
        self.greeting = (self.greeting[0], newest.seq, newest.digest, self.greeting[3])
        self._left = sorted(errand.candidates)
        self._random.shuffle(self._left)
        for package in errand.packages.values():
            self._server.know(package)
        feeder = self._server.uplink.feeder
        feeder.rings.update(errand.rings)
        feeder.broken = self._over
        Planter(self._reactor, self._network, feeder.push, self._find, self._announce)
        self._needed = {
            digest for digest, package in errand.packages.items() if len(self._server.held(package))
        }
        self._deadline = self._reactor.callLater(within, self._end)
        self._watch()
        self._more()
        return self._done

    def _over(self, digest: Digest) -> None:
        """A package does not go round any more; whoever was told is to know it at once."""
        if self._server.uplink.unring(digest):
            for told in list(self._links.values()):
                told.link.feed(digest, Round.OVER, 0)

    @property
    def so_far(self) -> Seeded:
        """What was reached until now."""
        return Seeded(frozenset(self.received), frozenset(self.unreachable), frozenset(self.slow))

    def _more(self) -> None:
        """Dial as many more candidates as are needed in the place of those that failed (H8)."""
        while (
            self._left
            and len(self._trying) < DIALS
            and len(self.received) + len(self._trying) < self._errand.told
            and not self._done.called
        ):
            peer = self._left.pop()
            self._trying.add(peer)
            self._calls[peer] = self._reactor.seconds()
            self._network.dial(peer, self._errand.candidates[peer]).addCallbacks(
                self._dialled, self._failed, errbackArgs=(peer,)
            )
        if len(self.received) >= self._errand.wanted:
            self._end()
        elif not (self._left or self._trying or self._calls or self.slow or self._again or self._done.called):
            self._dial_again()

    def _dial_again(self) -> None:
        """Nobody is left; but a peer may start again, or have been called by another submitter."""
        if not self.unreachable or (self.received and self._rounds >= ROUNDS):
            self._end()
            return
        self.told(self.so_far)
        pause = min(AGAIN_MOST, AGAIN * 2**self._rounds) * self._random.uniform(0.5, 1.5)
        self._rounds += 1
        self._again = self._reactor.callLater(pause, self._take_up)

    def _take_up(self) -> None:
        self._again = None
        self._left = sorted(self.unreachable)
        self._random.shuffle(self._left)
        self._more()

    def _dialled(self, link: ILink) -> None:
        del self._calls[link.peer]
        if self._done.called:
            return
        self.unreachable.discard(link.peer)
        self._trying.add(link.peer)
        now = self._reactor.seconds()
        self.began = now if self.began is None else self.began
        told = self._links[link.peer] = _Told(link, now, link.head)
        if self._errand.pushed:
            self._plant()
        else:
            self._notify(told)

    def _notify(self, told: _Told) -> None:
        if not told.notified:
            told.notified = True
            entries = self._errand.entries
            told.link.notify(entries, [entry.seq for entry in entries if self._whole(entry)])

    # The trees.

    def _plant(self) -> None:
        """The first who are linked stand at the top, all others in any order below."""
        top = list(self._links)[:TREES]
        if self._planted or len(top) < TREES:
            return
        self._planted = True
        rest = sorted(set(self._errand.candidates).difference(top))
        self._random.shuffle(rest)
        for package in self._errand.pushed:
            for branch in plant([*top, *rest]):
                self._server.uplink.feeder.push.grow(package, branch)

    def _find(self, peer: PeerName) -> Deferred[Sequence[Address]]:
        return succeed(self._errand.candidates[peer])

    def _announce(self, link: ILink, package: Package) -> None:
        """C{link} is to pass a package on, perhaps in place of another one."""
        told = self._links.get(link.peer)
        if told is None or told.link is not link:
            told = self._links[link.peer] = _Told(link, self._reactor.seconds(), link.head)
        self._notify(told)

    # Who is told, and what becomes of it.

    def _whole(self, entry: Entry) -> bool:
        packages = entry.update.packages
        return bool(packages) and all(package.sha256 in self._needed for package in packages)

    def _failed(self, failure: object, peer: PeerName) -> None:
        trouble = getattr(failure, "value", failure)
        if not isinstance(trouble, PeerUnreachable):
            self._log.error("dialling {peer} failed oddly: {trouble}", peer=peer, trouble=trouble)
        del self._calls[peer]
        self._gone(peer)
        # Even if another one took its place long ago: it may have been the last that could still answer.
        self._more()

    def _gone(self, peer: PeerName) -> None:
        self._links.pop(peer, None)
        if peer in self._trying or peer in self.slow:
            self._trying.discard(peer)
            self.slow.discard(peer)
            self.unreachable.add(peer)
            self._more()

    def _watch(self) -> None:
        self._watching = self._reactor.callLater(WATCH, self._look_around)

    def _look_around(self) -> None:
        """Tell others, too, if somebody does not answer or makes no progress."""
        now = self._reactor.seconds()
        late = {peer for peer, since in self._calls.items() if now - since >= UNANSWERED}
        self._trying -= late
        self.unreachable |= late
        for peer, told in self._links.items():
            if now - told.moved >= LATER:
                self._notify(told)
            sent = self._server.sent.get(peer, 0)
            if sent != told.sent:
                told.sent, told.moved = sent, now
            if peer in self._trying and now - told.moved >= STALLED:
                self._trying.discard(peer)
                self.slow.add(peer)
        self._watch()
        self._more()

    def stop(self) -> None:
        """Begin nothing more, send nothing more; what L{run} returned fires with what was reached."""
        self._server.uplink.stop()
        self._end()

    def _end(self) -> None:
        for timer in (self._deadline, self._watching, self._again):
            if timer is not None and timer.active():
                timer.cancel()
        if not self._done.called:
            self._done.callback(self.so_far)

    def _moves(self, told: _Told) -> None:
        """It shows something new: nobody need take its place.  Who only talks is soon replaced."""
        told.moved = self._reactor.seconds()

    def _holds(self, link: ILink, digests: Collection[Digest]) -> None:
        told = self._links.get(link.peer)
        if told is not None:
            if not told.holding.issuperset(digests):
                told.holding.update(digests)
                self._moves(told)
            self._look(told)

    def _look(self, told: _Told) -> None:
        """Has this peer received everything?"""
        peer = told.link.peer
        if peer in self.received or told.head < self._errand.entries[-1].seq:
            return
        if self._needed <= told.holding:
            self._trying.discard(peer)
            self.slow.discard(peer)
            self.received.add(peer)
            self.told(self.so_far)
            self._more()

    # What linked peers tell and ask: L{IPeerEvents}.

    def unlinked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""
        told = self._links.get(link.peer)
        if told is None or told.link is link:
            self._server.uplink.lost(link.peer)
            self._gone(link.peer)

    def acked(self, link: ILink, head: Seq) -> None:
        """See L{IPeerEvents}."""
        told = self._links.get(link.peer)
        if told is not None:
            if head > told.head:
                told.head = head
                self._moves(told)
            self._look(told)

    def notified(self, link: ILink, envelopes: Sequence[bytes], holding: Collection[Seq], head: Seq) -> bool:
        """See L{IPeerEvents}; what others submitted meanwhile does not matter here."""
        self.acked(link, head)
        held = [entry for entry in self._errand.entries if entry.seq in holding]
        self._holds(link, [package.sha256 for entry in held for package in entry.update.packages])
        return False

    def table_wanted(self, link: ILink, have: IdSet) -> Sequence[bytes]:
        """See L{IPeerEvents}: the new entries, and the earlier ones a peer may lack."""
        told = self._links.get(link.peer)
        if told is not None and len(have) > told.table:
            told.table = len(have)
            self._moves(told)
        known = dict(self._errand.earlier) | {entry.seq: entry.envelope for entry in self._errand.entries}
        return [known[seq] for seq in sorted(known) if seq not in have][:PAGE]

    def hashes_wanted(self, link: ILink, digest: Digest) -> Deferred[bytes]:
        """See L{IPeerEvents}."""
        return self._server.hashes(digest)

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """See L{IPeerEvents}."""
        return self._server.piece(link, digest, index)

    def holding_told(self, link: ILink, digest: Digest, raw: bytes) -> None:
        """See L{IPeerEvents}."""
        package = self._server.package(digest)
        if package is not None:
            self._saw(link, package, Bits.decode(raw, package.pieces.count))

    def have_told(self, link: ILink, digest: Digest, held: Bits, coming: Bits) -> None:
        """See L{IPeerEvents}."""
        package = self._server.package(digest)
        if package is not None and not (held.value | coming.value) >> package.pieces.count:
            self._saw(link, package, held, coming)

    def _saw(self, link: ILink, package: Package, bits: Bits, coming: Bits = NONE) -> None:
        self._server.uplink.saw(link.peer, package, bits, coming)
        told, digest = self._links.get(link.peer), package.sha256
        if told is not None and bits.value & ~told.pieces.get(digest, 0):
            told.pieces[digest] = told.pieces.get(digest, 0) | bits.value
            self._moves(told)
        if len(bits) == package.pieces.count:
            self._holds(link, [package.sha256])

    def declined(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""
        self._server.declined(link.peer, digest, index)

    def goes_round(self, link: ILink, digest: Digest, word: Round) -> None:
        """See L{IPeerEvents}."""
        self._server.goes_round(link, digest, word)

    def drained(self, link: ILink) -> None:
        """See L{IPeerEvents}."""
        self._server.uplink.go_on()
