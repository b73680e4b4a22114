"""
One seed from beginning to end: a cluster, work, bad weather and bad peers; then
good weather, a bounded time to agreement, silence, and a clean end.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from attrs import define, field, frozen

from clumpt.config import LimitsSection
from clumpt.testing.cluster import Cluster
from clumpt.testing.invariants import check_at_rest, check_stopped
from clumpt.testing.liars import VICES, Vice
from clumpt.testing.site import DESK
from clumpt.testing.watch import Broken
from clumpt.testing.weather import Levers, Storm, Weather
from clumpt.testing.workload import Fates, Workload

__all__ = ["Drill", "Plot", "apart"]

#: Virtual seconds of bad weather.
STORM = 60.0
#: Seconds that runs may take once all is known: there are some ten updates, and one may hang or be locked.
WORK = 300.0
#: How often the administrators are asked at most what to do about a run of which nobody knows how it ended.
DECISIONS = 4
#: Seconds that may pass after the last run, until the directory knows of it.
REPORT = 60.0
#: Bytes that a peer may send to each neighbour, and to the directory, in an interval without news (L4).
MURMUR, QUESTIONS = 1500, 50_000


@contextmanager
def apart() -> Iterator[None]:
    """
    Keep one world apart from the others of this process.

    Unreachable coroutines are torn down by the garbage collector, and their C{finally} clauses do things:
    when that happens must not depend on what happened before.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@frozen
class Plot:
    """
    What the seed has in store.

    @ivar share: the most of each fault; 0 for a calm seed.
    """

    size: int
    groups: tuple[str, ...]
    interval: float
    directory: str
    distance: float
    serve: str
    upload: int
    vices: tuple[type[Vice], ...]
    share: float
    steps: int

    @classmethod
    def draw(cls, random: Random) -> Plot:
        """Mostly small clusters: nearly all mistakes show with few peers; LDAP takes time."""
        ldap = random.random() < 0.2
        return cls(
            size=5 + int((5 if ldap else 26) * random.random() ** 6),
            groups=("gpu", "web")[: random.randrange(3)],
            interval=random.choice([10.0, 20.0, 30.0]),
            directory="ldap" if ldap else "memory",
            distance=random.choice([0.0, 0.01, 0.5]),
            serve="installed" if random.random() < 0.1 else "verified",
            upload=random.choice([0, 0, 0, 200_000]),
            vices=tuple(random.choices(VICES, k=random.randint(1, 2))) if random.random() < 0.3 else (),
            share=random.choice([0.0, 0.3, 0.5, 0.8]),
            steps=random.randint(3, 9),
        )


@define(eq=False)
class Drill:
    """
    A seed that is played.

    @ivar agreed: virtual seconds from the end of the storm until all agreed.
    """

    seed: int
    plot: Plot = field(init=False)
    cluster: Cluster = field(init=False)
    workload: Workload = field(init=False)
    agreed: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        # Dice of its own: a change of the plot does not change the play.
        self.plot = plot = Plot.draw(Random(self.seed))
        fates = Fates(plot.serve == "installed")
        self.cluster = Cluster(
            self.seed,
            plot.size,
            dict.fromkeys(plot.groups, 0.5),
            fates,
            plot.interval,
            LimitsSection(upload=plot.upload),
            plot.directory,
            plot.distance,
            plot.serve,
            plot.vices,
        )
        self.workload = Workload(self.cluster, fates)

    def play(self) -> None:
        """All of it; raises whatever is wrong."""
        try:
            self.rage()
            self.heal()
            self.be_quiet()
            self.end()
        finally:
            self.cluster.close()

    def rage(self) -> None:
        """Work in bad weather."""
        cluster, random = self.cluster, self.cluster.world.random
        cluster.world.run_for(random.uniform(0.0, 3.0))
        storm = self._storm(Weather.draw(random, self.plot.share))
        over = cluster.world.now + STORM
        for _ in range(self.plot.steps):
            self.workload.step()
            cluster.world.run_for(random.uniform(0.1, 2 * STORM / self.plot.steps))
        cluster.world.run_for(max(0.0, over - cluster.world.now))
        storm.clear()
        for address, machine in cluster.machines.items():
            if not cluster.network.host(address).alive and not machine.removed:
                cluster.boot(address)

    def _storm(self, weather: Weather) -> Storm:
        """Let C{weather} loose; the administrators' desk is spared by it."""
        cluster = self.cluster
        levers = Levers(
            lambda address: cluster.crash(address) if address != DESK else None,
            lambda address: cluster.power_loss(address) if address != DESK else None,
            cluster.boot,
            self._slow_disk,
            cluster.site.available,
        )
        storm = Storm(cluster.network, weather, levers)
        storm.rage(STORM)
        return storm

    def _slow_disk(self, address: str, slow: bool) -> None:
        if address in self.cluster.machines:
            self.cluster.machines[address].slow = 2.0 if slow else 0.0

    def heal(self) -> None:
        """Agreement in bounded time (L1, L2)."""
        cluster = self.cluster
        began = cluster.world.now
        cluster.world.run_until(self._all_work, within=30.0, every=0.1)
        self.workload.finish()
        cluster.world.run_until(cluster.knows, within=3 * 1.2 * cluster.interval + 10.0, every=0.1)
        # Who learns only now that it is in another group may be the first one to take what is for that.
        self.workload.finish()
        for _ in range(DECISIONS):
            cluster.world.run_until(self._stands_still, within=WORK, every=0.1)
            if not self.workload.undecided():
                break
            self.workload.decide()
            cluster.world.run_for(2 * cluster.interval)
        cluster.world.run_until(cluster.agrees, within=REPORT + 1.2 * cluster.interval, every=0.1)
        self.agreed = cluster.world.now - began
        # One more round, so that nothing is under way that was begun before.
        cluster.world.run_for(1.2 * cluster.interval)
        check_at_rest(cluster)

    def _stands_still(self) -> bool:
        return self.cluster.settled() or bool(self.workload.undecided())

    def _all_work(self) -> bool:
        """Have all daemons that are to run begun with their work?"""
        machines = [machine for machine in self.cluster.machines.values() if not machine.removed]
        return all(machine.peer is not None and machine.agent.agenda.groups for machine in machines)

    def be_quiet(self) -> None:
        """L4: when all is done, hardly anything is said."""
        if self.cluster.liars:
            return
        cluster, before = self.cluster, self._carried()
        cluster.world.run_for(cluster.interval)
        said = (self._carried() - before) / len(cluster.up)
        most = MURMUR * cluster.settings.neighbours + (QUESTIONS if cluster.site.address else 0)
        if said > most:
            raise Broken(
                f"L4: each peer says {said:.0f} bytes in an interval, though there is nothing to say"
            )

    def _carried(self) -> int:
        hosts = self.cluster.network.hosts
        return sum(hosts[address].uplink.carried for address in self.cluster.machines)

    def end(self) -> None:
        """I12: everything stops cleanly."""
        cluster = self.cluster
        stopping = [(machine, cluster.stop(machine.address)) for machine in cluster.up]
        for machine, stopped in stopping:
            cluster.wait(stopped, within=30.0)
            check_stopped(cluster, machine)
