"""What a tool is to the peers that it calls: somebody who asks, and has nothing to give."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define
from twisted.internet.defer import Deferred
from zope.interface import implementer

from clumpt.errors import NotHere, Untrusted
from clumpt.idset import IdSet
from clumpt.interfaces import IKeyring, ILink, IPeerEvents
from clumpt.model import PeerName, Seq
from clumpt.pieces import Bits, Digest, Round
from clumpt.trees import Branch

#: Deployment, head, digest of the newest entry and own member statement (L{IPeerEvents.hello}).
Greeting = tuple[str, Seq, Digest, bytes]


@implementer(IPeerEvents)
@define(eq=False)
class Visitor:
    """
    Greets and judges peers as peers do among themselves, and answers nothing else.

    @ivar greeting: what it says of itself.
    """

    greeting: Greeting
    _keyring: IKeyring

    def hello(self) -> Greeting:
        """See L{IPeerEvents}."""
        return self.greeting

    def admit(self, peer: PeerName, fingerprint: Digest, member: bytes) -> None:
        """See L{IPeerEvents}: by their signed statements."""
        stated = self._keyring.member(member)
        if (stated.peer, stated.fingerprint) != (peer, fingerprint):
            raise Untrusted(f"{peer} greets with a statement for another peer or key")

    def linked(self, link: ILink, head: Seq, top: Digest) -> None:
        """See L{IPeerEvents}."""

    def acked(self, link: ILink, head: Seq) -> None:
        """See L{IPeerEvents}."""

    def unlinked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def notified(self, link: ILink, envelopes: Sequence[bytes], holding: Collection[Seq], head: Seq) -> bool:
        """See L{IPeerEvents}."""
        return False

    def reload_asked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def table_wanted(self, link: ILink, have: IdSet) -> Sequence[bytes]:
        """See L{IPeerEvents}."""
        return ()

    def hashes_wanted(self, link: ILink, digest: Digest) -> Deferred[bytes]:
        """See L{IPeerEvents}."""
        raise NotHere("this is a tool, which holds no packages")

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """See L{IPeerEvents}."""
        raise NotHere("this is a tool, which holds no packages")

    def holding_told(self, link: ILink, digest: Digest, raw: bytes) -> None:
        """See L{IPeerEvents}."""

    def have_told(self, link: ILink, digest: Digest, held: Bits, coming: Bits) -> None:
        """See L{IPeerEvents}."""

    def offered(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}; nothing is fetched here."""
        link.decline(digest, index)

    def declined(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""

    def goes_round(self, link: ILink, digest: Digest, word: Round) -> None:
        """See L{IPeerEvents}."""

    def fed(self, link: ILink, digest: Digest, index: int, data: bytes) -> None:
        """See L{IPeerEvents}; nothing is fetched here."""

    def branched(self, link: ILink, digest: Digest, branch: Branch) -> None:
        """See L{IPeerEvents}; nothing is passed on from here."""

    def drained(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def output_wanted(self, link: ILink, seq: Seq) -> bytes:
        """See L{IPeerEvents}."""
        raise NotHere("this is a tool, which installs nothing")
