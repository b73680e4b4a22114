"""One package spreads over a cluster with slow links, by the real code, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random

from attrs import define, field

from clumpt.model import Entry, PeerName
from clumpt.testing.cluster import Cluster
from clumpt.testing.drill import apart
from clumpt.testing.liars import Vice
from clumpt.testing.site import DESK

#: What a full Ethernet frame carries of TCP, of what it takes on the wire.
SHARE = 1448 / 1514
#: Virtual seconds for the peers to find each other, and for the package to spread.
BEFORE, WITHIN = 8.0, 600.0
#: Seconds between looks.
EVERY = 0.005


@define(eq=False)
class Swarm:
    """
    What is to spread, and among whom.

    @ivar vices: one more peer for each of them, which lies.
    @ivar within: seconds after which all must have it.
    @ivar finished: when each peer had the whole package, in seconds from the first notification.
    """

    peers: int
    size: int
    mbit: float
    seed: int = 1
    vices: Collection[type[Vice]] = ()
    racks: int = 0
    locality: str = "none"
    cluster: Cluster = field(init=False)
    entry: Entry = field(init=False)
    finished: dict[PeerName, float] = field(factory=dict, init=False)
    within: float = field(default=WITHIN, init=False)
    _began: float = field(default=0.0, init=False)
    _sent_before: int = field(default=0, init=False)

    @property
    def rate(self) -> float:
        """Bytes a second of every card, in each direction."""
        return self.mbit * 1e6 / 8 * SHARE

    @property
    def fluid(self) -> float:
        """Seconds that one copy takes to leave the submitter: nothing can be faster."""
        return self.size / self.rate

    @property
    def elapsed(self) -> float:
        """Seconds since the submitter began."""
        return self.cluster.world.now - self._began

    @property
    def ratio(self) -> float:
        """When the last peer had it, by the fluid limit."""
        return max(self.finished.values()) / self.fluid

    @property
    def submitted(self) -> float:
        """What the submitter sent, in copies of the package."""
        return (self.cluster.network.host(DESK).uplink.carried - self._sent_before) / self.size

    @property
    def duplicates(self) -> float:
        """The share of what came that was here already."""
        came = [
            machine.agent.fetcher.counts.get(self.entry.update.packages[0].sha256)
            for machine in self.cluster.up
        ]
        twice = sum(one.duplicates for one in came if one is not None)
        return twice / sum(one.total for one in came if one is not None)

    @property
    def crossed(self) -> float:
        """What peers sent to peers of other racks, in copies of the package."""
        racks = {name: peer.rack for name, peer in self.cluster.enrolled.items()}
        sent = [(one.name, one.agent.server.sent) for one in self.cluster.up]
        far = sum(n for giver, to in sent for taker, n in to.items() if racks[giver] != racks[taker])
        return far / self.size

    def run(
        self,
        before: Callable[[Swarm], object] = lambda swarm: None,
        halfway: Callable[[Swarm], object] | None = None,
        after: Callable[[Swarm], object] = lambda swarm: None,
    ) -> Swarm:
        """
        Let it spread.

        @param before: what happens before.
        @param halfway: what happens when half the fluid limit is over.
        @param after: what happens when all have it, while they are still up.
        """
        with apart():
            self.cluster = cluster = Cluster(
                self.seed,
                size=self.peers,
                vices=self.vices,
                look=WITHIN,
                racks=self.racks,
                locality=self.locality,
            )
            try:
                self._run(cluster, before, halfway)
                after(self)
            finally:
                cluster.close()
        return self

    def _run(
        self, cluster: Cluster, before: Callable[[Swarm], object], halfway: Callable[[Swarm], object] | None
    ) -> None:
        world, network = cluster.world, cluster.network
        world.budget = 10_000_000
        network.fragments = 0.0
        world.run_for(BEFORE)
        self.entry = cluster.sign(size=self.size)
        for host in network.hosts.values():
            host.uplink.rate = host.downlink.rate = self.rate
        desk = network.host(DESK)
        desk.uplink.rate = desk.downlink.rate = self.rate
        before(self)
        self._began, self._sent_before = world.now, desk.uplink.carried
        if halfway is not None:
            world.call_later(self.fluid / 2, lambda: halfway(self))
        cluster.submitter.deliver(self.entry, WITHIN)
        world.run_until(self.all_have_it, within=self.within, every=EVERY)

    def all_have_it(self) -> bool:
        """Has every peer that is up the whole package?"""
        digest = self.entry.update.packages[0].sha256
        for machine in self.cluster.up:
            if machine.name not in self.finished and machine.agent.repository.holds(digest):
                self.finished[machine.name] = self.elapsed
        return all(machine.name in self.finished for machine in self.cluster.up)

    def kill(self, share: float, dark: bool = False) -> None:
        """Kill some peers, by lot; if C{dark}, nothing tells the others, not even a closed connection."""
        up = [machine.address for machine in self.cluster.up]
        for address in Random(self.seed).sample(up, round(len(up) * share)):
            (self.cluster.power_loss if dark else self.cluster.crash)(address)
            self.finished.pop(self.cluster.machines[address].name, None)

    def slow(self, share: float) -> PeerName:
        """Give one peer a slow card; returns who it is."""
        machine = self.cluster.up[0]
        host = self.cluster.network.host(machine.address)
        host.uplink.rate = host.downlink.rate = self.rate * share
        return machine.name
