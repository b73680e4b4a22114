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
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from clumpt.config import LimitsSection
from clumpt.model import Entry, GroupName, Member, Package, PeerName, PeerStatus, Settings
from clumpt.model import Peer as PeerEntry
from clumpt.pieces import Digest, digest_of
from clumpt.protocols.tls import ClearSecurity
from clumpt.testing import goods
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.invariants import check_now
from clumpt.testing.keys import Deployment
from clumpt.testing.liars import Liar, Vice
from clumpt.testing.lives import Lives
from clumpt.testing.machine import Machine
from clumpt.testing.memory_installer import Plan, success
from clumpt.testing.net import Network
from clumpt.testing.office import NOTIFY, UPDATE, Office
from clumpt.testing.site import LdapSite, MemorySite, Site
from clumpt.testing.submitter import SUBMITTER, Submitter
from clumpt.testing.watch import Witness
from clumpt.testing.world import World

__all__ = ["INTERVAL", "Cluster"]

T = TypeVar("T")

#: Seconds between synchronisations in simulations.
INTERVAL = 30.0
#: Seconds between two looks at everything.
LOOK = 1.0


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
    office: Office = field(init=False)
    lives: Lives = field(init=False)
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
        self.office = office = Office(self)
        self.lives = Lives(self)
        office.administer(lambda directory: directory.add_root(1, self.keys.root_envelope))
        for _ in range(self.size):
            office.make_machine(office.draw_groups())
        for vice in self.vices:
            office.make_liar(vice)
        office.wire()
        for address in self.machines:
            self.lives.start(address)
        for liar in self.liars.values():
            liar.start()
        self.world.call_later(self.look, self._look)

    def close(self) -> None:
        """
        Listen to the log no more.

        What is left of the daemons is torn down when it is collected, and may then complain loudly.
        """
        self.witness.leave()

    def wait(self, answer: Deferred[T], within: float = 600.0) -> T:
        """Let time pass until C{answer} is there."""
        results: list[Any] = []
        answer.addBoth(results.append)
        if not results:
            self.world.run_until(lambda: bool(results), within)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]  # type: ignore[no-any-return]  # a list of what Deferreds give

    # Life and death of daemons.

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
            self.lives.start(address)

    def stop(self, address: str) -> Deferred[None]:
        """End a daemon in good order."""
        machine = self.machines[address]
        peer = machine.peer
        assert peer is not None
        machine.die()
        return peer.stop()

    def _look(self) -> None:
        check_now(self)
        self.world.call_later(self.look, self._look)

    # Work for the cluster.

    def package(self, size: int = 5000, name: str | None = None) -> Package:
        """A new package of random bytes."""
        return goods.package(self, size, name)

    def sign(self, group: str = "all", size: int = 5000, **fields: Any) -> Entry:
        """Sign the next update, of one new package, and register it, as soon as the directory is there."""
        fields.setdefault("packages", (self.package(size),) if size else ())
        entry = self.keys.sign(groups=frozenset({GroupName(group)}), **fields)
        self.office.administer(lambda directory: directory.register(entry))
        return entry

    def give(self, entry: Entry, names: Collection[str] | None = None) -> bool:
        """
        Let some peers have an update and its packages, by magic; did somebody take it?

        For those who do not know it yet; L{Submitter} does it over the wires.

        @param names: who; a fifth of the group's members that are up, at least one, for None.
        """
        return goods.give(self, entry, names)

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
        """Does every peer that is up know every update, and its groups?"""
        return all(
            machine.agent.chain.head == self.head and machine.agent.agenda.groups == machine.groups
            for machine in self.up
        )

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
        return self.office.administer(lambda directory: directory.statuses())
