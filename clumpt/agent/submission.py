"""The submitter's side: tell a random share of the groups' peers, serve them, and go (R62-R65)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import ceil
from random import Random

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from clumpt.agent.serve import Server
from clumpt.errors import NotHere, PeerUnreachable
from clumpt.idset import IdSet
from clumpt.interfaces import ILink, INetwork, IPeerEvents
from clumpt.model import Address, Entry, Package, PeerName, Seq
from clumpt.pieces import Bits, Digest

#: Peers dialled at the same time.
DIALS = 32


def share(peers: int, percentage: int) -> int:
    """How many of C{peers} are told first: the percentage of them, at least one (R62)."""
    return min(peers, max(1, ceil(peers * percentage / 100)))


@frozen
class Seeded:
    """
    How a submission ended.

    @ivar received: peers that hold the updates and all their packages.
    @ivar unreachable: peers that were chosen and did not answer; others took their place (H8).
    """

    received: frozenset[PeerName]
    unreachable: frozenset[PeerName]


@implementer(IPeerEvents)
@define(eq=False)
class Submission:
    """
    Brings entries and their packages to some of the peers, and ends when these have received them.

    @ivar greeting: what to say in L{hello}.
    @ivar judge: raises if a peer may not link, as L{IPeerEvents.admit}.
    @ivar entries: the new entries, in order.
    @ivar earlier: envelopes that a peer may lack before them; from the directory.
    @ivar candidates: the peers of the target groups and where they listen.
    @ivar wanted: how many must have received.
    @ivar told: called with the peers that received so far, whenever that changes.
    """

    _reactor: IReactorTime
    _random: Random
    _network: INetwork
    _server: Server
    greeting: tuple[str, Seq, Digest, bytes]
    judge: Callable[[PeerName, Digest, bytes], object]
    entries: Sequence[Entry]
    earlier: Mapping[Seq, bytes]
    candidates: Mapping[PeerName, Sequence[Address]]
    wanted: int
    told: Callable[[Collection[PeerName]], None]
    received: set[PeerName] = field(factory=set, init=False)
    unreachable: set[PeerName] = field(factory=set, init=False)
    _left: list[PeerName] = field(factory=list, init=False)
    _trying: set[PeerName] = field(factory=set, init=False)
    _holding: dict[PeerName, set[Digest]] = field(factory=dict, init=False)
    _done: Deferred[Seeded] = field(factory=Deferred, init=False)
    _deadline: IDelayedCall | None = field(default=None, init=False)
    _log = Logger()

    def run(self, within: float) -> Deferred[Seeded]:
        """
        Begin; the network must have been started with this object.

        Fires when the wanted number have received, or when C{within} seconds are over or no candidate is
        left, with what was reached.
        """
        self._left = sorted(self.candidates)
        self._random.shuffle(self._left)
        self._deadline = self._reactor.callLater(within, self._end)
        for package in (package for entry in self.entries for package in entry.update.packages):
            self._server.know(package)
        self._more()
        return self._done

    def _more(self) -> None:
        """Dial as many more candidates as are needed in the place of those that failed (H8)."""
        while (
            self._left
            and len(self._trying) < DIALS
            and len(self.received) + len(self._trying) < self.wanted
            and not self._done.called
        ):
            peer = self._left.pop()
            self._trying.add(peer)
            self._network.dial(peer, self.candidates[peer]).addCallbacks(
                self._dialled, self._failed, errbackArgs=(peer,)
            )
        enough = len(self.received) >= self.wanted
        if enough or not (self._left or self._trying):
            self._end()

    def _dialled(self, link: ILink) -> None:
        if not self._done.called:
            link.notify(self.entries, [entry.seq for entry in self.entries if entry.update.packages])

    def _failed(self, failure: object, peer: PeerName) -> None:
        trouble = getattr(failure, "value", failure)
        if not isinstance(trouble, PeerUnreachable):
            self._log.error("dialling {peer} failed oddly: {trouble}", peer=peer, trouble=trouble)
        self._gone(peer)

    def _gone(self, peer: PeerName) -> None:
        if peer in self._trying:
            self._trying.discard(peer)
            self.unreachable.add(peer)
            self._more()

    def _end(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        if not self._done.called:
            self._done.callback(Seeded(frozenset(self.received), frozenset(self.unreachable)))

    def _holds(self, link: ILink, digest: Digest) -> None:
        self._holding.setdefault(link.peer, set()).add(digest)
        self._look(link)

    def _look(self, link: ILink) -> None:
        """Has this peer received everything?"""
        needed = {package.sha256 for entry in self.entries for package in entry.update.packages}
        whole = needed <= self._holding.get(link.peer, set())
        if link.peer in self._trying and whole and link.head >= self.entries[-1].seq:
            self._trying.discard(link.peer)
            self.received.add(link.peer)
            self.told(frozenset(self.received))
            self._more()

    # What linked peers tell and ask: L{IPeerEvents}.

    def hello(self) -> tuple[str, Seq, Digest, bytes]:
        """See L{IPeerEvents}."""
        return self.greeting

    def admit(self, peer: PeerName, fingerprint: Digest, member: bytes) -> None:
        """See L{IPeerEvents}."""
        self.judge(peer, fingerprint, member)

    def linked(self, link: ILink, head: Seq, top: Digest) -> None:
        """See L{IPeerEvents}."""

    def unlinked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""
        self._server.uplink.lost(link.peer)
        self._gone(link.peer)

    def acked(self, link: ILink, head: Seq) -> None:
        """See L{IPeerEvents}."""
        self._look(link)

    def notified(self, link: ILink, envelopes: Sequence[bytes], holding: Collection[Seq], head: Seq) -> None:
        """See L{IPeerEvents}; what others submitted meanwhile does not matter here."""
        for entry in self.entries:
            if entry.seq in holding:
                for package in entry.update.packages:
                    self._holds(link, package.sha256)

    def reload_asked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def table_wanted(self, link: ILink, have: IdSet) -> Sequence[bytes]:
        """See L{IPeerEvents}: the new entries, and the earlier ones a peer may lack."""
        known = dict(self.earlier) | {entry.seq: entry.envelope for entry in self.entries}
        return [known[seq] for seq in sorted(known) if seq not in have][:64]

    def hashes_wanted(self, link: ILink, digest: Digest) -> bytes:
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

    def have_told(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""
        package = self._server.package(digest)
        if package is not None and 0 <= index < package.pieces.count:
            self._saw(link, package, Bits().with_bit(index))

    def _saw(self, link: ILink, package: Package, bits: Bits) -> None:
        self._server.uplink.saw(link.peer, package, bits)
        if len(bits) == package.pieces.count:
            self._holds(link, package.sha256)

    def offered(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}; nothing is fetched here."""
        link.decline(digest, index)

    def declined(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""
        self._server.uplink.declined(link.peer, digest, index)

    def drained(self, link: ILink) -> None:
        """See L{IPeerEvents}."""
        self._server.uplink.go_on()

    def output_wanted(self, link: ILink, seq: Seq) -> bytes:
        """See L{IPeerEvents}."""
        raise NotHere("nothing is installed by a submitter")
