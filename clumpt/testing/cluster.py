"""
A whole cluster in one process and in virtual time: every peer is wired by
C{clumpt.apps.daemon.build}, as on a real node.

What outlives a crash (disk, package manager, directory) is kept here, with the
truth about what was signed and run; the peers know nothing of it.  A test drives
it from outside: it does something, lets time pass, and does the next thing::

    cluster = Cluster(seed, size=5)
    try:
        entry = cluster.sign("all")
        cluster.give(entry)
        cluster.world.run_until(cluster.agrees, within=60.0)
        check_at_rest(cluster)
    finally:
        cluster.close()
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from clumpt import graph
from clumpt.apps.daemon import Node, Peer, build
from clumpt.config import Config, LimitsSection, PeerSection
from clumpt.errors import ClumptError, DirectoryRefused, DirectoryUnavailable, StoreFull
from clumpt.interfaces import IDirectory
from clumpt.model import Address, Entry, Group, GroupName, Member, Package, PeerName, PeerStatus, Settings
from clumpt.model import Peer as PeerEntry
from clumpt.pieces import Digest, Pieces, digest_of, piece_size
from clumpt.protocols.tls import ClearSecurity
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.invariants import check_kept, check_now, check_report, check_run
from clumpt.testing.keys import ISSUED, Deployment
from clumpt.testing.liars import Liar, Vice
from clumpt.testing.machine import Machine
from clumpt.testing.memory_installer import MemoryInstaller, MemoryMachine, Plan, success
from clumpt.testing.net import Network
from clumpt.testing.site import DESK, LdapSite, MemorySite, Site
from clumpt.testing.submitter import SUBMITTER, Submitter
from clumpt.testing.watch import Messenger, WatchedInstaller, Witness
from clumpt.testing.weather import Levers, Storm, Weather
from clumpt.testing.world import World

__all__ = ["INTERVAL", "Cluster"]

T = TypeVar("T")

NOTIFY, UPDATE = 4417, 4418
#: Seconds between synchronisations in simulations.
INTERVAL = 30.0
#: Seconds between two looks at everything.
LOOK = 1.0
#: Seconds after which a daemon that could not start is started again.
RESTART = 5.0


@define(eq=False)
class Cluster:
    """
    C{size} peers, all up, in groups.

    @ivar groups: each group's share of the peers, 0 to 1; every peer is in C{all} besides.
    @ivar plan: what becomes of runs.
    @ivar directory: C{memory}, or C{ldap} for the embedded server on a host of its own.
    @ivar distance: seconds that a question to a directory in memory may take, and its answer.
    @ivar serve: when packages are passed on, as in the configuration.
    @ivar vices: one more peer for each of them, which is no machine but a liar.
    @ivar racks: in how many the peers stand, by turns; 0 if nobody knows.
    @ivar locality: which peers are near, as in the configuration.
    @ivar allowed: the installers that all nodes allow.
    @ivar contents: the bytes of every package ever submitted, to serve and to compare.
    @ivar statements: every membership statement that was signed.
    @ivar restored: was the directory ever set back?
    """

    seed: int
    size: int = 5
    groups: Mapping[str, float] = field(factory=dict)
    plan: Plan = success
    interval: float = INTERVAL
    limits: LimitsSection = LimitsSection()
    directory: str = "memory"
    distance: float = 0.0
    serve: str = "verified"
    vices: Collection[type[Vice]] = ()
    allowed: frozenset[str] = frozenset({"dpkg"})
    look: float = LOOK
    racks: int = 0
    locality: str = "none"
    ports: tuple[int, int] = (NOTIFY, UPDATE)
    world: World = field(init=False)
    network: Network = field(init=False)
    keys: Deployment = field(init=False)
    site: Site = field(init=False)
    administration: IDirectory = field(init=False)
    witness: Witness = field(init=False)
    security: ClearSecurity = field(init=False)
    submitter: Submitter = field(init=False)
    settings: Settings = field(init=False)
    machines: dict[str, Machine] = field(factory=dict, init=False)
    liars: dict[str, Liar] = field(factory=dict, init=False)
    enrolled: dict[PeerName, PeerEntry] = field(factory=dict, init=False)
    contents: dict[Digest, bytes] = field(factory=dict, init=False)
    statements: dict[bytes, Member] = field(factory=dict, init=False)
    restored: bool = field(default=False, init=False)
    #: What belonged to dead daemons: were it torn down, its C{finally} clauses would run, after its death.
    _graves: list[Any] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.world = World(self.seed, budget=300_000)
        self.network = Network(self.world)
        self.keys = Deployment(f"sim-{self.seed}")
        self.settings = Settings(self.keys.name, interval=self.interval)
        self.security = ClearSecurity(self._identity)
        self.submitter = Submitter(self)
        self.witness = Witness(self.world, self._suspects, self._troubled, self._forgetful, self._lies)
        self.witness.listen()
        if self.directory == "ldap":
            self.site = LdapSite(self.network, self.settings, lambda address: self._named(address))
        else:
            self.site = MemorySite(self.settings)
        self.administration = self.site.administration()
        self.administer(lambda directory: directory.add_root(1, self.keys.root_envelope))
        for _ in range(self.size):
            self._make_machine(self._draw_groups())
        for vice in self.vices:
            self._make_liar(vice)
        self.wire()
        for address in self.machines:
            self.start(address)
        for liar in self.liars.values():
            liar.start()
        self.world.call_later(self.look, self._look)

    def close(self) -> None:
        """
        Listen to the log no more.

        What is left of the daemons is torn down when it is collected, and may then complain loudly.
        """
        self.witness.leave()

    # The administrators.

    def wait(self, answer: Deferred[T], within: float = 600.0) -> T:
        """Let time pass until C{answer} is there."""
        results: list[Any] = []
        answer.addBoth(results.append)
        if not results:
            self.world.run_until(lambda: bool(results), within)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]  # type: ignore[no-any-return]  # a list of what Deferreds give

    def administer(self, call: Callable[[IDirectory], Deferred[T]]) -> T:
        """Do something with the directory, again and again while it is away."""
        while True:
            try:
                return self.wait(call(self.administration))
            except (DirectoryUnavailable, DirectoryRefused):
                self.world.run_for(1.0)

    def _draw_groups(self) -> Collection[str]:
        return [group for group, share in self.groups.items() if self.world.random.random() < share]

    def _next_name(self) -> tuple[PeerName, str]:
        number = len(self.machines) + len(self.liars) + 1
        return PeerName(f"node{number:03}"), f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    def _make_machine(self, groups: Collection[str]) -> Machine:
        name, address = self._next_name()
        reactor, random = self.network.host(address).reactor, self.world.random
        installed = MemoryMachine(reactor, random, self.plan)
        machine = self.machines[address] = Machine(name, address, MemoryDisk(random), installed)
        self._put_in(machine, groups)
        return machine

    def _make_liar(self, vice: type[Vice]) -> None:
        name, address = self._next_name()
        groups = ["all", *self.groups]
        statement = self.keys.member(name, groups)
        self.liars[address] = Liar(self, name, address, statement, vice)
        self._enrol(name, address, frozenset(map(GroupName, groups)), statement)

    def _put_in(self, machine: Machine, groups: Collection[str]) -> None:
        """Sign a new membership."""
        generation = len(machine.members) + 1
        statement = self.keys.member(machine.name, {"all", *groups}, generation)
        member = self.keys.keyring().member(statement)
        self.statements[statement] = member
        machine.members.append(member)
        self._enrol(machine.name, machine.address, member.groups, statement)

    def _enrol(self, name: PeerName, address: str, groups: frozenset[GroupName], statement: bytes) -> None:
        for group in sorted(groups):
            self.administer(lambda directory, group=group: directory.put_group(Group(group)))  # type: ignore[misc]
        rack = f"rack{int(address.rpartition('.')[2]) % self.racks}" if self.racks else ""
        entry = PeerEntry(name, (Address(address, NOTIFY, UPDATE),), groups, statement, rack=rack)
        known = self.enrolled.get(name, entry).neighbours
        self.enrolled[name] = evolve(entry, neighbours=known)

    def wire(self) -> None:
        """Give all peers their neighbours, as clumptconf does, and tell the directory what is new."""
        lists = graph.wire(list(self.enrolled.values()), self.settings, self.world.random)
        there = {peer.name: peer for peer in self.administer(lambda directory: directory.peers())}
        for name in sorted(self.enrolled):
            peer = self.enrolled[name] = evolve(self.enrolled[name], neighbours=lists.get(name, ()))
            if there.get(name) != peer:
                self.administer(lambda directory, peer=peer: directory.put_peer(peer))  # type: ignore[misc]

    def add(self, groups: Collection[str] = ()) -> Machine:
        """Enrol one more peer, and start it (R68)."""
        machine = self._make_machine(groups)
        self.wire()
        self.start(machine.address)
        return machine

    def remove(self, machine: Machine) -> None:
        """Take a peer out of the deployment; its daemon may go on for a while."""
        machine.removed = True
        del self.enrolled[machine.name]
        self.administer(lambda directory: directory.remove_peer(machine.name))
        self.wire()

    def regroup(self, machine: Machine, groups: Collection[str]) -> None:
        """Put a peer in other groups (H10)."""
        self._put_in(machine, groups)
        self.wire()

    def repair(self) -> None:
        """Give the directory back what a backup did not hold (R13)."""
        there = {peer.name for peer in self.administer(lambda directory: directory.peers())}
        for name in sorted(there - set(self.enrolled)):
            self.administer(lambda directory, name=name: directory.remove_peer(name))  # type: ignore[misc]
        for group in sorted({group for peer in self.enrolled.values() for group in peer.groups}):
            self.administer(lambda directory, group=group: directory.put_group(Group(group)))  # type: ignore[misc]
        self.wire()
        for entry in self.keys.entries[self.administer(lambda directory: directory.head()) :]:
            self.administer(lambda directory, entry=entry: directory.register(entry))  # type: ignore[misc]

    def set_back(self, backup: Any) -> None:
        """The directory's administrators restore a backup."""
        self.world.note("restore")
        self.site.restore(backup)
        self.restored = True
        for machine in self.machines.values():
            machine.told = None

    # Life and death of daemons.

    def start(self, address: str) -> None:
        """Build the daemon of a machine that is up, from its disk alone; it has none in this life yet."""
        machine, reactor = self.machines[address], self.network.host(address).reactor
        if machine.peer is not None:
            raise RuntimeError(f"the daemon of {machine.name} runs already")
        config = Config(
            peer=PeerSection(
                name=machine.name,
                state=Path("/"),
                notify_port=NOTIFY,
                locality=self.locality,
                update_port=UPDATE,
                serve=self.serve,
                interval_jitter=0.2,
            ),
            directory=self.site.section,
            limits=self.limits,
        )
        node = Node(
            root=self.keys.root_envelope,
            reactor=reactor,
            random=self.world.random,
            wall=lambda: ISSUED + self.world.now,
            security=self.security,
            directory=lambda: self._messenger(machine, config, reactor),
            storage=machine.disk,
            journal=machine.open_journal(),
            installer=lambda roots: WatchedInstaller(
                MemoryInstaller(reactor, machine.installed, self.allowed, machine.disk.at),
                lambda entry, attempt, packages: check_run(self, machine, entry, attempt, packages),
                self.world.fault,
            ),
            in_thread=machine.worker(reactor, self.world.random),
        )
        check_kept(machine)
        building = build(config, node)
        building.addCallback(self._built, machine)
        building.addErrback(self._broken, machine, reactor)

    def _built(self, peer: Peer, machine: Machine) -> Deferred[None]:
        machine.peer = peer
        return peer.agent.start()

    def _broken(self, failure: Failure, machine: Machine, reactor: Any) -> None:
        """A daemon could not start, which nothing but its removal or a full disk should cause."""
        if not reactor.alive or machine.removed:
            return
        if failure.check(StoreFull) is None or machine.disk.limit is None:
            self.world.fault(failure)
        elif machine.peer is None:
            reactor.callLater(RESTART, self.start, machine.address)
        else:
            self.crash(machine.address)
            self.world.call_later(RESTART, self._revive, machine.address)

    def _revive(self, address: str) -> None:
        """The end of a storm may have done it before."""
        if not self.network.host(address).alive:
            self.boot(address)

    def _messenger(self, machine: Machine, config: Config, reactor: Any) -> Any:
        def told(status: PeerStatus) -> None:
            machine.told = status

        return Messenger(
            self.site.view(machine.name, config, reactor),
            reactor,
            lambda: self.world.random.uniform(0.0, self.distance) if self.distance else 0.0,
            lambda: not (isinstance(self.site, MemorySite) and self.site.directory.server.down),
            lambda status: check_report(self, machine, status),
            self.world.fault,
            told,
        )

    def _named(self, address: str) -> PeerName:
        """Who lives at an address."""
        known = self.machines.get(address) or self.liars.get(address)
        return known.name if known is not None else SUBMITTER

    def _identity(self, transport: Any) -> tuple[PeerName, Digest]:
        name = self._named(transport.getPeer().host)
        return name, digest_of(name.encode())

    def _suspects(self) -> Collection[str]:
        suspect = [(machine.name, address) for address, machine in self.machines.items() if machine.suspect]
        liars = [(liar.name, address) for address, liar in self.liars.items()]
        return {name for names in suspect + liars for name in names}

    def _forgetful(self) -> bool:
        return self.restored or any(machine.removed for machine in self.machines.values())

    def _lies(self, speaker: object) -> bool:
        """Is this part of a liar's program?"""
        return any(speaker in liar.parts for liar in self.liars.values())

    def _troubled(self) -> bool:
        return any(machine.suspect or machine.disk.limit for machine in self.machines.values())

    def _bury(self, address: str) -> None:
        reactor = self.network.host(address).reactor
        self._graves.append((list(reactor.wires), self.world.pending(reactor)))
        if address in self.machines:
            self._graves.append(self.machines[address].peer)
            self.machines[address].die()

    def crash(self, address: str) -> None:
        """The daemon is killed; helpers go on, written bytes stay."""
        self._bury(address)
        if address == self.site.address and isinstance(self.site, LdapSite):
            self.site.crash()
        else:
            self.network.host(address).crash()
            self._disk(address, MemoryDisk.crash)

    def power_loss(self, address: str) -> None:
        """The node goes dark, with its helper, and with what was not synced."""
        self._bury(address)
        if address == self.site.address and isinstance(self.site, LdapSite):
            self.site.power_loss()
        else:
            self.network.host(address).power_off()
            self._disk(address, MemoryDisk.power_loss)
            if address in self.machines:
                self.machines[address].installed.power_loss()

    def _disk(self, address: str, happens: Callable[[MemoryDisk], None]) -> None:
        if address in self.machines:
            happens(self.machines[address].disk)

    def boot(self, address: str) -> None:
        """The node comes back."""
        if address == self.site.address and isinstance(self.site, LdapSite):
            self.site.boot()
        elif address in self.liars:
            self.network.host(address).boot()
            self.liars[address].start()
        elif address in self.machines and not self.machines[address].removed:
            self.network.host(address).boot()
            self.start(address)

    def stop(self, address: str) -> Deferred[None]:
        """End a daemon in good order."""
        machine = self.machines[address]
        peer = machine.peer
        assert peer is not None
        machine.die()
        return peer.stop()

    def storm(self, weather: Weather, lasting: float) -> Storm:
        """Let C{weather} loose for C{lasting} virtual seconds; the administrators' desk is spared by it."""
        levers = Levers(
            lambda address: self.crash(address) if address != DESK else None,
            lambda address: self.power_loss(address) if address != DESK else None,
            self.boot,
            self._slow_disk,
            self.site.available,
        )
        storm = Storm(self.network, weather, levers)
        storm.rage(lasting)
        return storm

    def _slow_disk(self, address: str, slow: bool) -> None:
        if address in self.machines:
            self.machines[address].slow = 2.0 if slow else 0.0

    def _look(self) -> None:
        check_now(self)
        self.world.call_later(self.look, self._look)

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
        """Sign the next update, of one new package, and register it, as soon as the directory is there."""
        fields.setdefault("packages", (self.package(size),) if size else ())
        entry = self.keys.sign(groups=frozenset({GroupName(group)}), **fields)
        self.administer(lambda directory: directory.register(entry))
        return entry

    def give(self, entry: Entry, names: Collection[str] | None = None) -> bool:
        """
        Let some peers have an update and its packages, by magic; did somebody take it?

        For those who do not know it yet; L{Submitter} does it over the wires.

        @param names: who; a fifth of the group's members that are up, at least one, for None.
        """
        able = [m for m in self.up if m.agent.roster.groups and not m.removed]
        able = [m for m in able if entry.update.concerns(m.name, m.groups)]
        if names is None:
            chosen = self.world.random.sample(able, min(len(able), max(1, len(able) // 5)))
        else:
            chosen = [machine for machine in able if machine.name in names]
        return any([self._hand(machine, entry) for machine in chosen])

    def _hand(self, machine: Machine, entry: Entry) -> bool:
        try:
            for package in entry.update.packages:
                self._put(machine, package)
        except ClumptError as trouble:
            self.world.note("not given", machine.name, trouble)
            return False
        machine.agent.take([entry.envelope], SUBMITTER)
        return True

    def _put(self, machine: Machine, package: Package) -> None:
        repository = machine.agent.repository
        data, pieces = self.contents[package.sha256], package.pieces
        if repository.holds(package.sha256) and self.wait(repository.check(package.sha256)):
            return
        assembly = repository.assemble(package)
        if assembly.needs_hashes():
            cut = [data[pieces.offset(i) :][: pieces.length(i)] for i in range(pieces.count)]
            assembly.put_hashes(b"".join(bytes.fromhex(digest_of(piece)) for piece in cut))
        for index in range(pieces.count):
            assembly.put(index, data[pieces.offset(index) :][: pieces.length(index)])
        self.wait(assembly.finish())

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

    def settled(self) -> bool:
        """Is nothing left to do on any peer that is up, unless it waits for the administrators?"""
        return self.knows() and all(
            min(machine.agent.agenda.open, default=0) in {0, *machine.agent.agenda.stuck}
            for machine in self.up
        )

    def agrees(self) -> bool:
        """Is everything settled on every peer that is up, and was the directory told so?"""
        return self.knows() and all(
            not machine.agent.agenda.open and machine.told is not None and machine.told.settled == self.head
            for machine in self.up
        )

    def statuses(self) -> Mapping[PeerName, PeerStatus]:
        """What the directory says of all peers."""
        return self.administer(lambda directory: directory.statuses())
