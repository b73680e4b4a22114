"""A directory in memory, which can be slow, mute, read-only, forgetful or set back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from clumpt.aio import deferred, sleep
from clumpt.errors import (
    BadInput,
    Conflict,
    DirectoryRefused,
    DirectoryUnavailable,
    IdentityError,
    SequenceTaken,
)
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory
from clumpt.model import Entry, Group, GroupName, Peer, PeerName, PeerStatus, Seq, Settings


@define
class Contents:
    """All that a directory holds."""

    settings: Settings
    roots: dict[int, bytes] = field(factory=dict)
    groups: dict[GroupName, Group] = field(factory=dict)
    peers: dict[PeerName, Peer] = field(factory=dict)
    updates: dict[Seq, Entry] = field(factory=dict)
    statuses: dict[PeerName, PeerStatus] = field(factory=dict)

    def copy(self) -> Contents:
        """The same values, which later changes to this do not touch."""
        return Contents(
            self.settings,
            dict(self.roots),
            dict(self.groups),
            dict(self.peers),
            dict(self.updates),
            dict(self.statuses),
        )


@define(eq=False)
class MemoryServer:
    """
    What all views of one directory share: the contents, and the switches that a test throws.

    @ivar clock: for L{delay}; not needed without.
    @ivar down: nobody answers: everything fails with L{DirectoryUnavailable}.
    @ivar read_only: changes are refused, as by a replica.
    @ivar delay: seconds that each answer takes.
    @ivar lost_answers: that many next changes are carried out, but fail with L{DirectoryUnavailable}.
    @ivar asked: how many requests came, those that failed included.
    """

    contents: Contents
    clock: IReactorTime | None = None
    down: bool = False
    read_only: bool = False
    delay: float = 0.0
    lost_answers: int = 0
    asked: int = 0

    def snapshot(self) -> Contents:
        """A backup, for L{restore}."""
        return self.contents.copy()

    def restore(self, backup: Contents) -> None:
        """Set the directory back to what it was (R13)."""
        self.contents = backup.copy()

    async def arrive(self) -> None:
        """A request comes in."""
        self.asked += 1
        if self.delay:
            assert self.clock is not None, "a slow directory needs a clock"
            await sleep(self.clock, self.delay)
        if self.down:
            raise DirectoryUnavailable("the directory is down")


@implementer(IDirectory)
@define(eq=False)
class MemoryDirectory:
    """
    A view of a L{MemoryServer}: the administrators', who may do all, or a peer's.

    Make the first with C{MemoryDirectory.holding(settings)}.
    """

    server: MemoryServer
    _peer: PeerName | None = None
    _closed: bool = field(default=False, init=False)

    @classmethod
    def holding(cls, settings: Settings, clock: IReactorTime | None = None) -> MemoryDirectory:
        """The administrators' view of a new directory, with only C{settings} in it."""
        return cls(MemoryServer(Contents(settings), clock))

    def as_peer(self, name: PeerName) -> MemoryDirectory:
        """The view of a peer, who may read all and write its own status."""
        return MemoryDirectory(self.server, name)

    async def _read(self) -> Contents:
        if self._closed:
            raise DirectoryUnavailable("the connection to the directory was closed here")
        await self.server.arrive()
        return self.server.contents

    async def _write(self, own: PeerName | None = None) -> Contents:
        contents = await self._read()
        if self.server.read_only:
            raise DirectoryRefused("the directory takes no changes")
        if self._peer is not None and self._peer != own:
            raise DirectoryRefused(f"{self._peer} has not the right to do it")
        return contents

    def _answer(self) -> None:
        if self.server.lost_answers:
            self.server.lost_answers -= 1
            raise DirectoryUnavailable("the answer was lost")

    @deferred
    async def settings(self) -> Settings:
        """What holds for the whole deployment."""
        return (await self._read()).settings

    @deferred
    async def change_settings(self, settings: Settings) -> None:
        """Replace the settings; fails with L{IdentityError} if the deployment id would change."""
        contents = await self._write()
        if contents.settings.deployment != settings.deployment:
            raise IdentityError(f"the directory belongs to deployment {contents.settings.deployment}")
        contents.settings = settings
        self._answer()

    @deferred
    async def root_documents(self) -> Sequence[bytes]:
        """The root envelopes, version 1 first."""
        roots = (await self._read()).roots
        return [roots[version] for version in sorted(roots)]

    @deferred
    async def add_root(self, version: int, envelope: bytes) -> None:
        """Publish a root document.  Fails with L{Conflict} if that version exists."""
        roots = (await self._write()).roots
        if version in roots:
            raise Conflict(f"root document {version} was published already")
        roots[version] = envelope
        self._answer()

    @deferred
    async def groups(self) -> Sequence[Group]:
        """All groups by name."""
        groups = (await self._read()).groups
        return [groups[name] for name in sorted(groups)]

    @deferred
    async def put_group(self, group: Group) -> None:
        """Create or replace a group; fails with L{Conflict} if its name exists in other letters."""
        groups = (await self._write()).groups
        _check_spelling(group.name, groups)
        groups[group.name] = group
        self._answer()

    @deferred
    async def peers(self, groups: Collection[GroupName] | None = None) -> Sequence[Peer]:
        """The members of any of C{groups}, by name; of the whole deployment for None."""
        peers = (await self._read()).peers
        in_order = (peers[name] for name in sorted(peers))
        return [peer for peer in in_order if groups is None or not peer.groups.isdisjoint(groups)]

    @deferred
    async def peer(self, name: PeerName) -> Peer | None:
        """One peer, or None."""
        return (await self._read()).peers.get(name)

    @deferred
    async def put_peer(self, peer: Peer) -> None:
        """
        Create or replace what the administrators say of a peer, its memberships included.

        Fails with L{BadInput} if it is put into a group that does not exist, and with L{Conflict} if its
        name exists in other letters.
        """
        contents = await self._write()
        unknown = peer.groups - set(contents.groups)
        if unknown:
            raise BadInput(f"there is no group {', '.join(sorted(unknown))}: create it first")
        _check_spelling(peer.name, contents.peers)
        contents.peers[peer.name] = evolve(peer, overrides=tuple(sorted(peer.overrides)))
        self._answer()

    @deferred
    async def remove_peer(self, name: PeerName) -> None:
        """Forget a peer, its memberships and its status; does nothing if it is not there."""
        contents = await self._write()
        contents.peers.pop(name, None)
        contents.statuses.pop(name, None)
        self._answer()

    @deferred
    async def head(self) -> Seq:
        """The highest registered seq, 0 for none."""
        return max((await self._read()).updates, default=0)

    @deferred
    async def updates(self, ids: IdSet) -> Sequence[bytes]:
        """The envelopes of those of C{ids} that are registered, in order of seq."""
        updates = (await self._read()).updates
        return [updates[seq].envelope for seq in sorted(updates) if seq in ids]

    @deferred
    async def register(self, entry: Entry) -> None:
        """
        Record C{entry} under its seq, once.

        Fails with L{SequenceTaken} if the seq is in use by another submission, or is not the head's
        successor; with L{Conflict} if the same submission has another seq already.
        """
        updates = (await self._write()).updates
        submit_id = entry.update.submit_id
        known = next((seq for seq, old in updates.items() if old.update.submit_id == submit_id), None)
        if known == entry.seq:
            return
        if known is not None:
            raise Conflict(f"submission {submit_id} is registered already, as update {known}")
        if entry.seq != len(updates) + 1:
            raise SequenceTaken(f"update {entry.seq} is not the next one")
        updates[entry.seq] = entry
        self._answer()

    @deferred
    async def report(self, status: PeerStatus) -> None:
        """Replace what this peer says of itself; allowed to the peer alone, and to administrators."""
        statuses = (await self._write(status.peer)).statuses
        failures = sorted(status.failures, key=lambda failure: (failure.at, failure.seq))
        sources = sorted(status.sources, key=itemgetter(0))
        statuses[status.peer] = evolve(status, failures=tuple(failures), sources=tuple(sources))
        self._answer()

    @deferred
    async def statuses(
        self, peers: Collection[PeerName] | None = None, sources: bool = False
    ) -> Mapping[PeerName, PeerStatus]:
        """What these peers, or all, last said of themselves; who never reported is missing."""
        statuses = (await self._read()).statuses
        return {
            name: status if sources or not status.sources else evolve(status, sources=())
            for name, status in statuses.items()
            if peers is None or name in peers
        }

    def close(self) -> Deferred[None]:
        """This view answers no more."""
        self._closed = True
        return succeed(None)


def _check_spelling(name: str, names: Collection[str]) -> None:
    # In LDAP names that differ only in case are one.
    for other in names:
        if other != name and other.lower() == name.lower():
            raise Conflict(f"{name} exists already, spelled {other}")
