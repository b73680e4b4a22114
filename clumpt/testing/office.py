"""What the administrators of a simulated cluster do: enrol peers, wire them, and repair the directory."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from clumpt import graph
from clumpt.errors import DirectoryRefused, DirectoryUnavailable
from clumpt.interfaces import IDirectory
from clumpt.model import Address, Group, GroupName, PeerName
from clumpt.model import Peer as PeerEntry
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.liars import Liar, Vice
from clumpt.testing.machine import Machine
from clumpt.testing.memory_installer import MemoryMachine

if TYPE_CHECKING:
    from clumpt.testing.cluster import Cluster

__all__ = ["NOTIFY", "UPDATE", "Office"]

T = TypeVar("T")

#: The ports of all peers.
NOTIFY, UPDATE = 4417, 4418


@define(eq=False)
class Office:
    """
    The administrators, and their way to the directory.

    @ivar administration: the directory, with the rights that administrators have.
    """

    cluster: Cluster
    administration: IDirectory = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.administration = self.cluster.site.administration()

    def administer(self, call: Callable[[IDirectory], Deferred[T]]) -> T:
        """Do something with the directory, again and again while it is away."""
        while True:
            try:
                return self.cluster.wait(call(self.administration))
            except (DirectoryUnavailable, DirectoryRefused):
                self.cluster.world.run_for(1.0)

    def draw_groups(self) -> Collection[str]:
        """The groups of one more peer, by lot."""
        return [
            group
            for group, share in self.cluster.groups.items()
            if self.cluster.world.random.random() < share
        ]

    def _next_name(self) -> tuple[PeerName, str]:
        number = len(self.cluster.machines) + len(self.cluster.liars) + 1
        return PeerName(f"node{number:03}"), f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    def make_machine(self, groups: Collection[str]) -> Machine:
        """One more machine, enrolled in C{groups}, which nobody knows yet."""
        name, address = self._next_name()
        reactor, random = self.cluster.network.host(address).reactor, self.cluster.world.random
        installed = MemoryMachine(reactor, random, self.cluster.plan)
        machine = self.cluster.machines[address] = Machine(name, address, MemoryDisk(random), installed)
        self._put_in(machine, groups)
        return machine

    def make_liar(self, vice: type[Vice]) -> None:
        """One more peer, enrolled like any other, that has C{vice}."""
        name, address = self._next_name()
        groups = ["all", *self.cluster.groups]
        statement = self.cluster.keys.member(name, groups)
        self.cluster.liars[address] = Liar(self.cluster, name, address, statement, vice)
        self._enrol(name, address, frozenset(map(GroupName, groups)), statement)

    def _put_in(self, machine: Machine, groups: Collection[str]) -> None:
        """Sign a new membership."""
        generation = len(machine.members) + 1
        statement = self.cluster.keys.member(machine.name, {"all", *groups}, generation)
        member = self.cluster.keys.keyring().member(statement)
        self.cluster.statements[statement] = member
        machine.members.append(member)
        self._enrol(machine.name, machine.address, member.groups, statement)

    def _enrol(self, name: PeerName, address: str, groups: frozenset[GroupName], statement: bytes) -> None:
        for group in sorted(groups):
            self.administer(lambda directory, group=group: directory.put_group(Group(group)))  # type: ignore[misc]
        racks = self.cluster.racks
        rack = f"rack{int(address.rpartition('.')[2]) % racks}" if racks else ""
        entry = PeerEntry(name, (Address(address, NOTIFY, UPDATE),), groups, statement, rack=rack)
        known = self.cluster.enrolled.get(name, entry).neighbours
        self.cluster.enrolled[name] = evolve(entry, neighbours=known)

    def wire(self) -> None:
        """Give all peers their neighbours, as clumptconf does, and tell the directory what is new."""
        lists = graph.wire(
            list(self.cluster.enrolled.values()), self.cluster.settings, self.cluster.world.random
        )
        there = {peer.name: peer for peer in self.administer(lambda directory: directory.peers())}
        for name in sorted(self.cluster.enrolled):
            peer = self.cluster.enrolled[name] = evolve(
                self.cluster.enrolled[name], neighbours=lists.get(name, ())
            )
            if there.get(name) != peer:
                self.administer(lambda directory, peer=peer: directory.put_peer(peer))  # type: ignore[misc]

    def add(self, groups: Collection[str] = ()) -> Machine:
        """Enrol one more peer, and start it (R68)."""
        machine = self.make_machine(groups)
        self.wire()
        self.cluster.lives.start(machine.address)
        return machine

    def remove(self, machine: Machine) -> None:
        """Take a peer out of the deployment; its daemon may go on for a while."""
        machine.removed = True
        del self.cluster.enrolled[machine.name]
        self.administer(lambda directory: directory.remove_peer(machine.name))
        self.wire()

    def regroup(self, machine: Machine, groups: Collection[str]) -> None:
        """Put a peer in other groups (H10)."""
        self._put_in(machine, groups)
        self.wire()

    def repair(self) -> None:
        """Give the directory back what a backup did not hold (R13)."""
        there = {peer.name for peer in self.administer(lambda directory: directory.peers())}
        for name in sorted(there - set(self.cluster.enrolled)):
            self.administer(lambda directory, name=name: directory.remove_peer(name))  # type: ignore[misc]
        for group in sorted({group for peer in self.cluster.enrolled.values() for group in peer.groups}):
            self.administer(lambda directory, group=group: directory.put_group(Group(group)))  # type: ignore[misc]
        self.wire()
        for entry in self.cluster.keys.entries[self.administer(lambda directory: directory.head()) :]:
            self.administer(lambda directory, entry=entry: directory.register(entry))  # type: ignore[misc]

    def set_back(self, backup: Any) -> None:
        """The directory's administrators restore a backup."""
        self.cluster.world.note("restore")
        self.cluster.site.restore(backup)
        self.cluster.restored = True
        for machine in self.cluster.machines.values():
            machine.told = None
