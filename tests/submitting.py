"""An administrator's desk without wires: peers in memory that take what they are told, or do not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.aio import deferred, sleep
from clumpt.apps.desk import Desk
from clumpt.apps.screen import Screen
from clumpt.config import Config
from clumpt.errors import BadInput, NotHere, PeerUnreachable
from clumpt.idset import IdSet
from clumpt.interfaces import ILink, INetwork, IPeerEvents
from clumpt.model import Address, Entry, Group, GroupName, Peer, PeerName, PeerStatus, Seq, Settings
from clumpt.pieces import Bits, Digest, HashList, Round
from clumpt.testing.keys import ISSUED, Deployment
from clumpt.testing.memory_directory import MemoryDirectory
from clumpt.trees import Branch

NOW = ISSUED + 1_000_000
TOOL = PeerName("clumpt-submitter")


@define(eq=False)
class FakePeer:
    """
    A peer at the far end of a link.

    @ivar up: does it answer the phone?
    @ivar rings: seconds until it is clear that it does not.
    @ivar mute: it takes what it is told and does nothing about it.
    @ivar idle: it takes the updates and fetches no package.
    @ivar leaves: it hangs up as soon as it was told; C{odd}: to dial it fails for a reason of its own.
    @ivar holds: packages that it has.
    @ivar installs: it reports each update as done once it has its packages.
    """

    name: PeerName
    head: Seq = 0
    up: bool = True
    rings: float = 3.0
    mute: bool = False
    idle: bool = False
    leaves: bool = False
    odd: bool = False
    installs: bool = False
    holds: set[Digest] = field(factory=set)
    printed: dict[Seq, bytes] = field(factory=dict)
    entries: dict[Seq, Entry] = field(factory=dict)


@implementer(ILink)
@define(eq=False)
class FakeLink:
    """The link to a L{FakePeer}."""

    network: FakeNetwork
    far: FakePeer
    head: Seq
    full: bool = False
    heard: float = 0.0
    offers: list[tuple[Digest, int]] = field(factory=list)
    words: list[Round] = field(factory=list)
    declines: list[tuple[Digest, int]] = field(factory=list)
    branches: list[tuple[Digest, Branch]] = field(factory=list)
    notified: int = 0

    @property
    def peer(self) -> PeerName:
        return self.far.name

    def feed(self, digest: Digest, word: Round, size: int) -> None:
        self.words.append(word)

    def fed(self, digest: Digest, index: int, data: bytes) -> None: ...

    def branch(self, digest: Digest, branch: Branch) -> bool:
        self.branches.append((digest, branch))
        return True

    def notify(self, entries: Sequence[Entry], holding: Collection[Seq]) -> None:
        self.notified += 1
        if not self.far.mute:
            self.network.later(self._told, list(entries), list(holding))

    def _told(self, entries: list[Entry], holding: list[Seq]) -> None:
        if self.far.leaves:
            self.close()
            return
        events, keyring = self.network.events, self.network.cluster.deployment.keyring()
        for envelope in events.table_wanted(self, IdSet.upto(self.far.head)):
            entry = keyring.entry(envelope)
            if entry.seq == self.far.head + 1:
                self.far.entries[entry.seq], self.far.head = entry, entry.seq
        events.acked(self, self.far.head)
        # As on a real link: who listens is told first.
        self.head = self.far.head
        if not self.far.idle:
            self._fetch(entries, holding).addErrback(self.network.trouble.append)

    @deferred
    async def _fetch(self, entries: list[Entry], holding: list[Seq]) -> None:
        for entry in entries:
            missing = [one for one in entry.update.packages if one.sha256 not in self.far.holds]
            for package in missing if entry.seq in holding else []:
                raw = await self.network.events.hashes_wanted(self, package.sha256)
                listed = HashList.checked(raw, package.pieces)
                for index in range(package.pieces.count):
                    data = await self.network.events.piece_wanted(self, package.sha256, index)
                    assert listed.matches(index, data)
                    await sleep(self.network.clock, 0.02)
                self.far.holds.add(package.sha256)
            if entry.update.packages and entry.seq in holding:
                self.network.events.notified(self, [], [entry.seq], self.far.head)
            if self.far.installs and self.far.head >= entry.seq:
                self.network.cluster.report(self.far.name, head=self.far.head, settled=self.far.head)

    def reload(self) -> None: ...

    def table(self, have: IdSet) -> Deferred[Sequence[bytes]]:
        return succeed([])

    def hashes(self, digest: Digest) -> Deferred[bytes]:
        return fail(NotHere("not this one"))

    def piece(self, digest: Digest, index: int, size: int) -> Deferred[bytes]:
        return fail(NotHere("not this one"))

    def holding(self, digest: Digest, count: int, bits: Bits) -> None: ...

    def have(self, digest: Digest, held: Bits, coming: Bits) -> None: ...

    def offer(self, digest: Digest, index: int) -> None:
        self.offers.append((digest, index))

    def decline(self, digest: Digest, index: int) -> None:
        self.declines.append((digest, index))

    def output(self, seq: Seq) -> Deferred[bytes]:
        if seq not in self.far.printed:
            return fail(NotHere(f"update {seq} is not for this peer"))
        return succeed(self.far.printed[seq])

    def close(self) -> None:
        self.network.open.pop(self.peer, None)
        self.network.events.unlinked(self)


@implementer(INetwork)
@define(eq=False)
class FakeNetwork:
    """Links to the peers of a L{Cluster}."""

    cluster: Cluster
    listening: bool
    trouble: list[Failure] = field(factory=list)
    open: dict[PeerName, FakeLink] = field(factory=dict)
    running: bool = False
    events: IPeerEvents = field(init=False)

    @property
    def clock(self) -> Clock:
        return self.cluster.clock

    def later(self, call: Any, *words: Any) -> None:
        self.clock.callLater(0.01, lambda: call(*words) if self.running else None)

    def start(self, events: IPeerEvents) -> Deferred[None]:
        if self.cluster.port_taken:
            return fail(BadInput("port 4417 is in use"))
        self.events, self.running = events, True
        return succeed(None)

    def keep(self, peers: Mapping[PeerName, Sequence[Address]]) -> None: ...

    def links(self) -> Mapping[PeerName, ILink]:
        return dict(self.open)

    @deferred
    async def dial(self, peer: PeerName, addresses: Sequence[Address]) -> ILink:
        far = self.cluster.peers[peer]
        if peer not in self.open:
            await sleep(self.clock, 0.01 if far.up else far.rings)
        if peer in self.open:
            return self.open[peer]
        if not far.up or not addresses:
            raise PeerUnreachable(f"{peer} does not answer")
        if far.odd:
            raise ZeroDivisionError
        self.cluster.dialled.append(peer)
        link = self.open[peer] = FakeLink(self, far, far.head)
        self.events.linked(link, far.head, Digest(""))
        return link

    def stop(self) -> Deferred[None]:
        self.running = False
        return succeed(None)


@define(eq=False)
class Cluster:
    """A directory, some peers, and a desk in front of them."""

    deployment: Deployment = field(factory=Deployment)
    clock: Clock = field(factory=Clock)
    peers: dict[PeerName, FakePeer] = field(factory=dict)
    networks: list[FakeNetwork] = field(factory=list)
    dialled: list[PeerName] = field(factory=list)
    port_taken: bool = False
    stdout: StringIO = field(factory=StringIO)
    stderr: StringIO = field(factory=StringIO)
    directory: MemoryDirectory = field(init=False)

    def __attrs_post_init__(self) -> None:
        settings = Settings(self.deployment.name, initial=50, interval=300.0)
        self.directory = MemoryDirectory.holding(settings, self.clock)
        contents = self.directory.server.contents
        contents.roots[1] = self.deployment.root_envelope
        contents.peers[TOOL] = Peer(TOOL, (), frozenset(), self.deployment.member(TOOL, ()))
        for name in ("all", "gpu", "empty"):
            contents.groups[GroupName(name)] = Group(GroupName(name))

    def add(self, name: str, *groups: str, arch: str = "", **manners: Any) -> FakePeer:
        """One more peer, which reported once if it is up."""
        groups = groups or ("all",)
        peer = self.peers[PeerName(name)] = FakePeer(PeerName(name), **manners)
        self.directory.server.contents.peers[peer.name] = Peer(
            peer.name,
            (Address("127.0.0.1", 1, 2),),
            frozenset(map(GroupName, groups)),
            self.deployment.member(name, groups),
            arch=arch,
        )
        if peer.up:
            self.report(name)
        return peer

    def report(self, name: str, **fields: Any) -> None:
        """A peer says something of itself."""
        statuses = self.directory.server.contents.statuses
        old = statuses.get(PeerName(name), PeerStatus(PeerName(name)))
        seen = int(NOW + self.clock.seconds())
        statuses[old.peer] = evolve(old, **{"seen": seen, **fields})

    def register(self, **fields: Any) -> Entry:
        """An update that somebody submitted before."""
        entry = self.deployment.sign(**fields)
        self.directory.server.contents.updates[entry.seq] = entry
        return entry

    def updates(self) -> Mapping[Seq, Entry]:
        """What is registered."""
        return self.directory.server.contents.updates

    def desk(self, seed: int = 1, **changes: Any) -> Desk:
        """A desk; C{changes} replace what stands on it."""

        def network(listening: bool) -> INetwork:
            self.networks.append(FakeNetwork(self, listening))
            return self.networks[-1]

        return Desk(
            **{
                "config": Config(),
                "reactor": self.clock,
                "random": Random(seed),
                "wall": lambda: NOW + self.clock.seconds(),
                "name": TOOL,
                "root": self.deployment.root_envelope,
                "directory": MemoryDirectory(self.directory.server),
                "network": network,
                "signer": lambda: self.deployment.submit_key,
                "in_thread": maybeDeferred,
                "screen": Screen(self.stdout, self.stderr),
                **changes,
            }
        )

    def wait(self, work: Deferred[Any], within: float = 1000.0, step: float = 0.05) -> Any:
        """The result of C{work}, which takes at most so many seconds; raises what it fails with."""
        got: list[Any] = []
        work.addBoth(got.append)
        end = self.clock.seconds() + within
        while not got and self.clock.seconds() < end:
            self.clock.advance(step)
        if not got:
            raise AssertionError(f"not over after {within:g} s")
        if isinstance(got[0], Failure):
            got[0].raiseException()
        for network in self.networks:
            for trouble in network.trouble:
                trouble.raiseException()
        return got[0]

    def said(self) -> str:
        """What was said on stderr since the last call."""
        text = self.stderr.getvalue()
        self.stderr.seek(0)
        self.stderr.truncate()
        return text

    def told(self) -> str:
        """What was written on stdout since the last call."""
        text = self.stdout.getvalue()
        self.stdout.seek(0)
        self.stdout.truncate()
        return text


def package_file(folder: str, name: str = "tool-1.0.tar", data: bytes = b"x" * 400_000) -> Path:
    """A file that will do for a package: nobody looks into a tar archive here."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    file = path / name
    file.write_bytes(data)
    return file
