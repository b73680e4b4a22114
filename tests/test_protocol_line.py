"""One connection: greeting, pings, a deaf far side, broken rules."""

from __future__ import annotations

from struct import pack
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadDocument, ProtocolError, Untrusted
from clumpt.model import PeerName
from clumpt.protocols.limits import Limits
from clumpt.protocols.messages import Hello, Message, Ping, Pong, Reload
from clumpt.protocols.news import Have
from clumpt.protocols.notify import NotifyProtocol
from clumpt.protocols.tls import ClearSecurity
from clumpt.protocols.update import UpdateProtocol
from clumpt.protocols.wires import MOST, MOST_EACH, REPEAT, Complaints, Open, Wires
from tests.protocol_kit import TOP, Wire, key_of, run, wired

HELLO = Hello((1,), "d", 3, TOP, b"member", "00")


class Greeting:
    """A greeter that writes down; it greets who was identified, if it should."""

    def __init__(self, greet: bool = True) -> None:
        self.greet = greet
        self.told: list[str] = []
        self.trouble: dict[str, Exception] = {}

    def _tell(self, what: str) -> None:
        self.told.append(what)
        if what in self.trouble:
            raise self.trouble[what]

    def connected(self, line: Any) -> None:
        self._tell("connected")

    def identified(self, line: Any) -> None:
        self._tell("identified")
        if self.greet:
            line.send(HELLO)

    def greeted(self, line: Any) -> None:
        self._tell("greeted")

    def lost(self, line: Any, why: str) -> None:
        self.told.append(f"lost: {why}")


class Partner:
    """A link that writes down."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.ends: list[str] = []
        self.drains = self.pings = 0
        self.trouble: Exception | None = None

    def received(self, line: Any, message: Message) -> None:
        self.heard.append(message)
        if self.trouble is not None:
            raise self.trouble

    def pinged(self) -> None:
        self.pings += 1

    def drained(self, line: Any) -> None:
        self.drains += 1

    def lost(self, line: Any, why: str) -> None:
        self.ends.append(why)


class LineContract:
    """What every L{clumpt.protocols.line.Line} does, tried between two of them."""

    kind: type
    news: Message

    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = Limits()
        self.greetings = Greeting(), Greeting()
        self.partners = Partner(), Partner()
        self.wires = self._wires("left"), self._wires("right")
        self.lines: list[Any] = [
            self.kind(wires, greeting) for wires, greeting in zip(self.wires, self.greetings, strict=True)
        ]

    def _wires(self, far: str) -> Wires:
        security = ClearSecurity(lambda _: (PeerName(far), key_of(far)))
        return Wires(self.clock, security, self.limits, Complaints(self.clock))

    def connect(self) -> tuple[Wire, Wire]:
        self.ends = wired(self.clock, *self.lines)
        return self.ends

    def link(self) -> None:
        self.connect()
        run(self.clock, 0.1)
        for line, partner in zip(self.lines, self.partners, strict=True):
            line.join(partner)

    def assertEnds(self, why: str) -> None:
        """Line 0 was hung up on, at both ends, for this reason."""
        run(self.clock, 0.1)
        self.assertTrue(all(end.closed for end in self.ends))
        self.assertIn(why, self.partners[0].ends[0] if self.partners[0].ends else self.greetings[0].told[-1])
        run(self.clock, 1000)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([len(wires.open) for wires in self.wires], [0, 0])

    def test_greeting(self) -> None:
        """Both are told that the other is there, who it is, and how it greeted."""
        self.connect()
        run(self.clock, 0.1)
        for greeting in self.greetings:
            self.assertEqual(greeting.told, ["connected", "identified", "greeted"])
        self.assertEqual(self.lines[0].hello, HELLO)
        self.assertEqual(self.lines[0].peer, "left")
        self.assertEqual(self.lines[0].fingerprint, key_of("left"))

    def test_silent_stranger(self) -> None:
        """Who does not become part of a link in time is hung up on."""
        self.greetings[1].greet = False
        self.connect()
        run(self.clock, self.limits.greeting - 1)
        self.assertFalse(self.ends[0].closed)
        run(self.clock, 2)
        self.assertEnds("no link after 10 s")

    def test_greeters_may_refuse(self) -> None:
        """At every step the greeter may refuse; the line ends, and the operator is told once."""
        for step, wrong in (
            ("connected", ProtocolError("too many")),
            ("identified", Untrusted("who are you")),
            ("greeted", BadDocument("what is that")),
        ):
            self.setUp()
            self.greetings[0].trouble[step] = wrong
            self.connect()
            self.assertEnds(str(wrong))
            self.assertEqual(self.wires[0].complaints.count, 1)

    def test_unknown_identity(self) -> None:
        """Who cannot be named is hung up on before anything is said."""

        def nobody(transport: object) -> Any:
            raise Untrusted("no certificate")

        self.wires = (
            Wires(self.clock, ClearSecurity(nobody), self.limits, Complaints(self.clock)),
            self.wires[1],
        )
        self.lines[0] = self.kind(self.wires[0], self.greetings[0])
        self.connect()
        self.assertEqual(self.ends[0].written, b"")
        self.assertEnds("no certificate")

    def test_first_word(self) -> None:
        """Anything said before the greeting ends the line."""
        self.greetings[1].greet = False
        self.connect()
        self.lines[1].send(Ping())
        self.assertEnds("before it greeted")

    def test_greeted_twice(self) -> None:
        """A second greeting ends the line."""
        self.connect()
        self.lines[1].send(HELLO)
        self.assertEnds("greeted twice")

    def test_early_words_wait(self) -> None:
        """What is said before the link is whole is heard when it is."""
        self.connect()
        self.lines[1].send(self.news)
        run(self.clock, 1)
        self.lines[0].join(self.partners[0])
        self.assertEqual(self.partners[0].heard, [])
        self.lines[0].replay()
        self.assertEqual(self.partners[0].heard, [self.news])

    def test_too_many_early_words(self) -> None:
        """Only a bounded number of words is kept for later."""
        self.connect()
        for _ in range(self.limits.early + 1):
            self.lines[1].send(self.news)
        self.assertEnds("too much before there is a link")

    def test_garbage(self) -> None:
        """What is no frame, and what is no message, ends the line."""
        for garbage in (b"GET / HTTP/1.0\r\n\r\n", pack("!IB", 3, 0x01) + b"{}"):
            self.setUp()
            self.link()
            self.ends[1].write(garbage)
            run(self.clock, 0.1)
            self.assertEqual(len(self.partners[0].ends), 1)
            self.assertEqual(self.wires[0].complaints.count, 1)
            self.assertEqual(self.partners[0].heard, [])

    def test_nothing_after_the_end(self) -> None:
        """Once a line is given up, nothing is heard, said or complained about any more."""
        self.link()
        self.ends[1].write(b"\xff" * 5 + b"\0\0\0\1\x12")
        self.lines[0].abort("enough")
        written = len(self.ends[0].written)
        for again in (self.lines[0].abort, self.lines[0].close):
            again("more than enough")
        self.lines[0].refuse(ProtocolError("again"))
        self.lines[0].send(Ping())
        self.lines[0].dataReceived(b"\xff" * 5)
        self.assertEqual(len(self.ends[0].written), written)
        self.assertEqual(self.wires[0].complaints.count, 0)
        self.assertEnds("enough")

    def test_mistake_here(self) -> None:
        """A mistake on our side ends the line and is not hidden."""
        self.link()
        self.partners[0].trouble = ZeroDivisionError()
        with self.assertRaises(ZeroDivisionError):
            self.lines[0].dataReceived(b"".join(self.news.frame().encode()))
        self.assertEnds("a mistake on this side")

    def test_ping(self) -> None:
        """A ping is answered where it came, before and in a link; the link hears of it."""
        self.connect()
        run(self.clock, 0.1)
        for asked in ([0, 0], [0, 1]):
            before = len(self.ends[1].written)
            self.lines[0].send(Ping())
            run(self.clock, 0.1)
            self.assertEqual(self.ends[1].written[before:], b"".join(Pong().frame().encode()))
            self.assertEqual([partner.pings for partner in self.partners], asked)
            for line, partner in zip(self.lines, self.partners, strict=True):
                line.join(partner)
        self.assertEqual(self.partners[0].heard + self.partners[1].heard, [])

    def test_doubt(self) -> None:
        """A doubtful line must give a sign of life at once."""
        self.link()
        self.lines[0].doubt()
        run(self.clock, 10)
        self.assertFalse(self.ends[0].closed)
        self.ends[0].cut = True
        self.lines[0].doubt()
        run(self.clock, self.limits.doubt + 1)
        self.assertIn("no answer in 3 s", self.partners[0].ends[0])

    def test_polite_end(self) -> None:
        """What was said before a polite end still arrives."""
        self.link()
        self.lines[0].send(self.news)
        self.lines[0].close("good-bye")
        run(self.clock, 0.1)
        self.assertEnds("good-bye")
        self.assertEqual(self.partners[1].heard, [self.news])

    def test_polite_end_of_a_dead_line(self) -> None:
        """If the far side does not take the good-bye, the line is ended without."""
        self.link()
        for end in self.ends:
            end.cut = True
        self.lines[0].close("good-bye")
        run(self.clock, self.limits.closing + 0.1)
        self.assertEqual(self.partners[0].ends, ["good-bye"])


class NotifyLineTests(LineContract, SynchronousTestCase):
    """A notification line is a line."""

    kind = NotifyProtocol
    news = Reload()


class UpdateLineTests(LineContract, SynchronousTestCase):
    """An update line is a line; and what happens when the far side does not read."""

    kind = UpdateProtocol
    news = Have(TOP, (1,), ())

    def deaf(self) -> None:
        self.link()
        self.ends[0].taken = False
        while not self.lines[0].full:
            self.lines[0].send(self.news)

    def test_hears_again(self) -> None:
        """What was said to a full line arrives in order, once there is room, and the link is told."""
        self.deaf()
        last = Have(TOP, (77,), ())
        self.lines[0].send(last)
        self.assertEqual(self.partners[0].drains, 0)
        self.ends[0].take_again()
        run(self.clock, 1)
        self.assertEqual(self.partners[1].heard[-1], last)
        self.assertEqual(self.partners[0].drains, 1)
        run(self.clock, 500)
        self.assertFalse(self.ends[0].closed)

    def test_bounded(self) -> None:
        """Only so much is kept for a far side that does not read."""
        self.deaf()
        while not self.lines[0].ended:
            self.lines[0].send(self.news)
        self.assertLess(self.ends[0].largest, 70_000)
        self.assertEnds("unread")

    def test_stalled(self) -> None:
        """A far side that takes nothing for long is given up."""
        self.deaf()
        run(self.clock, self.limits.stalled + 1)
        self.assertEnds("it took nothing for 60 s")

    def test_unasked_piece(self) -> None:
        """The beginning of a piece that nobody asked for is enough to hang up."""
        self.link()
        self.ends[1].write(pack("!IBI", 5, 0x2B, 1))
        self.assertEnds("0x2b")


class ComplaintsTests(SynchronousTestCase):
    """The operator hears of every offender, but not at every offence."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.complaints = Complaints(self.clock)
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def test_once(self) -> None:
        """The same complaint is counted each time, and logged once an hour."""
        for _ in range(3):
            self.complaints.about("peer", "it mumbles")
        self.complaints.about("other", "it mumbles")
        self.assertEqual([(event["peer"], event["why"]) for event in self.logged], [
            ("peer", "it mumbles"), ("other", "it mumbles"),
        ])  # fmt: skip
        self.assertEqual(self.complaints.count, 4)
        self.clock.advance(REPEAT)
        self.complaints.about("peer", "it mumbles")
        self.assertEqual(len(self.logged), 3)

    def test_bounded(self) -> None:
        """A bounded number is remembered; the oldest are forgotten."""
        for one in range(MOST + 5):
            self.complaints.about(str(one), "it mumbles")
        self.complaints.about("0", "it mumbles")
        self.complaints.about(str(MOST), "it mumbles")
        self.assertEqual(len(self.logged), MOST + 6)

    def test_many_reasons(self) -> None:
        """Of a peer that finds ever new reasons some are named, and that there are more; others as ever."""
        for one in range(500):
            self.complaints.about("liar", f"it has piece {one} of 3")
        self.complaints.about("other", "it mumbles")
        self.assertEqual(len(self.logged), MOST_EACH + 2)
        self.clock.advance(REPEAT)
        self.complaints.about("liar", "it has piece 501 of 3")
        self.assertEqual(len(self.logged), MOST_EACH + 3)


class OpenTests(SynchronousTestCase):
    """L{Open} knows when nothing is open any more."""

    def test_close(self) -> None:
        """Closing fires when the last line is gone, at once if there is none."""
        lines = Open()
        self.successResultOf(lines.close("now"))
        closed: list[str] = []
        lines.add(1, closed.append)
        lines.add(2, closed.append)
        over = lines.close("now")
        lines.remove(1)
        self.assertNoResult(over)
        lines.remove(2)
        self.successResultOf(over)
        self.assertEqual(closed, ["now", "now"])
