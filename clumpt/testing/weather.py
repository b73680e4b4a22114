"""
Bad weather for a simulated cluster: what happens to it, how much, and when, all drawn from the seed.

L{Weather} says how bad it is; L{Weather.draw} makes some seeds calm and others hurricanes.  L{Storm} lets it
rage over a network, with L{Levers} for what only the cluster can do::

    storm = Storm(network, Weather.draw(world.random), Levers(crash=cluster.crash, boot=cluster.boot, ...))
    storm.rage(lasting=600.0)
    world.run_for(600.0)
    storm.clear()                       # all faults end, all hosts are up
    world.run_until(cluster.agrees, within=1800.0)
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import define, evolve, field, fields, frozen
from attrs.validators import ge, le

from clumpt.testing.faults import Cut, Slow, between, bridge, isolate, one_way, ring, split
from clumpt.testing.net import Network
from clumpt.testing.reactor import Host
from clumpt.testing.world import Timer

__all__ = ["Levers", "Storm", "Weather"]

# The least and the most seconds that one fault lasts.
SPELL = (0.5, 300.0)


def _share() -> float:
    share: float = field(default=0.0, validator=[ge(0.0), le(1.0)])
    return share


@frozen
class Weather:
    """
    How bad it is; each number is from 0 (never) to 1.

    @ivar crashes: the share of hosts whose program dies, once.
    @ivar power_losses: the share of hosts that go dark, once.
    @ivar slow_hosts: the share of hosts whose card is slow for some time.
    @ivar slow_disks: the share of hosts whose disk is slow for some time.
    @ivar cuts: the share of the time that the network is cut somewhere.
    @ivar slow_links: the share of the time that some link is slow.
    @ivar directory_outages: the share of the time that the directory is away.
    """

    crashes: float = _share()
    power_losses: float = _share()
    slow_hosts: float = _share()
    slow_disks: float = _share()
    cuts: float = _share()
    slow_links: float = _share()
    directory_outages: float = _share()

    @classmethod
    def draw(cls, random: Random, most: float = 0.5) -> Weather:
        """Any weather: each kind of fault is absent for every second seed, else up to C{most}."""
        drawn = {
            kind.name: random.uniform(0.0, most) if random.random() < 0.5 else 0.0 for kind in fields(cls)
        }
        return evolve(cls(), **drawn)


def _nothing(*_: object) -> None:
    """What a cluster does that has no such part."""


@frozen
class Levers:
    """
    What the cluster does when the storm strikes; addresses name hosts.

    C{crash} and C{power_loss} let a host die with all that its program and disk lose, C{boot} builds its
    program again from its disk.  C{slow_disk} is called with True, and with False when it is over.
    """

    crash: Callable[[str], object] = _nothing
    power_loss: Callable[[str], object] = _nothing
    boot: Callable[[str], object] = _nothing
    slow_disk: Callable[[str, bool], object] = _nothing
    directory: Callable[[bool], object] = _nothing


@define(eq=False)
class Storm:
    """
    Weather over a network.

    Each thing that it does has an opposite, which comes some time later or with L{clear}.
    """

    network: Network
    weather: Weather
    levers: Levers
    _timers: list[Timer] = field(factory=list, init=False)
    _undo: dict[int, Callable[[], object]] = field(factory=dict, init=False)
    _next: int = field(default=0, init=False)

    def rage(self, lasting: float) -> None:
        """Draw what happens in the next C{lasting} virtual seconds."""
        weather = self.weather
        hosts = sorted(self.network.hosts)
        for share, strike in (
            (weather.crashes, self._crash),
            (weather.power_losses, self._power_loss),
            (weather.slow_hosts, self._slow_host),
            (weather.slow_disks, self._slow_disk),
        ):
            for host in hosts:
                if self._random.random() < share:
                    self._later(self._random.uniform(0.0, lasting), strike, host)
        for share, start in (
            (weather.cuts, self._cut),
            (weather.slow_links, self._slow_link),
            (weather.directory_outages, self._directory_outage),
        ):
            self._spells(share, lasting, start)

    def clear(self) -> None:
        """End the storm now: what is planned is off, and what was done is undone."""
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()
        self.network.heal()
        for name in list(self._undo):
            self._end(name)

    @property
    def _random(self) -> Random:
        return self.network.world.random

    def _later(self, delay: float, call: Callable[..., object], *args: object) -> None:
        self._timers.append(self.network.world.call_later(delay, call, *args))

    def _spell(self, most: float) -> float:
        """Seconds that a fault lasts: short ones as likely as long ones, whatever the scale."""
        least, longest = SPELL
        ratio = max(least, min(longest, most)) / least
        return float(least * ratio ** self._random.random())

    def _spells(self, share: float, lasting: float, start: Callable[[], object]) -> None:
        if share <= 0.0:
            return
        at = 0.0
        while True:
            spell = self._spell(lasting / 2)
            at += self._random.expovariate(1.0) * spell * (1.0 - share) / share
            if at >= lasting:
                return
            self._later(at, self._for_a_spell, spell, start)
            at += spell

    def _for_a_spell(self, spell: float, start: Callable[[], object]) -> None:
        self._until(spell, start())

    def _until(self, spell: float, undo: object) -> None:
        """Let C{undo}, if it is something to call, be called after C{spell} seconds or when all clears."""
        if callable(undo):
            self._next += 1
            self._undo[self._next] = undo
            self._later(spell, self._end, self._next)

    def _end(self, name: int) -> None:
        undo = self._undo.pop(name, None)
        if undo is not None:
            undo()

    # What strikes a host.

    def _crash(self, address: str) -> None:
        self._fell(address, self.levers.crash)

    def _power_loss(self, address: str) -> None:
        self._fell(address, self.levers.power_loss)

    def _fell(self, address: str, lever: Callable[[str], object]) -> None:
        if self.network.hosts[address].alive:
            lever(address)
            self._until(self._spell(SPELL[1]), lambda: self._boot(address))

    def _boot(self, address: str) -> None:
        if not self.network.hosts[address].alive:
            self.levers.boot(address)

    def _slow_host(self, address: str) -> None:
        host, factor = self.network.hosts[address], 10 ** self._random.uniform(1.0, 3.0)
        self.network.world.note("slow", address)
        self._change_rates(host, 1 / factor)
        self._until(self._spell(SPELL[1]), lambda: self._change_rates(host, factor))

    def _change_rates(self, host: Host, factor: float) -> None:
        host.uplink.rate *= factor
        host.downlink.rate *= factor

    def _slow_disk(self, address: str) -> None:
        self.levers.slow_disk(address, True)
        self._until(self._spell(SPELL[1]), lambda: self.levers.slow_disk(address, False))

    # What strikes the network or the directory.

    def _cut(self) -> Callable[[], object]:
        number = self.network.partition(self._shape())
        return lambda: self.network.mend(number)

    def _shape(self) -> Cut:
        hosts = sorted(self.network.hosts)
        self._random.shuffle(hosts)
        half = hosts[: len(hosts) // 2]
        first, last = hosts[0], hosts[-1]
        shapes = (
            lambda: isolate(first),
            lambda: split(half),
            lambda: bridge(half, last),
            lambda: ring(hosts),
            lambda: between(first, last),
            lambda: one_way(first, last),
        )
        return self._random.choice(shapes)()

    def _slow_link(self) -> Callable[[], object] | None:
        if len(self.network.hosts) < 2:
            return None
        a, b = self._random.sample(sorted(self.network.hosts), 2)
        slow = Slow(self._random.uniform(0.01, 1.0), 10 ** self._random.uniform(4.0, 7.0))
        self.network.slow_down(a, b, slow)
        return lambda: self.network.slow_down(a, b, None)

    def _directory_outage(self) -> Callable[[], object]:
        self.network.world.note("directory", "away")
        self.levers.directory(False)
        return self._directory_back

    def _directory_back(self) -> None:
        self.network.world.note("directory", "back")
        self.levers.directory(True)
