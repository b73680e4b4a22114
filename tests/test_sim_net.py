"""The simulated network behaves as the real one does, as far as programs on Twisted can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from ldaptor.inmemory import ReadOnlyInMemoryLDAPEntry
from ldaptor.interfaces import IConnectedLDAPEntry
from ldaptor.protocols.ldap.ldapclient import LDAPClient
from ldaptor.protocols.ldap.ldapserver import LDAPServer
from ldaptor.protocols.ldap.ldapsyntax import LDAPEntry
from OpenSSL import crypto
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol, ServerFactory
from twisted.internet.ssl import Certificate, CertificateOptions, KeyPair, PrivateCertificate
from twisted.internet.task import LoopingCall
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from clumpt.testing.faults import Slow, isolate
from clumpt.testing.net import Network
from clumpt.testing.reactor import Host, SimReactor
from clumpt.testing.world import World

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
PORT = 4000
MEGABYTE = 1_000_000


@define(eq=False)
class Line(Protocol):
    """Keeps what it is told; greets with some bytes."""

    greeting: bytes = b""
    got: bytearray = field(factory=bytearray)
    sizes: list[int] = field(factory=list)
    end: Failure | None = None

    def connectionMade(self) -> None:
        self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        self.sizes.append(len(data))

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.end = reason


class NetCase(SynchronousTestCase):
    """Two hosts, and a line between them."""

    def setUp(self) -> None:
        self.world = World(1)
        self.network = Network(self.world)
        self.a, self.b = self.network.host(A), self.network.host(B)
        self.served: list[Line] = []

    def make_line(self) -> Line:
        return Line()

    def serve(self, host: Host | None = None, port: int = PORT, make: Callable[[], Any] | None = None) -> Any:
        """Listen, by default on B; the lines that come are put into C{self.served}."""

        def accept() -> Any:
            line = (make or self.make_line)()
            self.served.append(line)
            return line

        return (host or self.b).reactor.listenTCP(port, Factory.forProtocol(accept))

    def dial(
        self, line: Any = None, host: Host | None = None, to: str = B, timeout: float = 30
    ) -> Deferred[Any]:
        endpoint = TCP4ClientEndpoint((host or self.a).reactor, to, PORT, timeout)
        return endpoint.connect(Factory.forProtocol(lambda: Line() if line is None else line))

    def open(self) -> tuple[Line, Line]:
        """A line from A to B, open at both ends."""
        self.serve()
        near = Line()
        self.dial(near)
        self.world.run_until(lambda: len(self.served) == 1, within=1)
        return near, self.served[0]

    def assertEnded(self, line: Line, reason: type[Exception]) -> None:
        self.assertIsNotNone(line.end)
        assert line.end is not None
        self.assertIs(line.end.type, reason)


class ConversationTests(NetCase):
    """What is sent arrives, whole and in order."""

    def test_both_ways(self) -> None:
        """Each side gets what the other wrote."""
        near, far = self.open()
        near.transport.write(b"to B")
        far.transport.writeSequence([b"to", b" A"])
        self.world.run_for(1)
        self.assertEqual((bytes(far.got), bytes(near.got)), (b"to B", b"to A"))

    def test_takes_time(self) -> None:
        """Nothing arrives sooner than the latency allows."""
        self.network.latency = (0.1, 0.2)
        near, far = self.open()
        self.assertTrue(0.3 <= self.world.now <= 0.7, self.world.now)
        begun = self.world.now
        near.transport.write(b"hello")
        self.world.run_until(lambda: bool(far.got), within=1)
        self.assertTrue(0.1 <= self.world.now - begun <= 0.25, self.world.now - begun)

    def test_order_and_cuts(self) -> None:
        """However writes are cut and shuffled on their way, the stream is the same."""
        self.network.fragments = 0.9
        near, far = self.open()
        sent = b""
        for number in range(200):
            words = bytes([number]) * (number * 13)
            sent += words
            self.world.call_later(number * 0.0003, near.transport.write, words)
        self.world.run_for(5)
        self.assertEqual(bytes(far.got), sent)
        self.assertGreater(len(set(far.sizes)), 20)

    def test_uncut(self) -> None:
        """Without fragments, writes of one moment travel as one segment."""
        self.network.fragments = 0.0
        near, far = self.open()
        near.transport.write(b"head")
        near.transport.write(b"body")
        self.world.run_for(1)
        self.assertEqual(far.sizes, [8])

    def test_addresses(self) -> None:
        """Both ends see the hosts' addresses, so that a test knows who called."""
        near, far = self.open()
        self.assertEqual((near.transport.getPeer().host, near.transport.getPeer().port), (B, PORT))
        self.assertEqual(far.transport.getPeer(), near.transport.getHost())
        self.assertEqual(far.transport.getPeer().host, A)

    def test_socket_options(self) -> None:
        """Options of the socket are kept."""
        near, _ = self.open()
        near.transport.setTcpNoDelay(True)
        near.transport.setTcpKeepAlive(True)
        self.assertTrue(near.transport.getTcpNoDelay() and near.transport.getTcpKeepAlive())
        self.assertRaises(NotImplementedError, near.transport.loseWriteConnection)

    def test_with_oneself(self) -> None:
        """A host reaches itself as localhost, and its card carries nothing of it."""
        self.serve()
        self.dial(Line(b"hello"), self.b, to="127.0.0.1")
        self.world.run_until(lambda: bool(self.served and self.served[0].got), within=1)
        self.assertEqual(self.b.uplink.carried, 0)


class ClosingTests(NetCase):
    """Wires end as on a real reactor."""

    def test_flushes(self) -> None:
        """C{loseConnection} sends first what was written before it; both ends hear of a clean end."""
        near, far = self.open()
        near.transport.write(b"x" * MEGABYTE)
        near.transport.loseConnection()
        self.world.run_for(2)
        self.assertEqual(len(far.got), MEGABYTE)
        self.assertEnded(near, ConnectionDone)
        self.assertEnded(far, ConnectionDone)

    def test_abort(self) -> None:
        """C{abortConnection} drops what is buffered; the far end hears of a broken wire."""
        near, far = self.open()
        near.transport.write(b"x" * MEGABYTE)
        near.transport.abortConnection()
        near.transport.abortConnection()
        self.world.run_for(1)
        self.assertEqual(far.got, b"")
        self.assertEnded(near, ConnectionAborted)
        self.assertEnded(far, ConnectionLost)

    def test_write_after_the_end(self) -> None:
        """Writing to a closed wire does nothing."""
        near, far = self.open()
        far.transport.loseConnection()
        self.world.run_for(1)
        near.transport.write(b"late")
        self.world.run_for(1)
        self.assertEqual(far.got, b"")

    def test_crossing(self) -> None:
        """What is sent to an end that has closed meanwhile breaks the sender's wire."""
        near, far = self.open()
        far.transport.abortConnection()
        near.transport.write(b"late")
        self.world.run_for(1)
        self.assertEnded(near, ConnectionLost)

    def test_waits_for_producer(self) -> None:
        """A wire with a pull producer closes only once the producer is unregistered."""
        near, far = self.open()
        producer = Puller(near.transport, 40)
        near.transport.registerProducer(producer, False)
        near.transport.loseConnection()
        self.world.run_for(1)
        self.assertEqual(len(far.got), 40 * 1000)
        self.assertEnded(far, ConnectionDone)

    def test_bad_protocol(self) -> None:
        """An exception in a protocol closes its wire, is kept, and ends the run."""

        class Bad(Line):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError("bad")

        self.serve(make=Bad)
        near = Line(b"hello")
        self.dial(near)
        with self.assertRaises(AssertionError) as caught:
            self.world.run_for(1)
        self.assertIn("ZeroDivisionError: bad", str(caught.exception))
        self.assertEqual(len(self.world.errors), 1)
        self.world.errors.clear()
        self.world.run_for(1)
        self.assertEnded(near, ConnectionDone)


@implementer(IPullProducer)
@define(eq=False)
class Puller:
    """Writes 1000 bytes each time it is asked."""

    transport: Any
    left: int
    stopped: bool = False

    def resumeProducing(self) -> None:
        self.left -= 1
        self.transport.write(b"." * 1000)
        if self.left == 0:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True


@implementer(IPushProducer)
@define(eq=False)
class Pusher:
    """Writes 32 KiB each millisecond until it is paused; keeps the most that was ever buffered."""

    reactor: SimReactor
    transport: Any
    paused: int = 0
    resumed: int = 0
    stopped: bool = False
    written: int = 0
    running: bool = True

    def push(self) -> None:
        if self.running:
            self.written += 32768
            self.transport.write(b"." * 32768)
            self.reactor.callLater(0.001, self.push)

    def pauseProducing(self) -> None:
        self.paused += 1
        self.running = False

    def resumeProducing(self) -> None:
        self.resumed += 1
        self.running = True
        self.push()

    def stopProducing(self) -> None:
        self.stopped, self.running = True, False


class PressureTests(NetCase):
    """A slow reader slows the writer down; nothing is buffered without bound."""

    def test_reader_pauses(self) -> None:
        """A reader that pauses stops the producer after window and buffer are full; then all goes on."""
        near, far = self.open()
        pusher = Pusher(self.a.reactor, near.transport)
        near.transport.registerProducer(pusher, True)
        far.transport.pauseProducing()
        pusher.push()
        self.world.run_for(10)
        self.assertFalse(pusher.running)
        self.assertEqual(far.got, b"")
        self.assertLessEqual(pusher.written, self.network.window + 65536 + 2 * 32768)
        far.transport.resumeProducing()
        self.world.run_for(1)
        self.assertGreater(pusher.resumed, 0)
        self.assertGreater(len(far.got), 10 * 32768)

    def test_order_after_a_pause(self) -> None:
        """What arrives at the moment of resuming comes after what was kept."""
        near, far = self.open()
        far.transport.pauseProducing()
        near.transport.write(b"kept, ")
        self.world.run_for(1)
        far.transport.resumeProducing()
        far.transport.arrived(b"new")
        self.world.run_for(1)
        self.assertEqual(far.got, b"kept, new")

    def test_no_limit_on_pause(self) -> None:
        """A reader may pause for longer than a broken network is borne with."""
        near, far = self.open()
        far.transport.pauseProducing()
        near.transport.write(b"x" * MEGABYTE)
        self.world.run_for(1000)
        far.transport.resumeProducing()
        self.world.run_for(1)
        self.assertEqual(len(far.got), MEGABYTE)

    def test_stopped_with_the_wire(self) -> None:
        """A producer is stopped when its wire is lost."""
        near, far = self.open()
        pusher = Pusher(self.a.reactor, near.transport)
        near.transport.registerProducer(pusher, True)
        far.transport.abortConnection()
        self.world.run_for(1)
        self.assertTrue(pusher.stopped)


class BandwidthTests(NetCase):
    """Transfers take the time that the cards need for them."""

    def transfer(self, source: Host, target: Host, size: int, port: int) -> Line:
        got = Line()
        target.reactor.listenTCP(port, Factory.forProtocol(lambda: got))
        endpoint = TCP4ClientEndpoint(source.reactor, target.address, port)
        endpoint.connect(Factory.forProtocol(lambda: Line(b"." * size)))
        return got

    def assertTook(self, begun: float, seconds: float) -> None:
        took = self.world.now - begun
        self.assertTrue(0.99 * seconds < took < 1.03 * seconds + 0.005, f"took {took}, fluid {seconds}")

    def test_alone(self) -> None:
        """One transfer gets the whole rate."""
        got = self.transfer(self.a, self.b, 25 * MEGABYTE, 1)
        self.world.run_until(lambda: len(got.got) == 25 * MEGABYTE, within=10)
        self.assertTook(0, 0.2)
        self.assertEqual((self.a.uplink.carried, self.b.downlink.carried), (25 * MEGABYTE, 25 * MEGABYTE))

    def test_shared_uplink(self) -> None:
        """Two wires share a sender's uplink evenly."""
        c = self.network.host(C)
        first = self.transfer(self.a, self.b, 10 * MEGABYTE, 1)
        second = self.transfer(self.a, c, 20 * MEGABYTE, 1)
        self.world.run_until(lambda: len(first.got) == 10 * MEGABYTE, within=10)
        self.assertTook(0, 20 / 125)
        self.world.run_until(lambda: len(second.got) == 20 * MEGABYTE, within=10)
        self.assertTook(0, 30 / 125)

    def test_shared_downlink(self) -> None:
        """Two senders share a receiver's downlink."""
        c = self.network.host(C)
        first = self.transfer(self.a, self.b, 10 * MEGABYTE, 1)
        second = self.transfer(c, self.b, 10 * MEGABYTE, 2)
        self.world.run_until(lambda: len(first.got) + len(second.got) == 20 * MEGABYTE, within=10)
        self.assertTook(0, 20 / 125)

    def test_slow_host(self) -> None:
        """The slower card sets the pace."""
        slow = self.network.host(C, rate=MEGABYTE)
        got = self.transfer(self.a, slow, 2 * MEGABYTE, 1)
        self.world.run_until(lambda: len(got.got) == 2 * MEGABYTE, within=10)
        self.assertTook(0, 2.0)

    def test_rate_changes(self) -> None:
        """A new rate holds at once, also for what is queued."""
        got = self.transfer(self.a, self.b, 25 * MEGABYTE, 1)
        self.world.run_for(0.1)
        self.a.uplink.rate = 1.25 * MEGABYTE
        self.world.run_for(1.0)
        self.a.uplink.rate = 125 * MEGABYTE
        self.world.run_until(lambda: len(got.got) == 25 * MEGABYTE, within=10)
        self.assertTook(0, 0.1 + 1.0 + 0.09)

    def test_no_rate(self) -> None:
        """A rate of nothing is refused: that is what cuts are for."""
        with self.assertRaises(ValueError):
            self.a.uplink.rate = 0.0

    def test_slow_link(self) -> None:
        """A slow link delays, and limits each wire on it, without taking the card from others."""
        self.network.slow_down(A, B, Slow(delay=0.05, rate=MEGABYTE))
        c = self.network.host(C)
        slow = self.transfer(self.a, self.b, MEGABYTE, 1)
        fast = self.transfer(self.a, c, 10 * MEGABYTE, 1)
        self.world.run_until(lambda: len(fast.got) == 10 * MEGABYTE, within=0.12)
        self.world.run_until(lambda: len(slow.got) == MEGABYTE, within=10)
        self.assertTrue(1.0 < self.world.now < 1.5, self.world.now)
        self.network.slow_down(A, B, None)
        again = self.transfer(self.a, self.b, MEGABYTE, 2)
        self.world.run_until(lambda: len(again.got) == MEGABYTE, within=0.1)

    def test_notification_passes_bulk(self) -> None:
        """A bulk transfer never puts more than its window before a small message of another wire."""
        self.transfer(self.a, self.b, 25 * MEGABYTE, 1)
        self.world.run_for(0.05)
        small = self.transfer(self.a, self.b, 100, 2)
        self.world.run_until(lambda: len(small.got) == 100, within=10)
        self.assertLess(self.world.now, 0.05 + 2 * self.network.window / 125e6 + 0.003)


class CrashTests(NetCase):
    """A program that died is told nothing more, and its neighbours what a kernel would tell them."""

    def test_process_dies(self) -> None:
        """The far ends learn of a crash at once: some as an end, some as a break; the dead one does not."""
        for _ in range(12):
            self.dial()
        self.serve()
        self.world.run_until(lambda: len(self.served) == 12, within=5)
        wires = list(self.a.reactor.wires)
        self.a.crash()
        self.world.run_for(1)
        ends = {line.end.type for line in self.served if line.end is not None}
        self.assertEqual(ends, {ConnectionDone, ConnectionLost})
        self.assertTrue(all(wire.protocol._wrappedProtocol.end is None for wire in wires))

    def test_written_before(self) -> None:
        """What a kernel took before the crash may still arrive."""
        arrived = 0
        for seed in range(10):
            self.world, self.served = World(seed), []
            self.network = Network(self.world)
            self.a, self.b = self.network.host(A), self.network.host(B)
            near, far = self.open()
            near.transport.write(b"last words")
            self.world.run_for(0.00005)
            self.a.crash()
            self.world.run_for(1)
            arrived += bytes(far.got) == b"last words"
        self.assertTrue(0 < arrived < 10, arrived)

    def test_refused(self) -> None:
        """A host whose program died refuses calls."""
        self.serve()
        self.b.crash()
        self.assert_fails(self.dial(), ConnectionRefusedError, 0.1)

    def test_nobody_listens(self) -> None:
        """So does a host where nothing listens, or no longer."""
        port = self.serve()
        port.stopListening()
        port.stopListening()
        self.assert_fails(self.dial(), ConnectionRefusedError, 0.1)

    def test_powered_off(self) -> None:
        """A host without power answers nothing: calls time out, and so they do where no host is."""
        self.serve()
        self.b.power_off()
        self.assert_fails(self.dial(timeout=7), TimeoutError, 7.1)
        self.assert_fails(self.dial(timeout=7, to="10.9.9.9"), TimeoutError, 7.1)

    def assert_fails(self, calling: Deferred[Any], reason: type[Exception], within: float) -> None:
        failed: list[Failure] = []
        calling.addErrback(failed.append)
        self.world.run_until(lambda: bool(failed), within)
        self.assertIs(failed[0].type, reason)

    def test_half_open(self) -> None:
        """A wire to a host without power looks open until something is sent over it, and for long after."""
        near, _ = self.open()
        self.b.power_off()
        self.world.run_for(1000)
        self.assertIsNone(near.end)
        near.transport.write(b"are you there?")
        self.world.run_for(self.network.patience - 1)
        self.assertIsNone(near.end)
        self.world.run_for(2)
        self.assertEnded(near, ConnectionLost)

    def test_half_open_then_boot(self) -> None:
        """A booted host knows nothing of the old wire, and says so as soon as it is used."""
        near, _ = self.open()
        self.b.power_off()
        near.transport.write(b"are you there?")
        self.world.run_for(10)
        self.b.boot()
        self.world.run_for(31)
        self.assertEnded(near, ConnectionLost)
        near2 = Line(b"and now?")
        self.serve()
        self.dial(near2)
        self.world.run_until(lambda: bool(self.served[-1].got == b"and now?"), within=1)

    def test_dark_in_the_middle(self) -> None:
        """What a host was sending is gone with its power, and does not delay what it sends after a boot."""
        near, far = self.open()
        self.a.uplink.rate = MEGABYTE
        near.transport.write(b"x" * MEGABYTE)
        self.world.run_for(0.5)
        self.a.power_off()
        self.world.run_for(10)
        self.assertTrue(0 < len(far.got) < MEGABYTE)
        near.transport.write(b"x" * MEGABYTE)
        self.a.boot()
        self.dial(Line(b"hello"))
        begun = self.world.now
        self.world.run_until(lambda: self.served[-1].got == b"hello", within=1)
        self.assertLess(self.world.now - begun, 0.01)

    def test_timers_die(self) -> None:
        """No timer of a dead life fires, not even in the next life; nor one that is set after death."""
        fired: list[str] = []
        old = self.a.reactor
        old.callLater(1, fired.append, "old")
        loop = LoopingCall(fired.append, "loop")
        loop.clock = old
        loop.start(0.4)
        self.world.call_later(0.5, self.a.crash)
        self.world.call_later(1.5, fired.append, "world")
        self.world.run_for(0.7)
        new = self.a.boot()
        self.assertIsNot(new, old)
        old.callLater(1, fired.append, "posthumous")
        new.callLater(1, fired.append, "new")
        self.world.run_for(10)
        self.assertEqual(fired, ["loop", "loop", "world", "new"])
        self.assertFalse(old.running)

    def test_dead_program_dials_in_vain(self) -> None:
        """What a dead program still calls does nothing."""
        near, far = self.open()
        old = self.a.reactor
        self.a.crash()
        near.transport.write(b"ghost")
        near.transport.loseConnection()
        near.transport.abortConnection()
        self.dial(host=self.a)
        self.a.boot()
        self.world.run_for(5)
        self.assertEqual((far.got, len(self.served)), (b"", 1))
        self.assertEqual(old.getDelayedCalls(), [])

    def test_listens_anew(self) -> None:
        """The ports of the dead are free for their successors."""
        self.serve()
        self.b.crash()
        self.b.crash()
        self.b.boot()
        self.assertRaises(RuntimeError, self.b.boot)
        self.serve()
        self.assertRaises(CannotListenError, self.serve)

    def test_dies_while_being_called(self) -> None:
        """A crash between the call and its answer refuses it; one after the answer breaks the wire."""
        ends = self.ends_of_calls(lambda _: self.b.crash())
        ends |= self.ends_of_calls(lambda _: self.b.reactor.crash())
        self.assertEqual(ends, {ConnectionRefusedError, ConnectionDone, ConnectionLost})

    def test_closed_while_being_called(self) -> None:
        """A port that closes meanwhile refuses the call, or breaks the wire that it has not yet accepted."""
        ends = self.ends_of_calls(lambda port: port.stopListening())
        self.assertEqual(ends, {ConnectionRefusedError, ConnectionLost, None})

    def ends_of_calls(self, fault: Callable[[Any], object]) -> set[type[Exception] | None]:
        """How calls end, with C{fault} a little later each time."""
        ends: set[Any] = set()
        for step in range(40):
            self.world, self.served = World(step), []
            self.network = Network(self.world)
            self.a, self.b = self.network.host(A), self.network.host(B)
            near, failed = Line(), []
            self.world.call_later(step * 0.00004, fault, self.serve())
            self.dial(near).addErrback(failed.append)
            self.world.run_for(1)
            end = failed[0] if failed else near.end
            ends.add(None if end is None else end.type)
        return ends


class CutTests(NetCase):
    """A black hole stalls; it does not lose or reorder, and it breaks what waits for too long."""

    def test_stalls_and_goes_on(self) -> None:
        """What was sent during a cut arrives after it, in order."""
        near, far = self.open()
        cut = self.network.cut(A, B)
        near.transport.write(b"first ")
        self.world.run_for(20)
        self.assertEqual(far.got, b"")
        self.network.mend(cut)
        near.transport.write(b"second")
        self.world.run_for(0.01)
        self.assertEqual(far.got, b"", "what was sent later must not overtake")
        self.world.run_for(21)
        self.assertEqual(far.got, b"first second")
        self.world.run_for(200)
        self.assertIsNone(near.end)

    def test_breaks(self) -> None:
        """After its patience the sender gives up; the far end finds out when it sends something itself."""
        near, far = self.open()
        self.network.cut(A, B)
        near.transport.write(b"hello?")
        self.world.run_for(self.network.patience + 1)
        self.assertEnded(near, ConnectionLost)
        self.network.heal()
        self.world.run_for(100)
        self.assertIsNone(far.end)
        far.transport.write(b"hello?")
        self.world.run_for(1)
        self.assertEnded(far, ConnectionLost)

    def test_idle(self) -> None:
        """A wire on which nothing is sent does not notice a cut."""
        near, far = self.open()
        self.network.cut(A, B)
        self.world.run_for(1000)
        self.network.heal()
        near.transport.write(b"slept well")
        self.world.run_for(1)
        self.assertEqual(far.got, b"slept well")

    def test_one_way(self) -> None:
        """A cut of one direction lets bytes of the other through, but not their acknowledgement."""
        near, far = self.open()
        self.network.cut(A, B, "one")
        far.transport.write(b"to A")
        self.world.run_for(10)
        self.assertEqual(near.got, b"to A")
        self.world.run_for(self.network.patience)
        self.assertEnded(far, ConnectionLost)
        self.assertIsNone(near.end)

    def test_one_way_healed(self) -> None:
        """If the cut ends in time, acknowledgements come late and the transfer goes on."""
        near, far = self.open()
        self.network.cut(A, B, "one")
        far.transport.write(b"." * MEGABYTE)
        self.world.run_for(10)
        self.assertTrue(self.network.window - 16384 <= len(near.got) <= self.network.window)
        self.network.heal()
        self.world.run_for(20)
        self.assertEqual(len(near.got), MEGABYTE)
        self.world.run_for(1000)
        self.assertIsNone(far.end)

    def test_always_a_prefix(self) -> None:
        """The far end always holds a beginning of what was sent; if the wire survives its ordeal, all."""
        survived = 0
        for seed in range(40):
            self.world, self.served = World(seed), []
            self.network = Network(self.world, fragments=0.5, patience=30.0)
            self.a, self.b = self.network.host(A), self.network.host(B)
            near, far = self.open()
            sent = self.ordeal(near, far)
            self.world.run_for(300)
            if near.end is None and self.a.alive and self.b.alive:
                self.assertEqual(far.got, sent)
                survived += 1
            self.assertEqual(self.network.stalled, {})
        self.assertTrue(5 < survived < 40, survived)

    def ordeal(self, near: Line, far: Line) -> bytearray:
        """Plan writes, cuts and maybe a loss of power; returns what will have been sent."""
        sent, random, later = bytearray(), self.world.random, self.world.call_later

        def write() -> None:
            data = random.randbytes(random.randint(1, 90_000))
            sent.extend(data)
            near.transport.write(data)

        def cut(a: str, b: str) -> None:
            number = self.network.cut(a, b, random.choice(["one", "both"]))
            later(random.uniform(0, 15), self.network.mend, number)

        for _ in range(40):
            later(random.uniform(0, 100), write)
        for _ in range(4):
            later(random.uniform(0, 100), cut, *random.choice([(A, B), (B, A)]))
        if random.random() < 0.3:
            later(random.uniform(50, 100), random.choice([self.a, self.b]).power_off)
        self.world.watchers.append(lambda: self.assertTrue(sent.startswith(far.got)))
        return sent

    def test_calls(self) -> None:
        """New calls wait until their own time-out, and get through if the cut ends before."""
        self.serve()
        failed: list[Failure] = []
        cut = self.network.partition(isolate(A))
        self.dial(timeout=5).addErrback(failed.append)
        self.dial(timeout=50).addErrback(failed.append)
        self.world.run_for(10)
        self.assertEqual([failure.type for failure in failed], [TimeoutError])
        self.network.mend(cut)
        self.world.run_for(15)
        self.assertEqual((len(failed), len(self.served)), (1, 1))

    def test_unheard_answers(self) -> None:
        """A call whose answer is swallowed fails by its time-out, even if nobody listens."""
        self.network.cut(B, A, "one")
        failed: list[Failure] = []
        self.dial(timeout=5).addErrback(failed.append)
        self.world.run_for(6)
        self.assertEqual([failure.type for failure in failed], [TimeoutError])

    def test_unheard_refusal(self) -> None:
        """Who sends to a dead program and does not hear the refusal gives up after its patience."""
        near, _ = self.open()
        self.network.cut(B, A, "one")
        self.b.crash()
        near.transport.write(b"hello?")
        self.world.run_for(self.network.patience - 1)
        self.assertIsNone(near.end)
        self.world.run_for(2)
        self.assertEnded(near, ConnectionLost)

    def test_late_refusal(self) -> None:
        """If the cut ends before that, the refusal comes late."""
        near, _ = self.open()
        self.b.power_off()
        self.b.boot()
        self.network.cut(B, A, "one")
        near.transport.write(b"hello?")
        self.world.run_for(10)
        self.assertIsNone(near.end)
        self.network.heal()
        self.world.run_for(11)
        self.assertEnded(near, ConnectionLost)
        self.assertEqual(self.network.stalled, {})

    def test_crash_behind_a_cut(self) -> None:
        """The news of a crash does not cross a cut either; use of the wire after it brings the truth."""
        near, _ = self.open()
        self.network.cut(A, B)
        self.b.crash()
        self.world.run_for(100)
        self.assertIsNone(near.end)
        self.network.heal()
        near.transport.write(b"hello?")
        self.world.run_for(1)
        self.assertEnded(near, ConnectionLost)


class TwistedTests(NetCase):
    """Twisted's own clients and servers run unmodified."""

    def test_interfaces(self) -> None:
        """Reactor, timer, transport, port and connector provide what they promise."""
        from twisted.internet import interfaces

        near, _ = self.open()
        reactor = self.a.reactor
        for interface in ("TCP", "Time", "Core", "PluggableNameResolver"):
            verifyObject(getattr(interfaces, f"IReactor{interface}"), reactor)
        verifyObject(interfaces.IDelayedCall, reactor.callLater(1, bool))
        verifyObject(interfaces.ITCPTransport, near.transport)
        verifyObject(interfaces.IListeningPort, reactor.listenTCP(0, Factory()))
        verifyObject(interfaces.IConnector, reactor.connectTCP(B, 1, ClientFactory()))

    def test_server_endpoint(self) -> None:
        """An endpoint listens, and stops."""
        ports: list[Any] = []
        TCP4ServerEndpoint(self.b.reactor, PORT).listen(Factory.forProtocol(Line)).addCallback(ports.append)
        self.assertEqual(ports[0].getHost().port, PORT)
        stopped: list[None] = []
        ports[0].stopListening().addCallback(stopped.append)
        self.world.run_until(lambda: bool(stopped), within=1)

    def test_hostname_endpoint(self) -> None:
        """An endpoint by name, and by an address, connects."""
        self.serve()
        self.network.names["b.example"] = B
        for name in ("b.example", B):
            opened: list[IProtocol] = []
            endpoint = HostnameEndpoint(self.a.reactor, name, PORT)
            endpoint.connect(Factory.forProtocol(Line)).addCallback(opened.append)
            self.world.run_until(lambda opened=opened: bool(opened), within=1)  # type: ignore[misc]
        self.assertEqual(self.successResultOf(self.a.reactor.resolve("b.example")), B)

    def test_other_resolver(self) -> None:
        """A program may bring its own resolver."""
        mine = object()
        before = self.a.reactor.installNameResolver(mine)
        self.assertIs(self.a.reactor.nameResolver, mine)
        self.assertIs(self.a.reactor.installNameResolver(before), mine)

    def test_misuse(self) -> None:
        """What cannot be simulated is refused, not ignored."""
        self.assertRaises(NotImplementedError, self.a.reactor.run)
        self.assertRaises(NotImplementedError, self.a.reactor.iterate)
        self.assertRaises(CannotListenError, self.a.reactor.listenTCP, 1, Factory(), interface=B)
        self.assertRaises(ValueError, self.network.host, "b.example")

    def test_client_service(self) -> None:
        """A client service connects again whenever the server comes back."""
        service = ClientService(
            TCP4ClientEndpoint(self.a.reactor, B, PORT),
            Factory.forProtocol(Line),
            retryPolicy=lambda _: 1.0,
            clock=self.a.reactor,
        )
        service.startService()
        self.world.run_for(5)
        self.serve()
        self.world.run_until(lambda: len(self.served) == 1, within=5)
        self.b.crash()
        self.world.run_for(5)
        self.b.boot()
        self.serve()
        self.world.run_until(lambda: len(self.served) == 2, within=5)
        service.stopService()
        self.world.run_for(5)
        self.assertEqual(self.a.reactor.wires, {})

    def test_reconnecting_factory(self) -> None:
        """A factory hears of lost wires, and may dial again with the same connector."""

        class Again(ClientFactory):
            protocol = Line

            def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
                connector.connect()

        self.serve()
        self.a.reactor.connectTCP(B, PORT, Again())
        self.world.run_until(lambda: len(self.served) == 1, within=1)
        self.served[0].transport.abortConnection()
        self.world.run_until(lambda: len(self.served) == 2, within=1)

    def test_give_up(self) -> None:
        """A call that is given up fails with what Twisted says, and never connects."""
        told: list[type] = []

        class Teller(ClientFactory):
            protocol = Line

            def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
                told.append(reason.type)

        self.serve()
        self.a.reactor.connectTCP(B, PORT, Teller()).stopConnecting()
        self.a.reactor.connectTCP(B, PORT, Teller()).disconnect()
        self.world.run_for(1)
        self.assertEqual((told, self.served), ([UserError, UserError], []))

    def test_refusing_factories(self) -> None:
        """A factory without a protocol for a caller, on either side, closes the wire cleanly."""

        class Refusing(ClientFactory):
            def buildProtocol(self, addr: Any) -> None:
                """Nobody."""

        self.b.reactor.listenTCP(PORT, Refusing())
        near = Line()
        self.dial(near)
        self.world.run_for(1)
        self.assertEnded(near, ConnectionDone)
        self.serve(port=PORT + 1)
        self.a.reactor.connectTCP(B, PORT + 1, Refusing())
        self.world.run_for(1)
        self.assertEnded(self.served[0], ConnectionDone)

    def test_stop(self) -> None:
        """C{stop} waits for the triggers before shutdown, then the program ends and its wires too."""
        near, far = self.open()
        reactor, order = self.a.reactor, []
        slow: Deferred[None] = Deferred()
        reactor.addSystemEventTrigger("after", "shutdown", order.append, "after")
        reactor.addSystemEventTrigger("during", "shutdown", order.append, "during")
        reactor.addSystemEventTrigger("before", "shutdown", lambda: slow)
        reactor.removeSystemEventTrigger(
            reactor.addSystemEventTrigger("before", "shutdown", order.append, "gone")
        )
        reactor.callWhenRunning(order.append, "running")
        reactor.stop()
        self.assertEqual((order, reactor.running), (["running"], True))
        slow.callback(None)
        self.assertEqual((order, reactor.running), (["running", "during", "after"], False))
        self.world.run_for(1)
        self.assertEnded(far, ConnectionDone)

    def test_ldaptor(self) -> None:
        """An LDAP client and server of ldaptor talk to each other."""
        tree = ReadOnlyInMemoryLDAPEntry(
            "o=clumpt", {"objectClass": ["organization"], "o": ["clumpt"], "description": ["here"]}
        )

        class Tree(ServerFactory):
            protocol = LDAPServer

            def __conform__(self, interface: Any) -> Any:
                return tree if interface is IConnectedLDAPEntry else None

        self.b.reactor.listenTCP(389, Tree())
        found: list[Any] = []

        def ask(client: LDAPClient) -> Deferred[Any]:
            entry = LDAPEntry(client, "o=clumpt")
            return entry.fetch().addCallback(found.append)  # type: ignore[no-any-return]

        endpoint = TCP4ClientEndpoint(self.a.reactor, B, 389)
        endpoint.connect(Factory.forProtocol(LDAPClient)).addCallback(ask)
        self.world.run_until(lambda: bool(found), within=1)
        self.assertEqual(list(found[0]["description"]), [b"here"])

    def test_tls(self) -> None:
        """Mutual TLS through C{TLSMemoryBIOFactory} carries bytes, and knows the peer's certificate."""
        identity = {name: make_identity(name) for name in ("a", "b")}
        seen: list[str] = []

        class Secure(Line):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                if len(self.got) == 100_000:
                    seen.append(Certificate.peerFromTransport(self.transport).getSubject().CN.decode())
                    self.transport.write(b"thanks")
                    self.transport.loseConnection()

        def wrap(name: str, other: str, host: Host, line: Line) -> TLSMemoryBIOFactory:
            options = CertificateOptions(
                privateKey=identity[name].privateKey.original,
                certificate=identity[name].original,
                trustRoot=Certificate(identity[other].original),
            )
            plain = Factory.forProtocol(lambda: line)
            return TLSMemoryBIOFactory(options, name == "a", plain, clock=host.reactor)

        near, far = Line(b"s" * 100_000), Secure()
        self.b.reactor.listenTCP(PORT, wrap("b", "a", self.b, far))
        endpoint = TCP4ClientEndpoint(self.a.reactor, B, PORT)
        endpoint.connect(wrap("a", "b", self.a, near))
        self.world.run_until(lambda: near.end is not None and far.end is not None, within=5)
        self.assertEqual((seen, bytes(near.got)), (["a"], b"thanks"))


def make_identity(name: str) -> PrivateCertificate:
    """A self-signed certificate of C{name}."""
    key = crypto.PKey()
    key.generate_key(crypto.TYPE_RSA, 2048)
    return KeyPair(key).selfSignedCert(1, CN=name)
