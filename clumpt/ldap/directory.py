"""The directory in LDAP (R12, R40): our words on one side, entries on the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from clumpt.aio import deferred
from clumpt.errors import BadInput, Conflict, DirectoryRefused, IdentityError
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory
from clumpt.ldap import codec, layout, requests
from clumpt.ldap.connection import Servers
from clumpt.ldap.dn import Tree
from clumpt.ldap.entries import Entries, Where
from clumpt.ldap.requests import Attributes
from clumpt.ldap.results import (
    ENTRY_EXISTS,
    LACKING,
    NO_SUCH_ATTRIBUTE,
    NO_SUCH_OBJECT,
    SUCCESS,
    VALUE_EXISTS,
    AnswerLost,
    Refusal,
)
from clumpt.ldap.setup import initialise, schema_problems
from clumpt.ldap.updates import Updates
from clumpt.ldap.wire import Found, Wire
from clumpt.model import Entry, Group, GroupName, Peer, PeerName, PeerStatus, Seq, Settings


@implementer(IDirectory)
@define(eq=False)
class LdapDirectory:
    """
    The state database on LDAP servers.

    @param servers: the servers to ask.
    @param tree: where things lie: C{Tree("o=clumpt")}.
    """

    _servers: Servers
    _tree: Tree
    _entries: Entries = field(init=False)
    _updates: Updates = field(init=False)
    #: Was it said that the schema is too old?
    _lacking: bool = field(default=False, init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._entries = Entries(self._servers, self._tree)
        self._updates = Updates(self._entries)

    # Setting up: for administrators, not in the interface.

    @deferred
    async def initialise(self, settings: Settings) -> None:
        """
        Create the base with C{settings} and the branches; what is there already stays as it is.

        Fails with L{IdentityError} if the base belongs to another deployment.
        """
        await initialise(self._entries, settings)
        self._same_deployment(await self._settings(self._servers.writer), settings)

    @deferred
    async def verify_schema(self) -> Sequence[str]:
        """What the writer lacks of Clumpt's schema, one line each; empty if it has everything."""
        return await schema_problems(self._entries)

    # Settings and trust.

    @deferred
    async def settings(self) -> Settings:
        """What holds for the whole deployment."""
        return await self._settings(self._servers.anywhere)

    async def _settings(self, where: Where) -> Settings:
        base = self._tree.base
        found = await self._entries.read(base, codec.SETTINGS, where)
        if found is None or "clumptdeployment" not in found.attributes:
            raise DirectoryRefused(
                f"there is no Clumpt at {base}, or this identity may not read it: is the base right, and is"
                " this node enrolled (clumptconf add)? clumptconf init sets up a new directory"
            )
        try:
            return codec.read_settings(found)
        except ValueError as error:
            raise DirectoryRefused(f"the settings at {base} cannot be read: {error}") from error

    @deferred
    async def change_settings(self, settings: Settings) -> None:
        """Replace the settings; fails with L{IdentityError} if the deployment id would change."""
        self._same_deployment(await self._settings(self._servers.writer), settings)
        change = requests.replace(self._tree.base, codec.settings_attributes(settings))
        await self._entries.write(change, "changing the settings")

    def _same_deployment(self, there: Settings, ours: Settings) -> None:
        if there.deployment != ours.deployment:
            raise IdentityError(
                f"{self._tree.base} belongs to deployment {there.deployment}, not to {ours.deployment}"
            )

    @deferred
    async def root_documents(self) -> Sequence[bytes]:
        """The root envelopes, version 1 first."""
        found = await self._entries.listed(layout.TRUST, requests.present(), codec.DOCUMENT)
        documents = self._entries.all_readable(found, codec.read_document)
        return [envelope for _, envelope in sorted(documents)]

    @deferred
    async def add_root(self, version: int, envelope: bytes) -> None:
        """Publish a root document.  Fails with L{Conflict} if that version exists."""
        name = f"root-{version}"
        dn = self._tree.entry(layout.TRUST, name)
        op = requests.add(dn, codec.document_attributes(name, version, envelope))
        try:
            code = await self._entries.write(op, f"adding {dn}", (SUCCESS, ENTRY_EXISTS))
        except AnswerLost:
            found = await self._entries.read(dn, codec.DOCUMENT, self._servers.writer)
            if found is None or found.attributes.get("clumptenvelope") != [envelope]:
                raise
            return
        if code == ENTRY_EXISTS:
            raise Conflict(f"root document {version} was published already")

    # Groups and peers.

    @deferred
    async def groups(self) -> Sequence[Group]:
        """All groups by name."""
        found = await self._entries.listed(layout.GROUPS, requests.present(), codec.GROUP)
        groups = self._entries.all_readable(
            found, lambda one: codec.read_group(one, self._tree.name_in(layout.GROUPS, one.dn))
        )
        return sorted(groups, key=lambda group: group.name)

    @deferred
    async def put_group(self, group: Group) -> None:
        """Create or replace a group; fails with L{Conflict} if its name exists in other letters."""
        attributes = codec.group_attributes(group)
        try:
            await self._entries.put(layout.GROUPS, "clumptGroup", group.name, attributes)
        except Refusal as no:
            if no.code not in LACKING or any(attributes[kind] for kind in codec.PACKAGES):
                raise
            old = {kind: values for kind, values in attributes.items() if kind not in codec.PACKAGES}
            await self._entries.put(layout.GROUPS, "clumptGroup", group.name, old)

    @deferred
    async def peers(self, groups: Collection[GroupName] | None = None) -> Sequence[Peer]:
        """The members of any of C{groups}, by name; of the whole deployment for None."""
        memberships = await self._memberships()
        wanted = None
        if groups is not None:
            wanted = [name for name, member_of in memberships.items() if not member_of.isdisjoint(groups)]
        found = await self._entries.named(layout.PEERS, wanted, codec.PEER)
        return self._read_peers(found, memberships)

    @deferred
    async def peer(self, name: PeerName) -> Peer | None:
        """One peer, or None."""
        dn = self._tree.entry(layout.PEERS, name)
        found = await self._entries.read(dn, codec.PEER, self._servers.anywhere)
        if found is None:
            return None
        groups = await self._entries.listed(layout.GROUPS, requests.equal("member", dn), ["cn"])
        names = {GroupName(group) for one in groups if (group := self._entries.name(layout.GROUPS, one))}
        return next(iter(self._read_peers([found], {name.lower(): names})), None)

    async def _memberships(self) -> Mapping[str, set[GroupName]]:
        """The groups of each peer, by its name in lower case, since LDAP may spell it otherwise."""
        memberships: dict[str, set[GroupName]] = defaultdict(set)
        for found in await self._entries.listed(layout.GROUPS, requests.present(), ["cn", "member"]):
            group = self._entries.name(layout.GROUPS, found)
            if group is None:
                continue
            for member in found.attributes.get("member", ()):
                name = self._entries.readable(found, partial(self._member, member))
                if name is not None:
                    memberships[name.lower()].add(GroupName(group))
        return memberships

    def _member(self, dn: bytes) -> str:
        return self._tree.name_in(layout.PEERS, dn.decode("utf-8"))

    def _read_peers(
        self, found: Sequence[Found], groups: Mapping[str, Collection[GroupName]]
    ) -> Sequence[Peer]:
        def read(one: Found) -> Peer:
            name = self._tree.name_in(layout.PEERS, one.dn)
            return codec.read_peer(one, name, frozenset(groups.get(name.lower(), ())))

        return sorted(self._entries.all_readable(found, read), key=lambda peer: peer.name)

    @deferred
    async def put_peer(self, peer: Peer) -> None:
        """
        Create or replace what the administrators say of a peer, its memberships included.

        Fails with L{BadInput} if it is put into a group that does not exist, and with L{Conflict} if its
        name exists in other letters.
        """
        unknown = peer.groups - await self._group_names()
        if unknown:
            raise BadInput(f"there is no group {', '.join(sorted(unknown))}: create it first")
        await self._entries.put(layout.PEERS, "clumptPeer", peer.name, codec.peer_attributes(peer))
        dn = self._tree.entry(layout.PEERS, peer.name)
        old = await self._groups_of(dn)
        for group in sorted(peer.groups - old):
            add = requests.add_values(self._tree.entry(layout.GROUPS, group), "member", [dn.encode()])
            await self._entries.write(add, f"adding {dn} to {group}", (SUCCESS, VALUE_EXISTS))
        await self._leave(dn, old - peer.groups)

    async def _group_names(self) -> set[GroupName]:
        return await self._writer_groups(requests.present())

    async def _groups_of(self, dn: str) -> set[GroupName]:
        return await self._writer_groups(requests.equal("member", dn))

    async def _writer_groups(self, filter: object) -> set[GroupName]:
        async def search(wire: Wire) -> list[Found]:
            return await wire.search(self._tree.branch(layout.GROUPS), filter, ["cn"])

        names = (self._entries.name(layout.GROUPS, one) for one in await self._servers.writer(search))
        return {GroupName(name) for name in names if name}

    async def _leave(self, dn: str, groups: Collection[GroupName]) -> None:
        for group in sorted(groups):
            take = requests.delete_values(self._tree.entry(layout.GROUPS, group), "member", [dn.encode()])
            doing = f"taking {dn} out of {group}"
            await self._entries.write(take, doing, (SUCCESS, NO_SUCH_ATTRIBUTE, NO_SUCH_OBJECT))

    @deferred
    async def remove_peer(self, name: PeerName) -> None:
        """Forget a peer, its memberships and its status; does nothing if it is not there."""
        dn = self._tree.entry(layout.PEERS, name)
        await self._leave(dn, await self._groups_of(dn))
        # The peer itself comes last, so that a removal that was cut short shows, and can be repeated.
        for entry in (self._tree.entry(layout.STATUS, name), dn):
            await self._entries.write(requests.delete(entry), f"removing {entry}", (SUCCESS, NO_SUCH_OBJECT))

    # Updates.

    @deferred
    async def head(self) -> Seq:
        """The highest registered seq, 0 for none."""
        return await self._updates.head()

    @deferred
    async def updates(self, ids: IdSet) -> Sequence[bytes]:
        """The envelopes of those of C{ids} that are registered, in order of seq."""
        return await self._updates.fetch(ids)

    @deferred
    async def register(self, entry: Entry) -> None:
        """
        Record C{entry} under its seq, once.

        Fails with L{clumpt.errors.SequenceTaken} if the seq is in use by another submission, or is not
        the head's successor; with L{Conflict} if the same submission has another seq already.
        """
        await self._updates.register(entry)

    # Status.

    @deferred
    async def report(self, status: PeerStatus) -> None:
        """Replace what this peer says of itself; allowed to the peer alone."""
        attributes = codec.status_attributes(status)
        try:
            await self._report(status.peer, attributes)
        except Refusal as no:
            if no.code not in LACKING:
                raise
            # How far a peer is matters more than where its packages came from, which is the newer attribute.
            await self._report(status.peer, {k: v for k, v in attributes.items() if k != codec.SOURCE})
            if not self._lacking:
                self._log.warn(
                    "the schema of the directory is older than this Clumpt, so it is not told where packages "
                    "came from; clumptconf check tells how to bring it up to date ({no})",
                    no=no,
                )
            self._lacking = True

    async def _report(self, peer: PeerName, attributes: Attributes) -> None:
        dn = self._tree.entry(layout.STATUS, peer)
        whole = {"objectClass": [b"clumptStatus"], "cn": [peer.encode()], **attributes}

        async def write(wire: Wire) -> None:
            doing = f"reporting to {dn}"
            change = requests.replace(dn, attributes)
            if await wire.ask(change, doing, (SUCCESS, NO_SUCH_OBJECT)) == SUCCESS:
                return
            if await wire.ask(requests.add(dn, whole), doing, (SUCCESS, ENTRY_EXISTS)) == ENTRY_EXISTS:
                await wire.ask(change, doing)

        await self._servers.willing(write)

    @deferred
    async def statuses(
        self, peers: Collection[PeerName] | None = None, sources: bool = False
    ) -> Mapping[PeerName, PeerStatus]:
        """
        What these peers, or all, last said of themselves; who never reported is missing.

        @param sources: are their L{PeerStatus.sources} to be read, which are long?  Else these are empty.
        """
        wanted = (*codec.STATUS, codec.SOURCE) if sources else codec.STATUS
        found = await self._entries.named(layout.STATUS, peers, wanted)
        statuses = self._entries.all_readable(
            [one for one in found if codec.reported(one)],
            lambda one: codec.read_status(one, self._tree.name_in(layout.STATUS, one.dn)),
        )
        return {status.peer: status for status in statuses}

    def close(self) -> Deferred[None]:
        """Let go of all connections; fires when they are closed."""
        return self._servers.close()
