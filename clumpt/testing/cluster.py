"""
A whole cluster in one process and in virtual time: every peer is wired by
C{clumpt.apps.daemon.build}, as on a real node.

What outlives a crash (disk, package manager, directory) is kept here, with the
truth about what was run; the peers know nothing of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure

from clumpt.agent.agent import Agent
from clumpt.apps.daemon import Node, Peer, build
from clumpt.config import Config, DirectorySection, LimitsSection, PeerSection
from clumpt.errors import ClumptError
from clumpt.model import Address, Entry, Group, GroupName, Package, PeerName, Settings
from clumpt.model import Peer as PeerEntry
from clumpt.pieces import Digest, Pieces, digest_of, piece_size
from clumpt.protocols.tls import ClearSecurity
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.invariants import check_always
from clumpt.testing.keys import ISSUED, Deployment
from clumpt.testing.memory_directory import MemoryDirectory
from clumpt.testing.memory_installer import MemoryInstaller, MemoryMachine, Plan, success
from clumpt.testing.memory_journal import MemoryJournal
from clumpt.testing.net import Network
from clumpt.testing.weather import Levers, Storm, Weather
from clumpt.testing.world import World

NOTIFY, UPDATE = 4417, 4418
#: Seconds between synchronisations in simulations.
INTERVAL = 30.0


@define(eq=False)
class Machine:
    """
    One node: what survives its daemon, and its daemon while there is one.

    @ivar installed: the package manager's side, and the truth about what it ran.
    """

    name: PeerName
    address: str
    groups: frozenset[GroupName]
    disk: MemoryDisk
    installed: MemoryMachine
    peer: Peer | None = None
    #: How many runs were checked.
    looked_at: int = 0

    @property
    def agent(self) -> Agent:
        """The agent of the daemon that runs."""
        assert self.peer is not None
        return self.peer.agent


@define(eq=False)
class Cluster:
    """
    C{size} peers, all up, in groups.

    @ivar groups: each group's share of the peers, 0 to 1; every peer is in C{all} besides.
    @ivar plan: what becomes of runs.
    """

    seed: int
    size: int = 5
    groups: Mapping[str, float] = field(factory=dict)
    plan: Plan = success
    interval: float = INTERVAL
    limits: LimitsSection = LimitsSection()
    world: World = field(init=False)
    network: Network = field(init=False)
    keys: Deployment = field(init=False)
    directory: MemoryDirectory = field(init=False)
    machines: dict[str, Machine] = field(factory=dict, init=False)
    #: The bytes of every package ever submitted, to serve and to compare.
    contents: dict[Digest, bytes] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.world = World(self.seed, budget=400_000)
        self.network = Network(self.world)
        self.keys = Deployment(f"sim-{self.seed}")
        settings = Settings(self.keys.name, interval=self.interval)
        self.directory = MemoryDirectory.holding(settings)
        self._now(self.directory.add_root(1, self.keys.root_envelope))
        names = [f"node{number:03}" for number in range(1, self.size + 1)]
        for number, name in enumerate(names, 1):
            chosen = {group for group, share in self.groups.items() if self.world.random.random() < share}
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            self.machines[address] = Machine(
                PeerName(name),
                address,
                frozenset(map(GroupName, {"all", *chosen})),
                MemoryDisk(self.world.random),
                MemoryMachine(self.network.host(address).reactor, self.world.random, self.plan),
            )
        self._enrol()
        self.world.watchers.append(lambda: check_always(self))
        for address in self.machines:
            self.start(address)

    def _now(self, answer: Deferred[Any]) -> Any:
        """The result of something that has to be there already."""
        results: list[Any] = []
        answer.addBoth(results.append)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def _enrol(self) -> None:
        members = {machine.name: machine.groups for machine in self.machines.values()}
        for group in sorted({group for groups in members.values() for group in groups}):
            self._now(self.directory.put_group(Group(group)))
        neighbours = _wire(members, self.world.random)
        for machine in self.machines.values():
            self._now(
                self.directory.put_peer(
                    PeerEntry(
                        machine.name,
                        (Address(machine.address, NOTIFY, UPDATE),),
                        machine.groups,
                        self.keys.member(machine.name, machine.groups),
                        tuple(neighbours[machine.name]),
                    )
                )
            )

    # Life and death of daemons.

    def start(self, address: str) -> None:
        """Build the daemon of a machine that is up, from its disk alone."""
        machine, reactor = self.machines[address], self.network.host(address).reactor
        node = Node(
            root=self.keys.root_envelope,
            reactor=reactor,
            random=self.world.random,
            wall=lambda: ISSUED + self.world.now,
            security=ClearSecurity(self._identity),
            directory=lambda: self.directory.as_peer(machine.name),
            storage=machine.disk,
            journal=MemoryJournal(machine.disk),
            installer=lambda roots: MemoryInstaller(
                reactor, machine.installed, frozenset({"dpkg"}), machine.disk.at
            ),
            in_thread=execute,
        )
        config = Config(
            peer=PeerSection(
                name=machine.name,
                state=Path("/"),
                notify_port=NOTIFY,
                update_port=UPDATE,
                interval_jitter=0.2,
            ),
            directory=DirectorySection(uris=("ldap://directory",), report_delay=0.5),
            limits=self.limits,
        )
        building = build(config, node)
        building.addCallback(self._built, machine)
        building.addErrback(self._broken, reactor)

    def _built(self, peer: Peer, machine: Machine) -> Deferred[None]:
        machine.peer = peer
        return peer.agent.start()

    def _broken(self, failure: Failure, reactor: Any) -> None:
        """A daemon of this life could not start, which nothing here should cause."""
        if reactor.alive:
            self.world.fault(failure)

    def _identity(self, transport: Any) -> tuple[PeerName, Digest]:
        machine = self.machines.get(transport.getPeer().host)
        name = machine.name if machine is not None else PeerName("clumpt-submitter")
        return name, digest_of(name.encode())

    def crash(self, address: str) -> None:
        """The daemon is killed; helpers go on, written bytes stay."""
        self.network.host(address).crash()
        self.machines[address].peer = None
        self.machines[address].disk.crash()

    def power_loss(self, address: str) -> None:
        """The node goes dark, with its helper, and with what was not synced."""
        self.network.host(address).power_off()
        self.machines[address].peer = None
        self.machines[address].disk.power_loss()
        self.machines[address].installed.power_loss()

    def boot(self, address: str) -> None:
        """The node comes back."""
        self.network.host(address).boot()
        self.start(address)

    def stop(self, address: str) -> Deferred[None]:
        """End a daemon in good order."""
        peer, self.machines[address].peer = self.machines[address].peer, None
        assert peer is not None
        return peer.stop()

    def storm(self, weather: Weather, lasting: float) -> Storm:
        """Let C{weather} loose for C{lasting} virtual seconds."""
        levers = Levers(self.crash, self.power_loss, self.boot, directory=self._directory_there)
        storm = Storm(self.network, weather, levers)
        storm.rage(lasting)
        return storm

    def _directory_there(self, there: bool) -> None:
        self.directory.server.down = not there

    # Work for the cluster.

    def package(self, size: int = 5000, name: str | None = None) -> Package:
        """A new package of random bytes."""
        data = self.world.random.randbytes(size)
        cut = piece_size(size)
        hashes = b"".join(bytes.fromhex(digest_of(data[at : at + cut])) for at in range(0, size, cut))
        digest = digest_of(data)
        self.contents[digest] = data
        name = name or f"package{len(self.contents)}"
        return Package(
            name, "1.0", "all", f"{name}_1.0_all.deb", digest, Pieces(size, cut, digest_of(hashes))
        )

    def sign(self, group: str = "all", size: int = 5000, **fields: Any) -> Entry:
        """Sign the next update, of one new package, and register it."""
        fields.setdefault("packages", (self.package(size),) if size else ())
        entry = self.keys.sign(groups=frozenset({GroupName(group)}), **fields)
        down, self.directory.server.down = self.directory.server.down, False
        self._now(self.directory.register(entry))
        self.directory.server.down = down
        return entry

    def give(self, entry: Entry, names: Collection[str] | None = None) -> None:
        """
        Let some peers have an update and its packages, as the submitter does.

        @param names: who; a fifth of the group's members that are up, at least one, for None.
        """
        able = [m for m in self.machines.values() if m.peer is not None and m.agent.roster.groups]
        able = [m for m in able if entry.update.concerns(m.name, m.groups)]
        if names is None:
            chosen = self.world.random.sample(able, min(len(able), max(1, len(able) // 5)))
        else:
            chosen = [machine for machine in able if machine.name in names]
        for machine in chosen:
            agent = machine.agent
            for package in entry.update.packages:
                self._put(agent, package)
            agent.take([entry.envelope], PeerName("clumpt-submitter"))

    def _put(self, agent: Agent, package: Package) -> None:
        data, pieces = self.contents[package.sha256], package.pieces
        if agent.repository.holds(package.sha256):
            return
        try:
            assembly = agent.repository.assemble(package)
            if assembly.needs_hashes():
                cut = [data[pieces.offset(i) :][: pieces.length(i)] for i in range(pieces.count)]
                assembly.put_hashes(b"".join(bytes.fromhex(digest_of(piece)) for piece in cut))
            for index in range(pieces.count):
                assembly.put(index, data[pieces.offset(index) :][: pieces.length(index)])
            self._now(assembly.finish())
        except ClumptError as trouble:
            self.world.note("not given", agent.name, trouble)

    # Questions.

    @property
    def up(self) -> list[Machine]:
        """The machines whose daemon runs."""
        return [machine for machine in self.machines.values() if machine.peer is not None]

    @property
    def head(self) -> int:
        """The number of updates."""
        return len(self.keys.entries)

    def knows(self) -> bool:
        """Does every peer that is up know every update?"""
        return all(machine.agent.chain.head == self.head for machine in self.up)

    def agrees(self) -> bool:
        """Is everything settled on every peer that is up, and does the directory say so?"""
        statuses = self.directory.server.contents.statuses
        return all(
            machine.agent.chain.head == self.head
            and not machine.agent.agenda.open
            and machine.name in statuses
            and statuses[machine.name].settled == self.head
            for machine in self.up
        )


def _wire(
    members: Mapping[PeerName, Collection[GroupName]], random: Random
) -> Mapping[PeerName, Collection[PeerName]]:
    """A ring through all peers, and four more neighbours for each."""
    names = sorted(members)
    chosen = {}
    for at, name in enumerate(names):
        others = [other for other in names if other != name]
        ring = names[(at + 1) % len(names)]
        chosen[name] = sorted({ring, *random.sample(others, min(4, len(others)))} - {name})
    return chosen
