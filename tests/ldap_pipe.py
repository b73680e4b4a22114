"""A network of transports in memory, and LDAP servers on it that answer as they are told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ldaptor.protocols import pureber, pureldap
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.ldap.servers import Credentials, Dialler, Simple, Uri

ADMIN = Simple("cn=admin,o=clumpt", "secret")
ADDRESS = IPv4Address("TCP", "127.0.0.1", 1)

_ops = pureldap.LDAPBERDecoderContext(fallback=pureber.BERDecoderContext())
_context = pureldap.LDAPBERDecoderContext_TopLevel(
    inherit=pureldap.LDAPBERDecoderContext_LDAPMessage(fallback=_ops, inherit=_ops)
)


@implementer(ITCPTransport)
class End:
    """One end of a connection; what is written arrives before the writer's caller goes on."""

    disconnecting = False
    keeps_alive = False

    def __init__(self, net: Net, subject: str = "") -> None:
        self.net = net
        self.subject = subject
        self.protocol: Any = None
        self.other: End
        self.lost = False
        self.tls: Any = None

    def write(self, data: bytes) -> None:
        if not self.lost:
            self.net.later(self.other.receive, bytes(data))

    def writeSequence(self, parts: Sequence[bytes]) -> None:
        self.write(b"".join(parts))

    def receive(self, data: bytes) -> None:
        if not self.lost:
            self.protocol.dataReceived(data)

    def loseConnection(self) -> None:
        self.net.later(self.end, ConnectionDone())
        self.net.later(self.other.end, ConnectionDone())

    def abortConnection(self) -> None:
        self.net.later(self.end, ConnectionAborted())
        self.net.later(self.other.end, ConnectionAborted())

    def end(self, why: Exception) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(why))

    def startTLS(self, context: Any, normal: bool = True) -> None:
        self.tls = context

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Nothing ever waits here, so nobody need be paused."""

    def unregisterProducer(self) -> None:
        pass

    def pauseProducing(self) -> None:
        raise AssertionError("nothing waits here")

    def resumeProducing(self) -> None:
        pass

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.keeps_alive = bool(enabled)

    def getPeer(self) -> IPv4Address:
        return ADDRESS

    def getHost(self) -> IPv4Address:
        return ADDRESS


class Net:
    """Delivers in order, never inside a delivery; holds everything back while C{held}."""

    def __init__(self) -> None:
        self.held = False
        self._queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._busy = False

    def later(self, call: Callable[..., None], *words: Any) -> None:
        self._queue.append((call, words))
        self.flow()

    def flow(self) -> None:
        if self._busy:
            return
        self._busy = True
        while self._queue and not self.held:
            call, words = self._queue.popleft()
            call(*words)
        self._busy = False

    def connect(self, client: Any, server: Any, subject: str = "") -> None:
        mine, theirs = End(self, subject), End(self)
        mine.other, theirs.other = theirs, mine
        mine.protocol, theirs.protocol = client, server
        server.makeConnection(theirs)
        client.makeConnection(mine)


@implementer(IStreamClientEndpoint)
class Place:
    """
    Where a server can be reached.

    @ivar serve: makes the server's protocol; None to refuse, and C{"black hole"} to never answer.
    @ivar subject: whom the client's certificate names.
    """

    def __init__(self, net: Net, serve: Any, subject: str = "") -> None:
        self.net = net
        self.serve = serve
        self.subject = subject
        self.dialled = 0
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.dialled += 1
        if self.serve is None:
            return fail(ConnectionRefusedError())
        if self.serve == "black hole":
            return Deferred(self._cancel)
        client = factory.buildProtocol(ADDRESS)
        self.net.connect(client, self.serve(), self.subject)
        return succeed(client)

    def _cancel(self, _: Any) -> None:
        self.cancelled += 1


#: What a server says to a request: responses (perhaps with controls), raw bytes, or nothing.
Script = Callable[[Any, Any], Sequence[Any]]


class Scripted(Protocol):
    """A server that answers binds with yes, and everything else as its script says."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Any] = []
        self.raw = b""

    def dataReceived(self, data: bytes) -> None:
        self.raw += data
        while data:
            message, used = pureber.berDecodeObject(_context, data)
            data = data[used:]
            self.asked.append(message.value)
            for answer in self._answers(message):
                self.say(answer, message.id)

    def _answers(self, message: Any) -> Sequence[Any]:
        answers = self.script(message.value, message.controls or ())
        if answers is BIND_AS_USUAL:
            return [pureldap.LDAPBindResponse(resultCode=0)]
        return answers

    def say(self, answer: Any, number: int) -> None:
        controls = None
        if isinstance(answer, tuple):
            answer, controls = answer
        if not isinstance(answer, bytes):
            answer = pureldap.LDAPMessage(answer, controls=controls, id=number).toWire()
        self.transport.write(answer)


BIND_AS_USUAL: Any = object()


class Farm:
    """Scripted servers by address, and what is needed to use them."""

    def __init__(self) -> None:
        self.net = Net()
        self.clock = Clock()
        self.places: dict[str, Place] = {}
        self.served: dict[str, list[Scripted]] = {}

    def server(self, host: str, script: Script | None) -> Uri:
        """A server at C{host}; None for one that refuses connections."""
        lines = self.served[host] = []

        def serve() -> Scripted:
            lines.append(Scripted(lambda op, controls: _binding(op) or script(op, controls)))  # type: ignore[misc]
            return lines[-1]

        self.places[host] = Place(self.net, serve if script else None)
        return Uri(False, host, 389)

    def dialler(self, credentials: Credentials = ADMIN, **more: Any) -> Dialler:
        more.setdefault("allow_plain", True)
        return Dialler(self.clock, lambda uri: self.places[uri.host], credentials, **more)

    def asked(self, host: str) -> list[Any]:
        """All requests to a server but the binds and farewells."""
        dull = (pureldap.LDAPBindRequest, pureldap.LDAPUnbindRequest)
        return [op for line in self.served[host] for op in line.asked if not isinstance(op, dull)]


def _binding(op: Any) -> Any:
    if isinstance(op, pureldap.LDAPBindRequest):
        return BIND_AS_USUAL
    return None if not isinstance(op, pureldap.LDAPUnbindRequest) else []
