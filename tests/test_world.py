"""
The simulated world: its clock, its dice, its diary and its weather.

L{Gossip} at the end is also the example of how a cluster is simulated: 100 peers spread a package.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field, fields
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from clumpt.testing.faults import Cut, between, bridge, isolate, one_way, ring, split
from clumpt.testing.net import Network
from clumpt.testing.weather import Levers, Storm, Weather
from clumpt.testing.world import World

SEEDS = range(5)


class ClockTests(SynchronousTestCase):
    """Time passes from timer to timer."""

    def setUp(self) -> None:
        self.world = World(1)
        self.fired: list[Any] = []

    def test_order(self) -> None:
        """Timers fire in the order of their times, at their times."""
        for delay in (3.0, 1.0, 2.0):
            self.world.call_later(delay, lambda: self.fired.append(self.world.now))
        self.world.run_for(2.5)
        self.assertEqual((self.fired, self.world.now), ([1.0, 2.0], 2.5))
        self.world.run_for(2.5)
        self.assertEqual((self.fired, self.world.now, self.world.events), ([1.0, 2.0, 3.0], 5.0, 3))

    def test_cancel(self) -> None:
        """A timer that is cancelled, or has fired, says so if it is touched again."""
        timer = self.world.call_later(1, self.fired.append, 1)
        self.assertTrue(timer.active())
        timer.cancel()
        self.assertFalse(timer.active())
        self.assertRaises(AlreadyCancelled, timer.cancel)
        self.assertRaises(AlreadyCancelled, timer.reset, 1)
        called = self.world.call_later(1, self.fired.append, 2)
        self.world.run_for(2)
        self.assertEqual(self.fired, [2])
        self.assertRaises(AlreadyCalled, called.cancel)

    def test_move(self) -> None:
        """A timer can be put off and brought forward."""
        later = self.world.call_later(1, self.fired.append, "later")
        sooner = self.world.call_later(5, self.fired.append, "sooner")
        later.delay(6)
        sooner.reset(2)
        self.assertEqual((later.getTime(), sooner.getTime()), (7, 2))
        self.world.run_for(3)
        self.assertEqual(self.fired, ["sooner"])
        self.world.run_for(4)
        self.assertEqual(self.fired, ["sooner", "later"])

    @given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["keep", "cancel", "off", "forward"]))))
    def test_any_plan(self, plan: Sequence[tuple[int, str]]) -> None:
        """However timers are moved and cancelled, each that is left fires once, at its last time."""
        world, fired, due = World(3), [], []
        for number, (delay, fate) in enumerate(plan):
            timer = world.call_later(delay, lambda number=number: fired.append((world.now, number)))
            if fate == "cancel":
                timer.cancel()
                continue
            if fate == "off":
                timer.delay(delay)
            elif fate == "forward":
                timer.reset(delay / 2)
            due.append((timer.getTime(), number))
        world.run_for(100)
        self.assertEqual(sorted(fired), sorted(due))
        self.assertEqual([when for when, _ in fired], sorted(when for when, _ in due))

    def test_many_cancelled(self) -> None:
        """Cancelled timers do not pile up."""
        host = Network(self.world).host("10.0.0.1")
        host.reactor.callLater(50, self.fired.append, "kept")
        for _ in range(10_000):
            host.reactor.callLater(60, bool).cancel()
        self.assertLess(len(self.world._heap), 3000)
        self.assertEqual(len(host.reactor.getDelayedCalls()), 1)
        self.world.run_for(100)
        self.assertEqual((self.fired, len(self.world._heap)), (["kept"], 0))

    def test_past(self) -> None:
        """Nothing can be asked of a reactor before now."""
        reactor = Network(self.world).host("10.0.0.1").reactor
        self.assertRaises(ValueError, reactor.callLater, -1, bool)

    def test_equal_times(self) -> None:
        """What is due at the same time comes in an order that the seed decides."""
        orders = set()
        for seed in range(20):
            world, fired = World(seed), []
            for number in range(5):
                world.call_later(1, fired.append, number)
            world.run_for(2)
            self.assertEqual(sorted(fired), list(range(5)))
            orders.add(tuple(fired))
        self.assertGreater(len(orders), 10)


class RunTests(SynchronousTestCase):
    """A run ends when it should, and a failure tells how to repeat it."""

    def setUp(self) -> None:
        self.world = World(77)
        self.ticks = 0
        self._tick()

    def _tick(self) -> None:
        self.ticks += 1
        self.world.note("tick", self.ticks)
        self.world.call_later(1.0, self._tick)

    def test_until(self) -> None:
        """A run ends with the event that makes the condition true."""
        self.assertEqual(self.world.run_until(lambda: self.ticks == 5, within=100), 4.0)
        self.assertEqual(self.world.run_until(lambda: self.ticks == 5, within=100), 4.0)

    def test_seldom(self) -> None:
        """A costly condition is looked at only now and then."""
        looks: list[float] = []
        self.world.run_until(
            lambda: bool(looks.append(self.world.now)) or self.ticks > 20, within=100, every=10
        )
        self.assertEqual(looks, [0, 10, 20])
        self.world.run_until(lambda: self.world.now == 20.25, within=0.3, every=0.25)

    def test_never(self) -> None:
        """If time is over, the error names seed and time, and shows the diary's tail."""
        with self.assertRaises(AssertionError) as caught:
            self.world.run_until(lambda: False, within=300)
        story = str(caught.exception)
        self.assertIn("seed 77, second 300.0", story)
        self.assertIn("not so after 300 s", story)
        self.assertIn("tick 301", story)
        self.assertIn("tick 102\n", story)
        self.assertNotIn("tick 101\n", story)

    def test_nothing_left(self) -> None:
        """A world where nothing is due any more waits in vain."""
        world = World(1)
        self.assertRaises(AssertionError, world.run_until, lambda: False, within=5)
        self.assertEqual(world.run_until(lambda: world.now == 5, within=0), 5)

    def test_error(self) -> None:
        """An error that nobody caught ends the run and is kept."""
        self.world.call_later(2.5, lambda: 1 / 0)
        with self.assertRaises(AssertionError) as caught:
            self.world.run_for(100)
        self.assertIsInstance(caught.exception.__cause__, ZeroDivisionError)
        self.assertEqual((self.world.now, len(self.world.errors)), (2.5, 1))

    def test_storm(self) -> None:
        """A run that has more events than its budget is ended."""
        world = World(1, budget=1000)

        def again() -> None:
            world.call_later(0, again)

        again()
        with self.assertRaises(AssertionError) as caught:
            world.run_for(1)
        self.assertIn("a storm: 1000 events", str(caught.exception))

    def test_watchers(self) -> None:
        """A watcher looks after every event; what it raises ends the run."""

        def watch() -> None:
            self.assertLess(self.ticks, 10)

        self.world.watchers.append(watch)
        self.assertRaises(self.failureException, self.world.run_for, 100)
        self.assertEqual(self.ticks, 10)

    def test_not_within_itself(self) -> None:
        """A callback cannot run the world; afterwards it still runs."""
        self.world.call_later(0.5, self.world.run_for, 1)
        self.assertRaises(AssertionError, self.world.run_for, 1)
        self.world.errors.clear()
        self.world.run_for(1)


class ShapeTests(SynchronousTestCase):
    """Each shape of cut blocks what it says, and nothing else."""

    hosts = tuple(f"10.0.0.{number}" for number in range(8))

    def blocked(self, cut: Cut) -> set[tuple[int, int]]:
        places = range(len(self.hosts))
        return {(a, b) for a in places for b in places if a != b and cut(self.hosts[a], self.hosts[b])}

    def test_pairs(self) -> None:
        """Between two, or one way only."""
        self.assertEqual(self.blocked(between(*self.hosts[:2])), {(0, 1), (1, 0)})
        self.assertEqual(self.blocked(one_way(*self.hosts[:2])), {(0, 1)})

    def test_isolate(self) -> None:
        """One against all."""
        self.assertEqual(
            self.blocked(isolate(self.hosts[3])), {p for n in range(8) if n != 3 for p in ((3, n), (n, 3))}
        )

    def test_split(self) -> None:
        """Two halves."""
        self.assertEqual(len(self.blocked(split(self.hosts[:4]))), 2 * 16)

    def test_bridge(self) -> None:
        """Two halves, and one that hears both."""
        blocked = self.blocked(bridge(self.hosts[:4], self.hosts[7]))
        self.assertEqual(len(blocked), 2 * 4 * 3)
        self.assertFalse(any(7 in pair for pair in blocked))

    def test_ring(self) -> None:
        """Each hears two on either side, so no two hear the same; strangers are not concerned."""
        cut = ring(self.hosts)
        blocked = self.blocked(cut)
        self.assertEqual({b for a, b in blocked if a == 0}, {3, 4, 5})
        self.assertEqual(blocked, {(b, a) for a, b in blocked})
        self.assertFalse(cut("elsewhere", self.hosts[0]))


@define(eq=False)
class Ledger:
    """A cluster that only writes down what the weather does to it."""

    network: Network
    log: list[tuple[str, Any]] = field(factory=list)

    def levers(self) -> Levers:
        return Levers(
            crash=self.note("crash", lambda address: self.network.hosts[address].crash()),
            power_loss=self.note("power_loss", lambda address: self.network.hosts[address].power_off()),
            boot=self.note("boot", lambda address: self.network.hosts[address].boot()),
            slow_disk=lambda address, slow: self.log.append(("slow" if slow else "fast", address)),
            directory=lambda there: self.log.append(("directory", there)),
        )

    def note(self, word: str, then: Callable[[str], object]) -> Callable[[str], None]:
        def strike(address: str) -> None:
            self.log.append((word, address))
            then(address)

        return strike

    def count(self, word: str) -> int:
        return sum(1 for entry in self.log if entry[0] == word)


class WeatherTests(SynchronousTestCase):
    """The weather does what its numbers say, and is over when it is cleared."""

    def storm(self, weather: Weather, hosts: int = 40, seed: int = 1) -> tuple[Ledger, Storm]:
        network = Network(World(seed))
        for number in range(hosts):
            network.host(f"10.0.0.{number}")
        ledger = Ledger(network)
        storm = Storm(network, weather, ledger.levers())
        storm.rage(lasting=600)
        return ledger, storm

    def test_calm(self) -> None:
        """Nothing happens in calm weather."""
        ledger, storm = self.storm(Weather())
        self.assertEqual(ledger.network.world._heap, [])
        storm.clear()
        self.assertEqual(ledger.log, [])

    def test_hosts_are_felled(self) -> None:
        """Hosts crash and go dark, and come up again."""
        ledger, _ = self.storm(Weather(crashes=1.0, power_losses=0.5))
        ledger.network.world.run_for(2000)
        self.assertTrue(20 <= ledger.count("crash") <= 40, ledger.log)
        self.assertTrue(5 <= ledger.count("power_loss") <= 30, ledger.log)
        self.assertEqual(ledger.count("boot"), ledger.count("crash") + ledger.count("power_loss"))
        self.assertTrue(all(host.alive for host in ledger.network.hosts.values()))

    def test_share_of_time(self) -> None:
        """The directory is away for about its share of the time, over many seeds."""
        away = 0
        for seed in range(60):
            ledger, _ = self.storm(Weather(directory_outages=0.3), seed=seed)
            for _ in range(60):
                ledger.network.world.run_for(10)
                away += bool(ledger.log and not ledger.log[-1][1])
        self.assertTrue(0.2 < away / 3600 < 0.4, away / 3600)

    def test_cuts_and_links(self) -> None:
        """The network is cut, in several shapes, and mended."""
        ledger, _ = self.storm(Weather(cuts=0.9, slow_links=0.9, slow_hosts=1.0, slow_disks=1.0))
        network = ledger.network
        network.world.run_for(300)
        self.assertIn(" cut ", network.world.tail())
        self.assertLess(min(host.uplink.rate for host in network.hosts.values()), 125e6 / 5)
        network.world.run_for(2000)
        self.assertEqual((network.faults._cuts, network.faults._slow), ({}, {}))
        self.assertEqual(ledger.count("slow"), ledger.count("fast"))
        for host in network.hosts.values():
            self.assertAlmostEqual(host.uplink.rate / 125e6, 1.0)

    def test_clear(self) -> None:
        """Clearing ends everything at once, and what was planned does not come."""
        hurricane = Weather(*(0.9 for _ in fields(Weather)))
        for seed in range(10):
            ledger, storm = self.storm(hurricane, seed=seed)
            ledger.network.world.run_for(300)
            ledger.network.cut("10.0.0.1", "10.0.0.2")
            storm.clear()
            self.assertTrue(all(host.alive for host in ledger.network.hosts.values()))
            self.assertEqual((ledger.network.faults._cuts, ledger.network.faults._slow), ({}, {}))
            self.assertEqual(ledger.count("slow"), ledger.count("fast"))
            told = len(ledger.log)
            ledger.network.world.run_for(2000)
            self.assertEqual(len(ledger.log), told)

    def test_swarm(self) -> None:
        """Drawn weather differs from seed to seed: any kind of fault is absent here and bad there."""
        drawn = [Weather.draw(Random(seed)) for seed in range(100)]
        for kind in fields(Weather):
            values = [getattr(weather, kind.name) for weather in drawn]
            self.assertGreater(values.count(0.0), 25)
            self.assertGreater(max(values), 0.4)
        self.assertRaises(ValueError, Weather, 1.5)

    def test_alone(self) -> None:
        """A network of one host has weather too."""
        ledger, _ = self.storm(Weather(cuts=0.9, slow_links=0.9), hosts=1)
        ledger.network.world.run_for(2000)


# A cluster in small: peers tell neighbours what they have, and fetch it piece by piece.

PORT = 4000
PIECE = 65536


class Talk(Int32StringReceiver):
    """News (N), wishes (W) and pieces (P), each with a number."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def connectionMade(self) -> None:
        self.peer.talks[self] = None
        if self.peer.whole:
            self.say(b"N", 0)

    def stringReceived(self, string: bytes) -> None:
        self.peer.told(self, string[:1], int.from_bytes(string[1:5], "big"), len(string) - 5)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.peer.lost(self)

    def say(self, kind: bytes, number: int, data: bytes = b"") -> None:
        self.sendString(kind + number.to_bytes(4, "big") + data)


@define(eq=False)
class Peer:
    """Holds pieces of one package; C{disk} is what survives a crash."""

    network: Network
    address: str
    neighbours: Sequence[str]
    disk: set[int]
    pieces: int
    talks: dict[Talk, None] = field(factory=dict)
    source: Talk | None = None
    asked: set[int] = field(factory=set)

    def start(self) -> None:
        reactor = self.network.hosts[self.address].reactor
        TCP4ServerEndpoint(reactor, PORT).listen(Factory.forProtocol(lambda: Talk(self)))
        sync = LoopingCall(self.dial)
        sync.clock = reactor
        sync.start(30)

    def dial(self) -> None:
        linked = {talk.transport.getPeer().host for talk in self.talks}
        for address in self.neighbours:
            if address not in linked:
                endpoint = TCP4ClientEndpoint(self.network.hosts[self.address].reactor, address, PORT, 5)
                endpoint.connect(Factory.forProtocol(lambda: Talk(self))).addErrback(lambda _: None)
        for talk in self.talks:
            if self.whole:
                talk.say(b"N", 0)

    @property
    def whole(self) -> bool:
        return len(self.disk) == self.pieces

    def told(self, talk: Talk, kind: bytes, number: int, size: int) -> None:
        if kind == b"W":
            talk.say(b"P", number, bytes(PIECE))
        elif kind == b"P":
            assert size == PIECE
            self.disk.add(number)
            if self.whole:
                for other in self.talks:
                    other.say(b"N", 0)
        elif self.source is None:
            self.source = talk
        if talk is self.source:
            self.fetch(talk)

    def fetch(self, talk: Talk) -> None:
        for number in range(self.pieces):
            if len(self.asked - self.disk) >= 8:
                return
            if number not in self.disk and number not in self.asked:
                self.asked.add(number)
                talk.say(b"W", number)

    def lost(self, talk: Talk) -> None:
        del self.talks[talk]
        if talk is self.source:
            self.source = None
            self.asked.clear()


@define(eq=False)
class Gossip:
    """Peers in a ring with some chance neighbours; the first one has the package."""

    seed: int
    count: int = 100
    pieces: int = 32
    world: World = field(init=False)
    network: Network = field(init=False)
    disks: dict[str, set[int]] = field(init=False)
    neighbours: dict[str, list[str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.world = World(self.seed)
        self.network = Network(self.world)
        addresses = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(self.count)]
        self.disks = {address: set() for address in addresses}
        self.disks[addresses[0]] |= set(range(self.pieces))
        self.neighbours = {}
        for number, address in enumerate(addresses):
            chosen = [addresses[number - 1], *self.world.random.sample(addresses, 3)]
            self.neighbours[address] = [other for other in dict.fromkeys(chosen) if other != address]
            self.network.host(address)
        for address in addresses:
            self.start(address)

    def start(self, address: str) -> None:
        """Build a peer from its disk alone."""
        Peer(self.network, address, self.neighbours[address], self.disks[address], self.pieces).start()

    def boot(self, address: str) -> None:
        self.network.hosts[address].boot()
        self.start(address)

    def storm(self, weather: Weather) -> Storm:
        hosts = self.network.hosts
        return Storm(
            self.network,
            weather,
            Levers(
                crash=lambda address: hosts[address].crash(),
                power_loss=lambda address: hosts[address].power_off(),
                boot=self.boot,
            ),
        )

    def agrees(self) -> bool:
        return all(len(disk) == self.pieces for disk in self.disks.values())

    def weathered(self) -> str:
        """Live through drawn weather, agree, and give the fingerprint."""
        storm = self.storm(Weather.draw(self.world.random))
        storm.rage(lasting=120)
        self.world.run_for(120)
        storm.clear()
        self.world.run_until(self.agrees, within=600, every=0.1)
        return self.world.fingerprint()


class GossipTests(SynchronousTestCase):
    """A whole cluster lives in a world."""

    def test_spreads(self) -> None:
        """100 peers have a package of 2 MB soon, each byte crossing each downlink about once."""
        gossip = Gossip(1)
        gossip.world.run_until(gossip.agrees, within=10, every=0.01)
        size = gossip.pieces * PIECE
        for address, host in gossip.network.hosts.items():
            if address != "10.0.0.1":
                self.assertTrue(size <= host.downlink.carried < 1.1 * size)

    def test_weather(self) -> None:
        """Whatever the weather, once it clears every peer has the package (R48)."""
        for seed in SEEDS:
            Gossip(seed, count=20, pieces=8).weathered()

    def test_same_seed(self) -> None:
        """The same seed gives the same run; another seed gives another."""
        first, again, other = (Gossip(seed, count=15, pieces=4).weathered() for seed in (8, 8, 9))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_any_process(self) -> None:
        """Neither the process nor the seed of its hashes changes a run."""
        script = "from tests.test_world import Gossip; print(Gossip(8, count=15, pieces=4).weathered())"
        here = Gossip(8, count=15, pieces=4).weathered()
        for seed in ("1", "2"):
            run = subprocess.run(
                [sys.executable, "-c", script],
                env={**os.environ, "PYTHONHASHSEED": seed},
                cwd=Path(__file__).parent.parent,
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            self.assertEqual(run.stdout.strip(), here)
