"""TLS over connections in memory: records are counted, and what is said arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.protocols.records import BATCH, HEADER, MOST, Counter, RecordsFactory
from clumpt.protocols.tls import TlsSecurity
from tests.certificates import Authority


class CounterTests(SynchronousTestCase):
    """L{Counter}."""

    @given(st.lists(st.integers(0, 300), max_size=6), st.lists(st.integers(1, 400), max_size=20))
    def test_cut_anywhere(self, sizes: list[int], cuts: list[int]) -> None:
        """However a stream is cut, a record counts with its last byte."""
        stream, ends = b"", []
        for size in sizes:
            stream += b"\x17\x03\x03" + size.to_bytes(2, "big") + b"x" * size
            ends.append(len(stream))
        counter, at = Counter(), 0
        for cut in [*cuts, len(stream)]:
            part = stream[at : at + cut]
            number = counter.completed(part)
            self.assertEqual(number, sum(at < end <= at + len(part) for end in ends))
            at += len(part)

    def test_header_alone(self) -> None:
        """A header is no record, wherever it is cut."""
        counter = Counter()
        header = b"\x17\x03\x03\x00\x01"
        self.assertEqual([counter.completed(header[n : n + 1]) for n in range(HEADER)], [0] * HEADER)
        self.assertEqual(counter.completed(b"x"), 1)


class Wire:
    """A transport with a kernel that takes so much at once, and keeps it for the other side."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.connected = True
        self.dataBuffer = self._tempDataBuffer = b""
        self.sent: list[bytes] = []
        self.failing: Any = None

    def writeSomeData(self, data: bytes) -> Any:
        if self.failing is not None:
            return self.failing
        self.sent.append(data[: self.room])
        return len(data[: self.room])

    def write(self, data: bytes) -> None:
        self.dataBuffer += data

    def take(self) -> bytes:
        """What has left."""
        data, self.sent, self.dataBuffer = b"".join(self.sent) + self.dataBuffer, [], b""
        return data

    def loseConnection(self) -> None:
        self.connected = False

    abortConnection = loseConnection


class Hearer(Protocol):
    """Keeps what it hears."""

    heard = b""
    times = 0

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self.times += 1


class RecordsTests(SynchronousTestCase):
    """Two ends."""

    def setUp(self) -> None:
        self.clock = Clock()
        folder = Path(self.mktemp())
        folder.mkdir()
        authority = Authority(folder)
        self.wires = [Wire(10**6), Wire(10**6)]
        self.tls: list[Any] = []
        for number, wire in enumerate(self.wires):
            files = authority.issue(f"n{number}")
            security = TlsSecurity(self.clock, authority.path, files.certificate, files.key)
            factory = RecordsFactory(security, number == 0, Factory.forProtocol(Hearer), self.clock)
            tls: Any = factory.buildProtocol(None)
            self.tls.append(tls)
            tls.makeConnection(wire)
        self.carry()

    def carry(self, size: int = 10**6) -> None:
        """Bring what was written to the other side, in parts of C{size} bytes, until all is quiet."""
        moving = True
        while moving:
            moving = False
            self.clock.advance(0)
            for number, wire in enumerate(self.wires):
                data = wire.take()
                for at in range(0, len(data), size):
                    moving = True
                    self.tls[1 - number].dataReceived(data[at : at + size])

    def heard(self, number: int) -> bytes:
        heard: bytes = self.tls[number].wrappedProtocol.heard
        return heard

    def test_both_ways(self) -> None:
        """What is said arrives as it was, in whatever parts it comes."""
        for size in (1, 7, 1000, 10**6):
            before = [self.heard(0), self.heard(1)]
            said = bytes(range(256)) * 300
            self.tls[0].write(said)
            self.tls[1].write(said[:5])
            self.carry(size)
            self.assertEqual(self.heard(1), before[1] + said)
            self.assertEqual(self.heard(0), before[0] + said[:5])

    def test_heard_at_once(self) -> None:
        """The records that came together are heard together, and the next ones after them."""
        self.tls[0].write(b"x" * (3 * MOST))
        self.carry()
        self.tls[0].write(b"y")
        self.carry()
        self.assertEqual(self.tls[1].wrappedProtocol.times, 2)
        self.assertEqual(self.heard(1), b"x" * (3 * MOST) + b"y")

    def test_good_bye(self) -> None:
        """What was said before the end of the connection, in the same segment, is heard before it."""
        self.tls[0].write(b"last words")
        self.tls[0].loseConnection()
        self.clock.advance(0)
        self.tls[1].dataReceived(self.wires[0].take())
        self.assertEqual(self.heard(1), b"last words")
        self.assertFalse(self.wires[1].connected)

    def test_aborted(self) -> None:
        """Who has given up the connection hears nothing more."""
        self.tls[0].write(b"too late")
        self.clock.advance(0)
        self.tls[1].abortConnection()
        self.tls[1].dataReceived(self.wires[0].take())
        self.assertEqual(self.heard(1), b"")

    def test_handed_over_at_once(self) -> None:
        """What is said is given to the kernel in one piece, without a wait for it to be ready."""
        self.tls[0].write(b"x" * (3 * MOST))
        self.clock.advance(0)
        self.assertEqual((len(self.wires[0].sent), self.wires[0].dataBuffer), (1, b""))

    def test_piece(self) -> None:
        """A piece and its head, just more than a batch, leave together; what is larger in several parts."""
        for size, parts in ((BATCH + 37, 1), (BATCH + MOST, 1), (BATCH + MOST + 1, 2), (3 * BATCH, 3)):
            self.tls[0].write(b"x" * size)
            self.clock.advance(0)
            self.assertEqual((len(self.wires[0].sent), self.wires[0].dataBuffer), (parts, b""))
            self.carry()
        self.assertEqual(len(self.heard(1)), 6 * BATCH + 2 * MOST + 38)

    def test_in_order(self) -> None:
        """What the kernel does not take waits, and what is said later waits behind it."""
        self.wires[0].room = 10
        self.tls[0].write(b"first")
        self.clock.advance(0)
        self.tls[0].write(b"second")
        self.clock.advance(0)
        self.assertEqual(list(map(len, self.wires[0].sent)), [10])
        self.carry()
        self.assertEqual(self.heard(1), b"firstsecond")

    def test_broken(self) -> None:
        """That the connection is gone is for the transport to find out."""
        self.wires[0].failing = ConnectionError()
        self.tls[0].write(b"first")
        self.clock.advance(0)
        self.assertNotEqual(self.wires[0].dataBuffer, b"")

    def test_rubbish(self) -> None:
        """A record that was changed on its way ends the connection."""
        self.tls[0].write(b"first")
        self.clock.advance(0)
        data = self.wires[0].take()
        self.tls[1].dataReceived(data[:-1] + bytes([data[-1] ^ 1]))
        self.assertFalse(self.wires[1].connected)
        self.assertEqual(self.heard(1), b"")
