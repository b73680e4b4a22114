"""Dialling: from a peer's addresses to a pair of greeted lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTCP, IStreamClientEndpoint

from clumpt.aio import deferred
from clumpt.errors import PeerUnreachable, ProtocolError, Untrusted
from clumpt.model import Address, PeerName
from clumpt.protocols.line import Line
from clumpt.protocols.meeting import Halves, Pair
from clumpt.protocols.messages import Hello
from clumpt.protocols.notify import NotifyFactory
from clumpt.protocols.update import UpdateFactory
from clumpt.protocols.wires import Wires


def endpoint(reactor: IReactorTCP, host: str, port: int, timeout: float) -> IStreamClientEndpoint:
    """The way to C{port} of C{host}, a name or a number; given up after C{timeout} seconds."""
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout)
    return HostnameEndpoint(reactor, host, port, timeout)


@define(eq=False)
class Call:
    """
    One try at one address: a L{clumpt.protocols.line.Greeter} for both lines.

    @ivar pair: fires with the pair when both are greeted, or fails with L{PeerUnreachable}.
    """

    _peer: PeerName
    _hello: Hello
    _admit: Callable[[Pair], None]
    pair: Deferred[Pair] = field(init=False)
    _lines: list[Line] = field(factory=list, init=False)
    _halves: Halves = field(factory=Halves, init=False)
    _paired: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.pair = Deferred(lambda _: None)

    def connected(self, line: Line) -> None:
        """A connection was made."""
        self._lines.append(line)
        if self.pair.called:
            line.abort("the call is over")

    def identified(self, line: Line) -> None:
        """Greet, if it is the peer that we called."""
        if line.peer != self._peer:
            raise Untrusted(f"{self._peer} was called, but {line.peer} answers there")
        line.send(self._hello)

    def greeted(self, line: Line) -> None:
        """The peer takes our call."""
        if line.hello is None or line.hello.call != self._hello.call:
            raise ProtocolError("it answers another call")
        pair = self._halves.add(line)
        if pair is not None:
            self._admit(pair)
            self._paired = True
            self.pair.callback(pair)

    def lost(self, line: Line, why: str) -> None:
        """The call has failed, unless it was over."""
        self.hang_up(why)

    def hang_up(self, why: str) -> None:
        """End the lines, if they have not become a pair."""
        if self._paired:
            return
        for line in self._lines:
            line.abort(why)
        if not self.pair.called:
            self.pair.errback(PeerUnreachable(why))


@define(eq=False)
class Caller:
    """Dials one peer at a time, at each of its addresses until one answers."""

    _reactor: IReactorTCP
    _wires: Wires
    #: Makes the greeting of a new call.
    _hello: Callable[[], Hello]
    #: Raises L{clumpt.errors.Untrusted} or L{clumpt.errors.BadDocument} if the pair may not become a link.
    _admit: Callable[[Pair], None]

    @deferred
    async def dial(self, peer: PeerName, addresses: Sequence[Address]) -> Pair:
        """
        A greeted pair of lines to C{peer}.

        Fails with L{PeerUnreachable}, after the connect and greeting time-outs at the latest for each
        address.
        """
        tried = []
        for address in addresses:
            try:
                return await self._try(peer, address)
            except PeerUnreachable as wrong:
                tried.append(f"{address}: {wrong}")
        raise PeerUnreachable(
            f"{peer} cannot be reached at {'; '.join(tried) or 'any address: none is known'}"
        )

    async def _try(self, peer: PeerName, address: Address) -> Pair:
        call = Call(peer, self._hello(), self._admit)
        connections = [
            self._connect(address.host, address.notify).connect(NotifyFactory(self._wires, call)),
            self._connect(address.host, address.update).connect(UpdateFactory(self._wires, call)),
        ]
        try:
            await gatherResults(connections, consumeErrors=True)
            return await call.pair
        except FirstError as first:
            why = first.subFailure
            if why.check(ConnectingCancelledError):
                raise CancelledError from why.value
            why.trap(ConnectError, DNSLookupError)
            raise PeerUnreachable(why.getErrorMessage()) from why.value
        finally:
            for connection in connections:
                connection.cancel()
            call.pair.addErrback(lambda failure: failure.trap(PeerUnreachable, CancelledError))
            call.hang_up("given up")

    def _connect(self, host: str, port: int) -> IStreamClientEndpoint:
        return self._wires.security.client(endpoint(self._reactor, host, port, self._wires.limits.connect))
