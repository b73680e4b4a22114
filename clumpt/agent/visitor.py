"""Somebody who links to peers without being one: greets, judges whom it meets, and has nothing to give."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define
from twisted.internet.defer import Deferred
from zope.interface import implementer

from clumpt.errors import NotHere
from clumpt.idset import IdSet
from clumpt.interfaces import ILink, IPeerEvents
from clumpt.model import PeerName, Seq
from clumpt.pieces import Digest

#: What to say in L{IPeerEvents.hello}: the deployment, a head and its digest, and the own member statement.
Greeting = tuple[str, Seq, Digest, bytes]


@implementer(IPeerEvents)
@define(eq=False)
class Visitor:
    """
    An administrator's tool on the wires.

    @ivar greeting: how it greets.
    @ivar judge: raises if a peer may not link, as L{IPeerEvents.admit}.
    """

    greeting: Greeting
    judge: Callable[[PeerName, Digest, bytes], object]

    def hello(self) -> Greeting:
        """See L{IPeerEvents}."""
        return self.greeting

    def admit(self, peer: PeerName, fingerprint: Digest, member: bytes) -> None:
        """See L{IPeerEvents}."""
        self.judge(peer, fingerprint, member)

    def linked(self, link: ILink, head: Seq, top: Digest) -> None:
        """See L{IPeerEvents}."""

    def acked(self, link: ILink, head: Seq) -> None:
        """See L{IPeerEvents}."""

    def unlinked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def notified(self, link: ILink, envelopes: Sequence[bytes], holding: Collection[Seq], head: Seq) -> None:
        """See L{IPeerEvents}; what others submit does not matter here."""

    def reload_asked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def table_wanted(self, link: ILink, have: IdSet) -> Sequence[bytes]:
        """See L{IPeerEvents}."""
        return []

    def hashes_wanted(self, link: ILink, digest: Digest) -> bytes:
        """See L{IPeerEvents}."""
        raise NotHere("this is not a peer")

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """See L{IPeerEvents}."""
        raise NotHere("this is not a peer")

    def holding_told(self, link: ILink, digest: Digest, raw: bytes) -> None:
        """See L{IPeerEvents}."""

    def have_told(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""

    def offered(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}; nothing is fetched here."""
        link.decline(digest, index)

    def declined(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""

    def drained(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def output_wanted(self, link: ILink, seq: Seq) -> bytes:
        """See L{IPeerEvents}."""
        raise NotHere("nothing is installed here")
