"""
How a simulated wire is dialled and accepted.

L{SimConnector} is Twisted's own L{BaseConnector}, so factories are told the same things in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.base import BaseConnector
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, UserError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.testing.transport import SimTransport
from clumpt.testing.wire import Flow, Mark
from clumpt.testing.world import Timer

if TYPE_CHECKING:
    from clumpt.testing.reactor import Host, SimReactor

__all__ = ["SimConnector", "SimPort"]

# Seconds before a lost call is repeated for the first time; then twice as long each time.
REPEAT = 1.0


@implementer(IListeningPort)
@define(eq=False)
class SimPort:
    """A port that listens."""

    reactor: SimReactor
    number: int
    factory: Any
    listening: bool = field(default=False, init=False)

    def startListening(self) -> None:
        """Answer from now on."""
        self.listening = True
        self.reactor.ports[self.number] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Answer no more; fires with None when the factory was told."""
        done: Deferred[None] = Deferred()
        if self.listening:
            self.listening = False
            self.reactor.ports.pop(self.number, None)
            self.reactor.callLater(0, self._stopped, done)
        else:
            done.callback(None)
        return done

    def _stopped(self, done: Deferred[None]) -> None:
        self.factory.doStop()
        done.callback(None)

    def accept(self, transport: SimTransport) -> None:
        """A wire has come to be: give it a protocol."""
        if not self.listening:
            transport.die(Flow.reset)
            return
        protocol = self.factory.buildProtocol(transport.getPeer())
        if protocol is None:
            transport.hang_up(Failure(ConnectionDone()))
        else:
            transport.establish(protocol)

    def getHost(self) -> IPv4Address:
        """Where it listens."""
        return IPv4Address("TCP", self.reactor.host.address, self.number)


class SimConnector(BaseConnector):
    """Dials, and tells a client factory what came of it."""

    def __init__(self, reactor: SimReactor, host: str, port: int, factory: Any, timeout: float) -> None:
        super().__init__(factory, timeout, reactor)  # type: ignore[arg-type]  # of which it uses callLater
        self._sim, self._destination = reactor, IPv4Address("TCP", host, port)

    def _makeTransport(self) -> Any:
        call = _Call(self, self._sim, self._destination)
        call.begin()
        return call

    def getDestination(self) -> IPv4Address:
        """Whom it dials."""
        return self._destination


@define(eq=False)
class _Call:
    """A wire in the making: the connector's transport until there is one."""

    connector: SimConnector
    reactor: SimReactor
    there: IPv4Address
    _timer: Timer = field(init=False)
    _over: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Send the first packet."""
        self._send(REPEAT)

    def failIfNotConnected(self, error: Exception) -> None:
        """Give up, with C{error}."""
        if not self._over:
            self._over = True
            if self._timer.active():
                self._timer.cancel()
            self.connector.connectionFailed(Failure(error))

    def loseConnection(self) -> None:
        """Give up because the program wants it."""
        self.failIfNotConnected(UserError())

    def _after(self, delay: float, call: Callable[..., None], *args: Any) -> None:
        self._timer = self.reactor.callLater(delay, call, *args)

    def _send(self, pause: float) -> None:
        self._after(self.reactor.host.network.flight(), self._called, pause)

    def _called(self, pause: float) -> None:
        here, network = self.reactor.host, self.reactor.host.network
        far = network.hosts.get(network.resolve(here, self.there.host))
        if far is None or network.blocked(here, far):
            self._after(pause, self._send, 2 * pause)
        else:
            self._after(network.flight(), self._answered, far, pause)

    def _answered(self, far: Host, pause: float) -> None:
        here, network = self.reactor.host, self.reactor.host.network
        port = far.reactor.ports.get(self.there.port) if far.reactor.alive else None
        if network.blocked(far, here):
            self._after(pause, self._send, 2 * pause)
        elif port is None:
            self.failIfNotConnected(ConnectionRefusedError())
        else:
            self._connected(port)

    def _connected(self, port: SimPort) -> None:
        self._over = True
        network = self.reactor.host.network
        here = IPv4Address("TCP", self.reactor.host.address, self.reactor.host.next_port())
        near = SimTransport(self.reactor, here, port.getHost(), lost=self.connector.connectionLost)
        far = SimTransport(port.reactor, port.getHost(), here, opened=port.accept)
        network.join(near, far)
        self.connector.transport = near  # type: ignore[assignment]  # Twisted names its own class
        near.out.send(Mark.OPEN)
        protocol = self.connector.buildProtocol(near.getPeer())
        near.establish(protocol or Protocol())
        if protocol is None:
            near.loseConnection()
