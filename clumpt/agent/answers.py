"""What linked peers tell and ask this one: the agent's side of the wires."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from clumpt.agent.chain import Chain
from clumpt.agent.job import Agenda
from clumpt.agent.roster import Roster
from clumpt.agent.serve import Server
from clumpt.agent.spread import Spread
from clumpt.agent.sync import Sync
from clumpt.aio import unattended
from clumpt.errors import NotHere, Untrusted
from clumpt.idset import IdSet
from clumpt.interfaces import IInstaller, ILink, IPeerEvents
from clumpt.model import Entry, GroupName, Member, PeerName, Seq, bearer
from clumpt.pieces import Bits, Digest, Round
from clumpt.trees import Branch

#: Updates in one page of the table.
PAGE = 64


@implementer(IPeerEvents)
@define(eq=False)
class Answers:
    """
    Hands what comes over the links to the part of the agent that it is for.

    @ivar took: takes envelopes and their sender; returns the entries that joined the chain.
    """

    _deployment: str
    _chain: Chain
    _agenda: Agenda
    _roster: Roster
    _sync: Sync
    _spread: Spread
    _server: Server
    _installer: IInstaller
    _took: Callable[[Sequence[bytes], PeerName], list[Entry]]
    _memberships: dict[PeerName, Member] = field(factory=dict, init=False)
    _log = Logger()

    def hello(self) -> tuple[str, Seq, Digest, bytes]:
        """See L{IPeerEvents}."""
        return self._deployment, self._chain.head, self._chain.top, self._roster.statement

    def admit(self, peer: PeerName, fingerprint: Digest, member: bytes) -> None:
        """See L{IPeerEvents}."""
        self._memberships[peer] = self._roster.admit(peer, fingerprint, member)

    def groups(self, peer: PeerName) -> frozenset[GroupName] | None:
        """The groups of a peer that is or was linked, None if it never was."""
        member = self._memberships.get(bearer(peer))
        return member.groups if member is not None else None

    def linked(self, link: ILink, head: Seq, top: Digest) -> None:
        """See L{IPeerEvents}."""
        self._sync.stands(False)
        if self.groups(link.peer):
            unattended(self._roster.locate(link.peer), self._log, "looking where a peer stands")
        known = self._chain.table.digest_at(head)
        if known is not None and known != top:
            # Proof must be signed: ask for the entries that differ, the table judges them.
            self._log.error("{peer} has another history up to update {head}", peer=link.peer, head=head)
            link.table(IdSet()).addCallbacks(
                lambda page: self._took(page, link.peer),
                lambda failure: self._log.debug("no table: {failure}", failure=failure),
            )
        self._spread.linked(link, head, self._chain.table.after(head))
        self._sync.consider()

    def unlinked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""
        # Its membership stays known: another link of the same peer may have taken its place.
        self._spread.unlinked(link.peer)

    def acked(self, link: ILink, head: Seq) -> None:
        """See L{IPeerEvents}."""
        self._spread.acked(link.peer, head)
        self._sync.consider()

    def notified(self, link: ILink, envelopes: Sequence[bytes], holding: Collection[Seq], head: Seq) -> bool:
        """See L{IPeerEvents}: a submitter waits for it (R64)."""
        self._took(envelopes, link.peer)
        self._spread.acked(link.peer, head)
        self._spread.notified(link.peer, (), holding)
        self._sync.consider()
        return bool(envelopes) and self._spread.submits(link.peer)

    def reload_asked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""
        self._sync.refresh_soon()

    def table_wanted(self, link: ILink, have: IdSet) -> Sequence[bytes]:
        """See L{IPeerEvents}."""
        return [entry.envelope for entry in self._chain.page(have, PAGE)]

    def hashes_wanted(self, link: ILink, digest: Digest) -> Deferred[bytes]:
        """See L{IPeerEvents}."""
        return self._server.hashes(digest)

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """See L{IPeerEvents}."""
        return self._spread.piece_wanted(link, digest, index)

    def holding_told(self, link: ILink, digest: Digest, raw: bytes) -> None:
        """See L{IPeerEvents}."""
        self._spread.holding_told(link, digest, raw)

    def have_told(self, link: ILink, digest: Digest, held: Bits, coming: Bits) -> None:
        """See L{IPeerEvents}."""
        self._spread.have_told(link, digest, held, coming)

    def offered(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""
        self._spread.offered(link, digest, index)

    def declined(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""
        self._server.declined(link.peer, digest, index)

    def goes_round(self, link: ILink, digest: Digest, word: Round) -> None:
        """See L{IPeerEvents}."""
        self._spread.goes_round(link, digest, word)

    def fed(self, link: ILink, digest: Digest, index: int, data: bytes) -> None:
        """See L{IPeerEvents}."""
        self._spread.fed(link, digest, index, data)

    def branched(self, link: ILink, digest: Digest, branch: Branch) -> None:
        """See L{IPeerEvents}."""
        self._spread.grove.branched(link, digest, branch)

    def drained(self, link: ILink) -> None:
        """See L{IPeerEvents}."""
        self._server.uplink.go_on()

    def output_wanted(self, link: ILink, seq: Seq) -> bytes:
        """See L{IPeerEvents}; only who belongs to no group, an administrator's tool, may read it."""
        if self.groups(link.peer) != frozenset():
            raise Untrusted(f"{link.peer} asks for what an install printed")
        if seq not in self._agenda.concerning():
            raise NotHere(f"update {seq} is not for this peer")
        return bytes(self._installer.output(seq))
