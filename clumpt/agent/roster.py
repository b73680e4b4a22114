"""Whom this peer knows: read from the directory, kept in the journal for when that is away (R44-R46, R8)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import define, field
from twisted.logger import Logger

from clumpt.agent.cache import (
    decode_groups,
    decode_peers,
    decode_settings,
    encode_groups,
    encode_peers,
    encode_settings,
)
from clumpt.aio import deferred
from clumpt.errors import (
    BadDocument,
    ClumptError,
    DirectoryRefused,
    DirectoryUnavailable,
    IdentityError,
    PeerUnreachable,
    StoreFull,
    Untrusted,
)
from clumpt.interfaces import IDirectory, IJournal, IKeyring
from clumpt.model import Address, Group, GroupName, Member, Peer, PeerName, Settings, bearer
from clumpt.pieces import Digest
from clumpt.places import Locality, place

#: Overrides of settings that a single peer may have.
_INTERVAL = "interval"
#: Peers that linked to us of which it is remembered where they stand.
MOST_CALLERS = 1024


@define(eq=False)
class Roster:
    """
    This peer's settings, groups and neighbours, and who may link to it.

    @ivar me: this peer's own entry, None until the first L{refresh} that found it.
    @ivar settings: the deployment's settings with this peer's overrides.
    @ivar locality: what tells who is near.
    @ivar enrolled: did the directory know this peer when it was last asked?
    """

    name: PeerName
    _directory: IDirectory
    _journal: IJournal
    _keyring: IKeyring
    me: Peer | None = field(default=None, init=False)
    settings: Settings | None = field(default=None, init=False)
    enrolled: bool = field(default=False, init=False)
    locality: Locality = field(default=Locality.NONE, init=False)
    _member: Member | None = field(default=None, init=False)
    _policies: Collection[Group] = field(default=(), init=False)
    _neighbours: dict[PeerName, Peer] = field(factory=dict, init=False)
    _members: dict[PeerName, Peer] = field(factory=dict, init=False)
    #: What the last refresh found of those whom it looked up, until L{dismissed} has used it.
    _fresh: dict[PeerName, Peer | None] = field(factory=dict, init=False)
    #: Those who know us, while we do not know them: they linked to us.
    _callers: dict[PeerName, Peer] = field(factory=dict, init=False)
    _log = Logger()

    @property
    def groups(self) -> frozenset[GroupName]:
        """The groups of this peer by its signed statement, whatever the directory says besides."""
        return self._member.groups if self._member is not None else frozenset()

    @property
    def policies(self) -> Collection[Group]:
        """The groups of this peer, as the directory describes them: what may be installed here (R11)."""
        return [group for group in self._policies if group.name in self.groups]

    @property
    def statement(self) -> bytes:
        """This peer's own member statement, to greet with."""
        return self.me.member if self.me is not None else b""

    @property
    def interval(self) -> float:
        """Seconds between periodic synchronisations (R49)."""
        return self.settings.interval if self.settings is not None else 300.0

    def neighbours(self) -> Mapping[PeerName, Sequence[Address]]:
        """Where the neighbours listen."""
        return {name: peer.addresses for name, peer in self._neighbours.items()}

    def members(self, group: GroupName | None = None) -> Mapping[PeerName, Sequence[Address]]:
        """Where the other members of our groups, or of one of them, listen, as far as they were read."""
        return {
            name: peer.addresses
            for name, peer in self._members.items()
            if name != self.name and (group is None or group in peer.groups)
        }

    def beside(self, name: PeerName) -> bool:
        """Is this peer known to stand in our rack?"""
        peer = self._peer(name)
        return self.me is not None and peer is not None and bool(peer.rack) and peer.rack == self.me.rack

    def where(self, name: PeerName) -> str:
        """The place of a peer, or of this one; empty if it is not known or does not matter."""
        peer = self.me if name == self.name else self._peer(name)
        return place(peer, self.locality) if peer is not None else ""

    def _peer(self, name: PeerName) -> Peer | None:
        return self._neighbours.get(name) or self._members.get(name) or self._callers.get(name)

    @deferred
    async def find(self, name: PeerName) -> Sequence[Address]:
        """
        Where a peer listens, as it is known here, or else as the directory says.

        Fails with L{PeerUnreachable} if the directory does not know it, or as L{IDirectory.peer} does.
        """
        peer = self._peer(name) or await self._directory.peer(name)
        if peer is None:
            raise PeerUnreachable(f"the directory has no peer {name}")
        return peer.addresses

    @deferred
    async def locate(self, name: PeerName) -> None:
        """Read where a peer stands that linked to us, unless it is known or does not matter."""
        if self._peer(name) is not None or self.me is None:
            return
        if not self.me.rack and self.locality is not Locality.SUBNET:
            return
        try:
            peer = await self._directory.peer(name)
        except ClumptError as trouble:
            self._log.debug("cannot ask where {peer} stands: {trouble}", peer=name, trouble=trouble)
            return
        if peer is not None:
            self._callers[name] = peer
            if len(self._callers) > MOST_CALLERS:
                del self._callers[next(iter(self._callers))]

    def _recall(self) -> None:
        """Look again at the statements known before the start, so that no older one takes their place."""
        raw = self._journal.cached("peers")
        for peer in decode_peers(raw) if raw is not None else []:
            try:
                self._keyring.member(peer.member)
            except (BadDocument, Untrusted) as wrong:
                self._log.info(
                    "what was known of {peer} is not good any more: {wrong}", peer=peer, wrong=wrong
                )

    def restore(self) -> bool:
        """Take what the journal kept; False if it has nothing yet."""
        settings, mine = self._journal.cached("settings"), self._journal.cached("peers")
        if settings is None or mine is None:
            return False
        me, *neighbours = decode_peers(mine)
        self._adopt(decode_settings(settings), me, neighbours)
        groups = self._journal.cached("groups")
        self._policies = decode_groups(groups) if groups is not None else ()
        return True

    @deferred
    async def refresh(self) -> None:
        """
        Read it all anew (R29, R67).

        Fails with L{clumpt.errors.DirectoryUnavailable} (what was known stays), or with
        L{clumpt.errors.IdentityError} if this peer is not enrolled or its statement is not good.
        """
        if self._member is None:
            self._recall()
        settings = await self._directory.settings()
        me = await self._directory.peer(self.name)
        self.enrolled = me is not None
        if me is None:
            raise IdentityError(
                f"the directory has no peer {self.name}: enrol it with clumptconf add {self.name}"
            )
        await self._learn_roots()
        self._fresh = {name: await self._directory.peer(name) for name in me.neighbours}
        neighbours = [peer for peer in self._fresh.values() if peer is not None]
        groups = await self._directory.groups()
        self._adopt(settings, me, neighbours)
        self._policies = groups
        self._keep("settings", encode_settings(settings))
        self._keep("groups", encode_groups(self.policies))
        self._keep("peers", encode_peers([me, *neighbours]))

    def _keep(self, what: str, value: bytes) -> None:
        try:
            self._journal.cache(what, value)
        except StoreFull as full:
            self._log.warn("cannot keep {what} for when the directory is away: {full}", what=what, full=full)

    async def _learn_roots(self) -> None:
        for envelope in (await self._directory.root_documents())[self._keyring.version :]:
            try:
                if self._keyring.learn_root(envelope):
                    self._journal.add_root(envelope)
            except (BadDocument, Untrusted) as wrong:
                self._log.error("the directory holds a root document that is not good: {wrong}", wrong=wrong)
                return

    @deferred
    async def read_members(self) -> None:
        """Read the members of this peer's groups (R46, R76), else from the journal."""
        try:
            members = await self._directory.peers(self.groups)
        except (DirectoryRefused, DirectoryUnavailable):
            raw = self._journal.cached("members")
            members = decode_peers(raw) if raw is not None else []
        else:
            self._keep("members", encode_peers(members))
        self._members = {peer.name: peer for peer in members}

    def _adopt(self, settings: Settings, me: Peer, neighbours: Collection[Peer]) -> None:
        member = self._judge(me.member)
        if member.peer != self.name:
            raise IdentityError(
                f"the member statement of {self.name} in the directory is that of {member.peer}:"
                " clumptconf check says how to mend it"
            )
        self._member, self.me = member, me
        self._neighbours = {peer.name: peer for peer in neighbours}
        overrides = dict(me.overrides)
        interval = float(overrides.get(_INTERVAL, settings.interval))
        self.settings = Settings(
            settings.deployment, settings.neighbours, settings.known_by, settings.initial, interval
        )

    def _judge(self, statement: bytes) -> Member:
        try:
            return self._keyring.member(statement)
        except (BadDocument, Untrusted) as wrong:
            raise IdentityError(
                f"the member statement of {self.name} in the directory is not good ({wrong}):"
                " clumptconf check says how to mend it"
            ) from wrong

    def admit(self, peer: PeerName, fingerprint: Digest, statement: bytes) -> Member:
        """
        The membership of a peer that greeted us, if it may link.

        Raises L{clumpt.errors.BadDocument} or L{clumpt.errors.Untrusted}.
        """
        member = self._keyring.member(statement)
        if (member.peer, member.fingerprint) != (peer, fingerprint):
            raise Untrusted(f"{peer} greets with a statement for another peer or key")
        return member

    @deferred
    async def dismissed(self, peers: Collection[PeerName]) -> Collection[PeerName]:
        """
        Those of C{peers} that are not in the directory any more; none while it cannot be asked.

        Whom L{refresh} looked up just before is not looked up again.
        """
        gone = []
        fresh, self._fresh = self._fresh, {}
        for name in peers:
            try:
                peer = fresh[name] if name in fresh else await self._directory.peer(bearer(name))
            except ClumptError as trouble:
                self._log.debug(
                    "cannot ask whether {peer} is still there: {trouble}", peer=name, trouble=trouble
                )
                return []
            if peer is None:
                gone.append(name)
        return gone
