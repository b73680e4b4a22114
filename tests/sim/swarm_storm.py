"""
One seed of a swarm: a package spreads while cards are slow, peers are dead or die, and others lie.

In the end every live peer has the right bytes, in a time that is bounded by the slowest card (L5), and
hardly anything travelled twice (L6).
"""

from __future__ import annotations

from random import Random

from attrs import define, field, frozen

from clumpt.testing.invariants import Broken, check_at_rest
from clumpt.testing.liars import Braggart, Flooder, Forger, Mute, Poisoner, Vice
from clumpt.testing.machine import Machine
from tests.sim.swarm_case import Swarm

#: The liars of whom swarms have something to fear.
VICES = (Vice, Poisoner, Mute, Braggart, Flooder, Forger)
#: The time for all, over what the slowest card needs for one copy, or the submitter's for two.
SLOWEST = 1.5
#: Seconds in which it is noticed that peers are silent, or were started; for each liar; and for all else.
SILENT, LIES, MORE = 10.0, 40.0, 5.0
#: The share of what came that may have been here already; and pieces for each card that needs so many seconds
#: for one: nearly as long as others take to notice that somebody is gone.
TWICE, AGAIN, CRAWLS = 0.03, 4, 0.2
#: Seconds until all is installed and the directory knows.
REPORT = 90.0


@frozen
class Plan:
    """
    What a seed has in store.

    @ivar uneven: how much faster than the slowest the fastest healthy card is.
    @ivar slow: the share of its card that is left to some peers.
    @ivar dead: the share of peers without power from the beginning.
    @ivar killed: the share of peers that die on the way, at C{moment}, a part of the fluid limit.
    @ivar silent: do these lose power, rather than crash?
    @ivar back: seconds after which they come back; 0 for never.
    """

    peers: int
    size: int
    mbit: float
    uneven: float
    slow: tuple[float, ...]
    dead: float
    killed: float
    moment: float
    silent: bool
    back: float
    vices: tuple[type[Vice], ...]

    @classmethod
    def draw(cls, random: Random) -> Plan:
        """Each kind of fault is absent from every second seed."""

        def perhaps(most: float) -> float:
            return random.uniform(0.0, most) if random.random() < 0.5 else 0.0

        return cls(
            peers=random.randint(5, 16),
            size=round(10 ** random.uniform(4.5, 6.4)),
            mbit=random.choice([5.0, 20.0, 100.0]),
            uneven=random.choice([1.0, 1.0, 4.0]),
            slow=tuple(10 ** random.uniform(-1.5, -0.3) for _ in range(round(perhaps(2.5)))),
            dead=perhaps(0.25),
            killed=perhaps(0.25),
            moment=random.uniform(0.0, 0.9),
            silent=random.random() < 0.5,
            back=random.uniform(0.5, 20.0) if random.random() < 0.3 else 0.0,
            vices=tuple(random.choices(VICES, k=random.randint(1, 2))) if random.random() < 0.4 else (),
        )


@define(eq=False)
class SwarmStorm:
    """A seed that is played."""

    seed: int
    plan: Plan = field(init=False)
    swarm: Swarm = field(init=False)
    _slowest: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.plan = plan = Plan.draw(Random(self.seed))
        self.swarm = Swarm(plan.peers, plan.size, plan.mbit, self.seed, plan.vices)

    @property
    def _last(self) -> float:
        """Seconds until the last fault."""
        plan = self.plan
        return plan.moment * self.swarm.fluid + plan.back if plan.killed else 0.0

    @property
    def bound(self) -> float:
        """Seconds in which all must have it."""
        copies = max(2 * self.swarm.fluid, self.plan.size / self._slowest)
        silent = SILENT if self.plan.dead or self.plan.killed else 0.0
        return self._last + SLOWEST * copies + silent + LIES * len(self.plan.vices) + MORE

    def play(self) -> None:
        """All of it; raises whatever is wrong."""
        self.swarm.run(before=self._prepare, after=self._check)

    def _prepare(self, swarm: Swarm) -> None:
        plan, cluster, dice = self.plan, swarm.cluster, Random(self.seed)
        machines = dice.sample(cluster.up, plan.peers)
        dead, killed = round(plan.peers * plan.dead), round(plan.peers * plan.killed)
        self._slowest = swarm.rate
        for machine in machines:
            self._set_card(machine, dice.uniform(1.0, plan.uneven))
        for machine, share in zip(reversed(machines), plan.slow, strict=False):
            self._set_card(machine, share)
            self._slowest = min(self._slowest, swarm.rate * share)
        for machine in machines[:dead]:
            cluster.power_loss(machine.address)
        swarm.within = self.bound
        for machine in machines[dead : dead + killed]:
            cluster.world.call_later(plan.moment * swarm.fluid, self._kill, machine)

    def _set_card(self, machine: Machine, share: float) -> None:
        host = self.swarm.cluster.network.host(machine.address)
        host.uplink.rate = host.downlink.rate = self.swarm.rate * share

    def _kill(self, machine: Machine) -> None:
        cluster, plan = self.swarm.cluster, self.plan
        (cluster.power_loss if plan.silent else cluster.crash)(machine.address)
        self.swarm.finished.pop(machine.name, None)
        if plan.back:
            cluster.world.call_later(plan.back, cluster.boot, machine.address)

    def _check(self, swarm: Swarm) -> None:
        cluster, digest = swarm.cluster, swarm.entry.update.packages[0].sha256
        cluster.world.run_for(max(0.0, self._last - swarm.elapsed))
        cluster.world.run_until(swarm.all_have_it, within=self.bound - swarm.elapsed, every=0.1)
        for machine in cluster.up:
            if machine.read(digest) != cluster.contents[digest]:
                raise Broken(f"I3: {machine.name} has other bytes than were submitted")
        piece = swarm.entry.update.packages[0].pieces.size
        crawling = sum(piece / (swarm.rate * share) >= CRAWLS for share in self.plan.slow)
        if swarm.duplicates > TWICE + crawling * AGAIN * piece / (self.plan.size * len(cluster.up)):
            raise Broken(f"L6: {swarm.duplicates:.1%} of what came was here already")
        cluster.world.run_until(cluster.agrees, within=REPORT, every=0.5)
        check_at_rest(cluster)
