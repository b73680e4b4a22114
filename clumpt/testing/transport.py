"""
The ends of a simulated wire.

L{SimTransport} is Twisted's own L{FileDescriptor} on a simulated kernel: buffers, producers and closing
behave as on a real reactor because they are the same code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.testing.wire import Flow, Mark

if TYPE_CHECKING:
    from clumpt.testing.reactor import Host, SimReactor

__all__ = ["SimTransport"]

# A segment waits until the window has this much room, lest crumbs travel.
LEAST = 16384


@implementer(ITCPTransport)
class SimTransport(FileDescriptor):
    """
    One end of a wire.

    C{getPeer().host} is the far host's address also at the accepting end, so a test may tell from it who
    is there where no certificate says so.
    """

    protocol: Any = None

    def __init__(
        self,
        reactor: SimReactor,
        here: IPv4Address,
        there: IPv4Address,
        opened: Callable[[SimTransport], None] = lambda _: None,
        lost: Callable[[Failure], None] = lambda _: None,
    ) -> None:
        super().__init__(reactor)  # type: ignore[arg-type]  # nothing is selected here
        self.host: Host = reactor.host
        self.out: Flow
        self.into: Flow
        self._reactor = reactor
        self._here, self._there = here, there
        # A port wants to know of the wire's beginning, a connector of its end.
        self._opened, self._lost = opened, lost
        self._inbox: deque[bytes | Mark] = deque()
        self._reading = self._writing = self._called = self._aborting = False
        self._no_delay = self._keep_alive = False
        reactor.wires[self] = None

    # What the wire does to this end.

    def establish(self, protocol: Any) -> None:
        """The wire is open: let C{protocol} speak."""
        self.protocol = protocol
        self.connected = 1
        self._reading = True
        self._guard(protocol.makeConnection, self)

    def arrived(self, item: bytes | Mark) -> None:
        """The next segment, or mark, came over the wire."""
        if item is Mark.OPEN:
            self._guard(self._opened, self)
        elif self._reading and not self._inbox:
            self._take(item)
        else:
            self._inbox.append(item)

    def broken(self, reason: Exception | None = None) -> None:
        """The wire is gone, without an end."""
        self.out.kill()
        self.connectionLost(Failure(reason or ConnectionLost()))

    def die(self, last: Callable[[Flow], None]) -> None:
        """The program of this end is gone: it is told nothing; C{last} does what its kernel still does."""
        self.disconnected, self.connected = 1, 0
        self._reading = self._writing = False
        self._inbox.clear()
        self._reactor.wires.pop(self, None)
        last(self.out)

    def hang_up(self, reason: Failure) -> None:
        """Send the end after what is on the way, and be closed."""
        self.out.send(Mark.END)
        self.connectionLost(reason)

    def _take(self, item: bytes | Mark) -> None:
        if isinstance(item, bytes):
            self.into.acknowledge(len(item))
            self._guard(self.protocol.dataReceived, item)
        else:
            self.out.kill()
            self.connectionLost(Failure(ConnectionDone()))

    def _empty_inbox(self) -> None:
        while self._inbox and self._reading:
            self._take(self._inbox.popleft())

    def _guard(self, call: Callable[..., Any], *args: Any) -> Any:
        """An exception in a protocol closes its wire, as a reactor does."""
        try:
            return call(*args)
        except Exception:  # noqa: BLE001 - whatever it is, the world keeps it and the run ends
            wrong = Failure()
            self.host.network.world.fault(wrong)
            self.hang_up(wrong)
            return None

    # What Twisted's descriptor asks of a reactor and a socket.

    def startReading(self) -> None:
        """Let arriving bytes through to the protocol."""
        if not self._reading:
            self._reading = True
            self._reactor.callLater(0, self._empty_inbox)

    def stopReading(self) -> None:
        """Keep arriving bytes; the far side will run out of window."""
        self._reading = False

    def startWriting(self) -> None:
        """Call L{doWrite} soon."""
        if not self._writing:
            self._writing = True
            self._call_soon()

    def stopWriting(self) -> None:
        """There is nothing to write."""
        self._writing = False

    def _call_soon(self) -> None:
        if not self._called:
            self._called = True
            self._reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._called = False
        self.writable()

    def writable(self) -> None:
        """The kernel has room for more."""
        if not self._writing:
            return
        end = self._guard(self.doWrite)
        if end is not None:
            self.hang_up(Failure(end))
        elif self._writing and self.out.room() >= LEAST:
            self._call_soon()
        elif self._writing:
            self.out.wait_for_room()

    def writeSomeData(self, data: bytes) -> int:
        """Cut C{data} into segments as chance will have it, as many as there is room for."""
        network, sent, left = self.host.network, 0, len(data)
        room = self.out.room()
        while left and room >= min(left, LEAST):
            size = network.segment(min(left, room))
            self.out.send(bytes(data[sent : sent + size]))
            sent, left, room = sent + size, left - size, room - size
        return sent

    def connectionLost(self, reason: Failure) -> None:
        """Tell protocol and connector, once."""
        if self.disconnected:
            return
        # FileDescriptor's own method is not annotated.
        super().connectionLost(reason)
        self._inbox.clear()
        self._reactor.wires.pop(self, None)
        if self.protocol is not None:
            self.protocol.connectionLost(reason)
        self._lost(reason)

    def abortConnection(self) -> None:
        """Close at once; what is buffered or on the way is lost."""
        if not (self.disconnected or self._aborting):
            self._aborting = True
            self.stopReading()
            self.stopWriting()
            self.out.reset()
            self._reactor.callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def resumeProducing(self) -> None:
        """Read again."""
        if self.connected and not self.disconnecting and not self._aborting:
            self.startReading()

    def pauseProducing(self) -> None:
        """Read no more."""
        self.stopReading()

    @property
    def unsent(self) -> int:
        """Bytes that were written and wait for room on the wire."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    # The rest of ITCPTransport.

    def getHost(self) -> IPv4Address:
        """This end."""
        return self._here

    def getPeer(self) -> IPv4Address:
        """The far end."""
        return self._there

    def getTcpNoDelay(self) -> bool:
        """What was set; it changes nothing."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Keep it."""
        self._no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """What was set; it changes nothing."""
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Keep it."""
        self._keep_alive = bool(enabled)

    def loseWriteConnection(self) -> None:
        """Half-closing is not simulated."""
        raise NotImplementedError("a simulated wire cannot be half-closed")
