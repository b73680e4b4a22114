"""What the tests of the protocols share: wires in memory, in virtual time, and an agent that writes down."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    CannotListenError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTCP, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.errors import NotHere, Untrusted
from clumpt.interfaces import IPeerEvents
from clumpt.model import Address, PeerName
from clumpt.pieces import digest_of
from clumpt.protocols.client import Network
from clumpt.protocols.limits import Limits
from clumpt.protocols.tls import ClearSecurity

HIGH = 64 * 1024
DEPLOYMENT = "test-cluster"
TOP = digest_of(b"top")


def run(clock: Clock, seconds: float) -> None:
    """Let C{seconds} pass, call by call."""
    end = clock.seconds() + seconds
    while (calls := clock.getDelayedCalls()) and calls[0].getTime() <= end:
        clock.advance(max(0.0, calls[0].getTime() - clock.seconds()))
    clock.advance(max(0.0, end - clock.seconds()))


@implementer(ITCPTransport)
class Wire:
    """One end of a connection in memory; what is written arrives a millisecond later."""

    def __init__(self, clock: Clock, here: str, there: str, port: int) -> None:
        self.clock = clock
        self.here, self.there, self.port = here, there, port
        self.protocol: Any = None
        self.other: Wire
        self.producer: Any = None
        self.written = bytearray()
        self.out: deque[bytes] = deque()
        #: False: the far side does not take what we write.
        self.taken = True
        self.paused = self.closing = self.closed = False
        #: A black hole: nothing arrives any more, not even the end.
        self.cut = False
        self.largest = 0

    def write(self, data: bytes) -> None:
        if self.closed or self.closing:
            return
        assert isinstance(data, bytes)
        self.written += data
        self.out.append(data)
        waiting = sum(map(len, self.out))
        self.largest = max(self.largest, waiting)
        if self.producer is not None and waiting > HIGH:
            self.paused = True
            self.producer.pauseProducing()
        self.clock.callLater(0.001, self.deliver)

    def writeSequence(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def deliver(self) -> None:
        if self.cut or self.closed or not self.taken:
            return
        while self.out and not self.other.closed:
            self.other.protocol.dataReceived(self.out.popleft())
        if self.producer is not None and self.paused:
            self.paused = False
            self.producer.resumeProducing()
        # As under TLS: with a producer there may always be more to come.
        if self.closing and not self.out and not self.closed and self.producer is None:
            self.lose(ConnectionDone())
            self.other.lose(ConnectionDone())

    def take_again(self) -> None:
        self.taken = True
        self.deliver()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        self.closing = True
        self.clock.callLater(0.001, self.deliver)

    def abortConnection(self) -> None:
        self.clock.callLater(0, self.lose, ConnectionLost())
        if not self.cut:
            self.clock.callLater(0.001, self.other.lose, ConnectionLost())

    def lose(self, why: Exception) -> None:
        if not self.closed:
            self.closed = True
            self.protocol.connectionLost(Failure(why))

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.there, self.port)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self.here, self.port)

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass


def wired(
    clock: Clock, one: Any, other: Any, hosts: tuple[str, str] = ("one", "other"), port: int = 1
) -> tuple[Wire, Wire]:
    """Connect two protocols, C{one} dialling."""
    ends = Wire(clock, *hosts, port), Wire(clock, *hosts[::-1], port)
    ends[0].other, ends[1].other = ends[1], ends[0]
    ends[0].protocol, ends[1].protocol = one, other
    for end in ends[::-1]:
        end.protocol.makeConnection(end)
    return ends


class Port:
    def __init__(self, net: Net, host: str, number: int) -> None:
        self.net, self.host, self.number = net, host, number

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self.host, self.number)

    def stopListening(self) -> None:
        del self.net.listening[self.host, self.number]


class Connector:
    """A connection that is being made."""

    def __init__(self, factory: Any, destination: IPv4Address) -> None:
        self.factory = factory
        self.destination = destination
        self.calls: list[Any] = []
        self.over = False

    def getDestination(self) -> IPv4Address:
        return self.destination

    def stopConnecting(self) -> None:
        self.fail(ConnectionLost())

    def fail(self, why: Exception) -> None:
        if not self.over:
            self.over = True
            for call in self.calls:
                if call.active():
                    call.cancel()
            self.factory.clientConnectionFailed(self, Failure(why))


class Net:
    """Hosts by address; every wire that was ever made."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.listening: dict[tuple[str, int], Any] = {}
        self.wires: list[Wire] = []
        #: Hosts that nothing reaches.
        self.dead: set[str] = set()
        #: Pairs (from, to) that cannot be dialled, though the far side is up.
        self.walls: set[tuple[str, str]] = set()

    def kill(self, host: str) -> None:
        """From now on nothing comes from or to C{host}."""
        self.dead.add(host)
        for wire in self.wires:
            if host in (wire.here, wire.there):
                wire.cut = True

    def open_wires(self) -> list[Wire]:
        return [wire for wire in self.wires if not wire.closed]


@implementer(IReactorTCP)
class Host:
    """The reactor of one host."""

    def __init__(self, net: Net, address: str) -> None:
        self.net, self.address = net, address
        self.dials: list[tuple[float, str, int]] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        if (self.address, port) in self.net.listening:
            raise CannotListenError(interface, port, OSError("in use"))
        self.net.listening[self.address, port] = factory
        factory.doStart()
        return Port(self.net, self.address, port)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Connector:
        clock = self.net.clock
        connector = Connector(factory, IPv4Address("TCP", host, port))
        self.dials.append((clock.seconds(), host, port))
        factory.doStart()
        factory.startedConnecting(connector)
        connector.calls.append(clock.callLater(timeout, connector.fail, ConnectTimeout()))
        if host not in self.net.dead and (self.address, host) not in self.net.walls:
            connector.calls.append(clock.callLater(0.001, self._connect, connector, host, port))
        return connector

    def _connect(self, connector: Connector, host: str, port: int) -> None:
        server = self.net.listening.get((host, port))
        if server is None:
            connector.fail(ConnectionRefusedError())
            return
        connector.over = True
        connector.calls[0].cancel()
        there = server.buildProtocol(IPv4Address("TCP", self.address, port))
        here = connector.factory.buildProtocol(IPv4Address("TCP", host, port))
        self.net.wires += wired(self.net.clock, here, there, (self.address, host), port)


def key_of(name: str) -> Any:
    """The fingerprint that belongs to a name in these tests."""
    return digest_of(name.encode())


@implementer(IPeerEvents)
class Agent:
    """Writes down what it is told, and answers what it was given."""

    def __init__(self, name: str, head: int = 0) -> None:
        self.name = name
        self.head = head
        self.deployment = DEPLOYMENT
        self.told: list[tuple[Any, ...]] = []
        self.links: dict[str, Any] = {}
        self.unwelcome: set[str] = set()
        self.envelopes: list[bytes] = []
        self.pieces: dict[tuple[str, int], Any] = {}
        self.wanted: list[tuple[Any, ...]] = []
        self.trouble: dict[str, Exception] = {}

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        if what[0] in self.trouble:
            raise self.trouble[what[0]]

    def names(self) -> list[str]:
        return [what[0] for what in self.told]

    def hello(self) -> Any:
        return self.deployment, self.head, TOP, b"member of " + self.name.encode()

    def admit(self, peer: Any, fingerprint: Any, member: bytes) -> None:
        if peer in self.unwelcome or fingerprint != key_of(peer) or member != b"member of " + peer.encode():
            raise Untrusted(f"{peer} is no member")

    def linked(self, link: Any, head: int, top: Any) -> None:
        assert link.peer not in self.links, "two links to one peer"
        self.links[link.peer] = link
        self._tell("linked", link.peer, head, top)

    def acked(self, link: Any, head: int) -> None:
        self._tell("acked", link.peer, head)

    def unlinked(self, link: Any) -> None:
        assert self.links.pop(link.peer) is link
        self._tell("unlinked", link.peer)

    def notified(self, link: Any, envelopes: Any, holding: Any, head: int) -> bool:
        assert link.peer in self.links, "told before it was linked"
        self.head = max(self.head, head)
        self._tell("notified", link.peer, tuple(envelopes), tuple(holding), head)
        return bool(envelopes)

    def reload_asked(self, link: Any) -> None:
        self._tell("reload_asked", link.peer)

    def table_wanted(self, link: Any, have: Any) -> Any:
        self.wanted.append(("table", have))
        return [one for seq, one in enumerate(self.envelopes, 1) if seq not in have]

    def hashes_wanted(self, link: Any, digest: Any) -> Any:
        return self._answer("hashes", digest, 0)

    def piece_wanted(self, link: Any, digest: Any, index: int) -> Any:
        return self._answer("piece", digest, index)

    def output_wanted(self, link: Any, seq: int) -> Any:
        return self._answer("output", "", seq)

    def _answer(self, kind: str, digest: str, index: int) -> Any:
        self.wanted.append((kind, digest, index))
        found = self.pieces.get((digest, index))
        if found is None:
            raise NotHere("no such thing")
        if isinstance(found, Exception):
            raise found
        return found

    def holding_told(self, link: Any, digest: Any, raw: bytes) -> None:
        self._tell("holding_told", digest, raw)

    def have_told(self, link: Any, digest: Any, held: Any, coming: Any) -> None:
        self._tell("have_told", digest, held, coming)

    def offered(self, link: Any, digest: Any, index: int) -> None:
        self._tell("offered", digest, index)

    def drained(self, link: Any) -> None:
        self._tell("drained")

    def declined(self, link: Any, digest: Any, index: int) -> None:
        self._tell("declined", digest, index)

    def goes_round(self, link: Any, digest: Any, word: Any) -> None:
        self._tell("goes_round", digest, word)

    def fed(self, link: Any, digest: Any, index: int, data: bytes) -> None:
        self._tell("fed", digest, index, data)

    def branched(self, link: Any, digest: Any, branch: Any) -> None:
        self._tell("branched", digest, branch)


class Town:
    """
    Peers on a net; the peer C{a} lives at the host C{10.0.0.97}, and so on.

    @ivar shown: what the certificates of some call them.
    """

    def __init__(self, names: str, limits: Limits | None = None, clear: bool = True) -> None:
        self.net = Net()
        self.clock = self.net.clock
        self.shown: dict[str, str] = {}
        self.agents = {name: Agent(name) for name in names}
        self.hosts = {name: Host(self.net, host_of(name)) for name in names}
        self.networks = {name: self.network(name, limits) for name in names}
        for name, network in self.networks.items():
            network.start(self.agents[name])

    def network(self, name: str, limits: Limits | None = None) -> Network:
        def identify(transport: Any) -> Any:
            who = chr(int(transport.getPeer().host.rpartition(".")[2]))
            who = self.shown.get(who, who)
            return PeerName(who), key_of(who)

        return Network(
            self.hosts[name],
            self.clock,
            Random(ord(name)),
            ClearSecurity(identify),
            PeerName(name),
            ports=(1, 2),
            limits=limits,
        )

    def keep(self, name: str, *others: str) -> None:
        self.networks[name].keep({PeerName(other): [address_of(other)] for other in others})

    def dial(self, name: str, other: str) -> Any:
        return self.networks[name].dial(PeerName(other), [address_of(other)])

    def run(self, seconds: float = 0.5) -> None:
        run(self.clock, seconds)

    def pairs(self) -> int:
        """How many links are open, each counted once at either end."""
        return sum(len(network.links()) for network in self.networks.values())


def host_of(name: str) -> str:
    return f"10.0.0.{ord(name)}"


def address_of(name: str) -> Address:
    return Address(host_of(name), 1, 2)
