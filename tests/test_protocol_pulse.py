"""Signs of life: who is asked for them, how seldom will do, and who is given up."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from clumpt.protocols.limits import Limits
from clumpt.protocols.messages import Ping, Pong
from clumpt.protocols.pulse import AWAKE, DIALLED
from clumpt.protocols.requests import Piece
from tests.protocol_kit import TOP, Town, Wire, host_of

PING, PONG = (b"".join(message.frame().encode()) for message in (Ping(), Pong()))
#: Long enough to see a habit.
LONG = 3000.0


class PulseCase(SynchronousTestCase):
    """C{a} has dialled C{b}; nothing else happens."""

    limits = Limits(idle=1e6)

    def setUp(self) -> None:
        self.town = Town("ab", self.limits)
        self.town.dial("a", "b")
        self.town.run(0.1)
        self.began = self.town.clock.seconds()

    @property
    def wires(self) -> list[Wire]:
        return self.town.net.wires

    def end(self, name: str, port: int) -> Wire:
        """The end of a line at the peer C{name}: 1 is the notification, 2 the update line."""
        (wire,) = [wire for wire in self.wires if (wire.here, wire.port) == (host_of(name), port)]
        return wire

    def said(self, words: bytes) -> list[int]:
        """How often each end of each line said C{words}."""
        return [wire.written.count(words) for wire in self.wires]

    def link(self, name: str) -> Any:
        (link,) = self.town.networks[name].links().values()
        return link

    def forget(self, name: str) -> None:
        """Let the peer C{name} ask nobody any more."""
        self.town.networks[name]._pulses.remove(self.link(name)._pulse)

    def assertUnlinked(self, within: float) -> float:
        """Both ends gave the link up, the later of them in this time; the seconds it took."""
        while self.town.pairs():
            self.town.run(0.5)
            self.assertLessEqual(self.town.clock.seconds() - self.began, within + 1)
        self.assertEqual([agent.names()[-1] for agent in self.town.agents.values()], ["unlinked"] * 2)
        return self.town.clock.seconds() - self.began

    def told(self, name: str) -> str:
        """What the operator of the peer C{name} was told."""
        return " ".join(why for _, why in self.town.networks[name]._wires.complaints._told)


class IdleTests(PulseCase):
    """A link on which nothing is said."""

    def test_one_exchange(self) -> None:
        """In each interval there is one ping and one pong: who dialled asks, on both lines in turn."""
        self.town.run(LONG)
        asked = [self.end("a", port).written.count(PING) for port in (1, 2)]
        self.assertEqual([self.end("b", port).written.count(PONG) for port in (1, 2)], asked)
        self.assertEqual(sum(self.said(PING)), sum(asked))
        self.assertAlmostEqual(sum(asked), LONG / (DIALLED * self.limits.ping), delta=1)
        self.assertLessEqual(abs(asked[0] - asked[1]), 1)
        self.assertEqual(self.town.pairs(), 2)

    def test_called(self) -> None:
        """If who dialled does not ask, the other does, after the whole interval."""
        self.forget("a")
        self.town.run(LONG)
        self.assertEqual(sum(self.end("a", port).written.count(PING) for port in (1, 2)), 0)
        self.assertAlmostEqual(sum(self.said(PING)), LONG / self.limits.ping, delta=1)
        self.assertEqual(self.town.pairs(), 2)

    def test_late_timers(self) -> None:
        """Where timers ring late, and the far side answers sooner than that, the link lives."""
        for _ in range(20):
            for step in (self.limits.ping + 0.01, 0.001, 0.001):
                self.town.clock.advance(step)
        self.assertEqual(self.town.pairs(), 2)


class StepTests(PulseCase):
    """Several peers, linked at different times."""

    names = "abcdefgh"

    def setUp(self) -> None:
        self.town = Town(self.names, self.limits)
        for at, name in enumerate(self.names):
            for way in (1, 3, 4):
                self.town.dial(name, self.names[(at + way) % len(self.names)])
            self.town.run(7.3)
        self.town.run(300)

    def test_in_step(self) -> None:
        """Each peer is awake for a moment in each interval, and looks after all its links then."""
        began = self.town.clock.seconds()
        last = dict.fromkeys(self.names, began)
        moments = Counter[str]()
        before = sum(self.said(PING))
        while self.town.clock.seconds() < began + LONG / 3:
            written = {name: self.said_by(name) for name in self.names}
            self.town.run(0.2)
            now = self.town.clock.seconds()
            for name in self.names:
                if self.said_by(name) > written[name]:
                    moments[name] += now - last[name] > 1
                    last[name] = now
        most = LONG / 3 / (DIALLED * self.limits.ping) + 1
        for name in self.names:
            self.assertLessEqual(moments[name], most)
        self.assertLessEqual(sum(self.said(PING)) - before, most * self.town.pairs() / 2)

    def test_patience(self) -> None:
        """That others ask meanwhile does not make anybody less patient with a peer that is slow to answer."""
        hosts = {host_of("a"), host_of("b")}
        between = [wire for wire in self.wires if {wire.here, wire.there} == hosts]
        for _ in range(10):
            for wire in between:
                wire.taken = False
            self.town.run(2 * self.limits.ping - 3)
            for wire in between:
                wire.take_again()
            self.town.run(33)
        self.assertFalse(any(wire.closed for wire in between))

    def said_by(self, name: str) -> int:
        return sum(len(wire.written) for wire in self.wires if wire.here == host_of(name))

    def test_no_wake_in_vain(self) -> None:
        """One timer is enough for a peer, whatever the number of its links."""
        for network in self.town.networks.values():
            network._sweeper.stop()
        self.assertEqual(len(self.town.clock.getDelayedCalls()), len(self.names))


class BusyTests(PulseCase):
    """A link on which something is said all the time."""

    def talk(self, seconds: float, words: Any) -> None:
        for _ in range(int(seconds / 10)):
            words()
            self.town.run(10)

    def test_both_lines(self) -> None:
        """Where both lines are used, nobody pings."""

        def words() -> None:
            for name in "ab":
                self.link(name).reload()
                self.link(name).offer(TOP, 1)

        self.talk(LONG, words)
        self.assertEqual(self.said(PING), [0, 0, 0, 0])

    def test_one_line(self) -> None:
        """Where one is, the other is pinged, and only after two intervals at most."""
        self.talk(LONG, lambda: [self.link(name).reload() for name in "ab"])
        self.assertEqual([self.end(name, 1).written.count(PING) for name in "ab"], [0, 0])
        pings = sum(self.said(PING))
        self.assertGreaterEqual(pings, LONG / (2 * self.limits.ping) - 1)
        self.assertLessEqual(pings, LONG / ((1 + AWAKE) * self.limits.ping) + 1)


class DeathTests(PulseCase):
    """What does not answer."""

    def test_peer(self) -> None:
        """A peer that gives no sign of life is given up after two pings, in three intervals at most."""
        self.town.net.kill(host_of("b"))
        took = self.assertUnlinked(90)
        self.assertGreater(took, (DIALLED + 2) * self.limits.ping - 1)
        self.assertEqual(sum(self.said(PING)), 4)
        self.assertIn("no sign of life for ", self.told("a"))

    def test_peer_after_a_while(self) -> None:
        """The same, whenever it dies."""
        self.town.run(LONG)
        self.began = self.town.clock.seconds()
        self.town.net.kill(host_of("b"))
        self.assertUnlinked(90)

    def test_patience(self) -> None:
        """A way that is closed for less than two intervals does no harm."""
        for _ in range(20):
            for wire in self.wires:
                wire.taken = False
            self.town.run(2 * self.limits.ping - 3)
            for wire in self.wires:
                wire.take_again()
            self.town.run(33)
        self.assertEqual(self.town.pairs(), 2)

    def half_dead(self, port: int, *, both: bool, busy: bool) -> None:
        self.setUp()
        for name in "ab" if both else "a":
            self.end(name, port).cut = True
        while self.town.pairs() == 2:
            if busy:
                for link in (self.link("a"), self.link("b")):
                    link.offer(TOP, 1) if port == 1 else link.reload()
            self.town.run(5)
            self.assertLessEqual(self.town.clock.seconds() - self.began, 120 + 5)
        # Who gives it up ends the line that lives, too; so the other end hears of it.
        self.assertUnlinked(126)
        self.assertIn("no sign of life for ", self.told("a") + self.told("b"))

    def test_one_line(self) -> None:
        """A line that died by itself ends the link in four intervals, whatever the other line does."""
        for port in (1, 2):
            for both in (True, False):
                for busy in (True, False):
                    self.half_dead(port, both=both, busy=busy)

    def test_other_words(self) -> None:
        """Other words are a sign of life too: a pong may have to wait until a large piece has come."""
        self.limits = evolve(self.limits, request=1e6)
        self.setUp()
        self.end("a", 2).cut = True
        self.forget("b")
        self.link("a").piece(TOP, 1, 100_000).addErrback(lambda failure: None)
        piece = b"".join(Piece(1, bytes(100_000)).frame().encode())
        for second in range(600):
            # On the other line something is said all the time, so that nobody pings there.
            self.link("b").reload()
            if second % 65 == 0:
                self.end("b", 2).write(piece[second * 100 : (second + 65) * 100])
            self.town.run(1)
        self.assertGreater(self.end("a", 2).written.count(PING), 5)

    def test_no_timer_is_left(self) -> None:
        """With the link, its timers end."""
        for network in self.town.networks.values():
            network.stop()
        self.town.run(5)
        self.assertEqual(self.town.clock.getDelayedCalls(), [])


class OlderTests(PulseCase):
    """A peer that asks on each line by itself, after thirty seconds."""

    def test_answered(self) -> None:
        """It is answered on the line where it asked, each time, and itself asked no more than before."""
        link = self.link("b")
        self.forget("b")
        before = self.said(PONG)
        for asked in range(1, 41):
            self.town.run(30)
            for line in link._pair.lines:
                line.send(Ping())
            self.town.run(0.1)
            self.assertEqual(
                [self.end("a", port).written.count(PONG) for port in (1, 2)], [before[0] + asked] * 2
            )
        self.assertLessEqual(sum(self.end("a", port).written.count(PING) for port in (1, 2)), 41)
        self.assertEqual(self.town.pairs(), 2)


class LimitsTests(PulseCase):
    """The interval and the number of pings are as the limits say."""

    limits = evolve(PulseCase.limits, ping=1.0, missed=5)

    def test_death(self) -> None:
        """A peer is given up after five pings, in six seconds at most."""
        self.town.net.kill(host_of("b"))
        self.assertUnlinked(6)
        self.assertEqual(sum(self.said(PING)), 10)
