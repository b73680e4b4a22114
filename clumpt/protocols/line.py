"""
A line: one connection, of either protocol.

A L{Line} moves frames, greets, notices a deaf far side, and is the one place
where a broken rule ends a connection.  What is said on it is for its greeter
until there is a link, and then for the link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from twisted.internet.interfaces import IAddress, IHandshakeListener, IPushProducer, ISSLTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.errors import BadDocument, ClumptError, ProtocolError, Untrusted
from clumpt.model import PeerName
from clumpt.pieces import Digest
from clumpt.protocols.alarm import Alarm
from clumpt.protocols.framing import FrameBuffer
from clumpt.protocols.messages import Hello, Message, Ping, Pong
from clumpt.protocols.wires import Wires

#: A larger frame is written in parts, so that every part that leaves is a sign of progress.
PART = 256 * 1024


class Greeter(Protocol):
    """
    Looks after a line until it is part of a link.

    What these raise of L{ProtocolError}, L{BadDocument} and L{Untrusted} ends the line.
    """

    def connected(self, line: Line) -> None:
        """The connection was made; nobody knows yet to whom."""

    def identified(self, line: Line) -> None:
        """The far side has proved who it is."""

    def greeted(self, line: Line) -> None:
        """The far side has said its L{Hello}."""

    def lost(self, line: Line, why: str) -> None:
        """The connection is gone."""


class Partner(Protocol):
    """The link, as its lines see it."""

    def received(self, line: Line, message: Message) -> None:
        """The far side said something; what this raises is as with L{Greeter}."""

    def pinged(self) -> None:
        """The far side asked whether we are there, and was answered."""

    def drained(self, line: Line) -> None:
        """There is room to say more."""

    def lost(self, line: Line, why: str) -> None:
        """The connection is gone."""


@implementer(IPushProducer, IHandshakeListener)
class Line(TwistedProtocol):
    """
    One connection.

    @cvar KINDS: what may be said on it.
    @ivar peer: who is at the far end by its certificate; empty until L{Greeter.identified}.
    @ivar fingerprint: of that certificate's key.
    @ivar hello: how it greeted, None until then.
    @ivar heard: when the last bytes came, by the clock.
    @ivar served: when the last bytes came that were no ping.
    @ivar ended: is this line given up?  It says and hears nothing any more.
    """

    KINDS: ClassVar[Mapping[int, type[Message]]]
    # Any: Twisted's own type has neither producers nor abortConnection.
    transport: Any

    def __init__(self, wires: Wires, greeter: Greeter) -> None:
        self.peer = PeerName("")
        self.fingerprint = Digest("")
        self.hello: Hello | None = None
        self.heard = self.served = 0.0
        self.ended = False
        self.frames = FrameBuffer({kind: message.shape() for kind, message in self.KINDS.items()})
        self._wires = wires
        self._greeter = greeter
        self._link: Partner | None = None
        self._early: list[Message] = []
        self._why = ""
        self._paused = False
        self._queue: deque[bytes] = deque()
        self._queued = 0
        #: Greeting, later good-bye.
        self._patience = Alarm(wires.clock)
        self._stall = Alarm(wires.clock)
        self._doubt = Alarm(wires.clock)

    @property
    def name(self) -> str:
        """Whom to tell the operator of: the peer, or its host while the peer is unknown."""
        address = self.transport.getPeer()
        return self.peer or str(getattr(address, "host", address))

    @property
    def full(self) -> bool:
        """Is there no room to say anything large?"""
        return self._paused or bool(self._queue)

    # What the transport tells us.

    def connectionMade(self) -> None:
        """Begin to wait for the handshake and the greeting."""
        wire = self.transport
        self.heard = self.served = self._wires.clock.seconds()
        self._wires.open.add(self, self.close)
        # Asked of the object, not of its interfaces: the TLS layer passes methods on, but hides interfaces.
        if hasattr(wire, "setTcpNoDelay"):
            wire.setTcpNoDelay(True)
            wire.setTcpKeepAlive(True)
        wire.registerProducer(self, True)
        limit = self._wires.limits.greeting
        self._patience.set(limit, self.refuse, ProtocolError(f"no link after {limit:g} s"))
        self._guard(self._greeter.connected, self)
        if not ISSLTransport.providedBy(wire):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """The far side can be named now."""
        if not self.ended:
            self._guard(self._identify)

    def _identify(self) -> None:
        self.peer, self.fingerprint = self._wires.security.identity(self.transport)
        self._greeter.identified(self)

    def dataReceived(self, data: bytes) -> None:
        """Take in what came."""
        self.heard = self._wires.clock.seconds()
        if not self.ended:
            self._guard(self._feed, data)
            if self.frames.inside:
                self.served = self.heard

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever looks after this line."""
        self.ended = True
        self._wires.open.changes += 1
        self._queue.clear()
        for alarm in (self._patience, self._stall, self._doubt):
            alarm.stop()
        self._early.clear()
        (self._link or self._greeter).lost(self, self._why or reason.getErrorMessage())
        self._wires.open.remove(self)

    def pauseProducing(self) -> None:
        """Called by the transport: the far side does not take what we say as fast as we say it."""
        self._paused = True
        limit = self._wires.limits.stalled
        self._stall.set(limit, self.refuse, ProtocolError(f"it took nothing for {limit:g} s"))

    def resumeProducing(self) -> None:
        """Called by the transport: there is room again."""
        self._paused = False
        self._stall.stop()
        self._flush()
        if not self.full and not self.ended and self._link is not None:
            self._link.drained(self)

    def stopProducing(self) -> None:
        """Called by the transport: the connection is going; L{connectionLost} follows."""

    # What its users ask.

    def send(self, message: Message) -> None:
        """Say C{message}; nothing happens once the line is given up."""
        if self.ended:
            return
        parts = message.encode()
        if self.full:
            self._queued += len(parts[0])
            if self._queued > self._wires.limits.backlog:
                self.refuse(ProtocolError(f"it leaves {self._queued} bytes unread"))
                return
        if not self.full and len(parts[-1]) <= PART:
            for part in parts:
                self.transport.write(part)
            return
        for part in parts:
            self._queue.extend(part[at : at + PART] for at in range(0, len(part), PART))
        self._flush()

    def join(self, link: Partner) -> None:
        """From now on this line belongs to C{link}."""
        self._link = link
        self._patience.stop()

    def replay(self) -> None:
        """Give the link what came before it was whole."""
        early, self._early = self._early, []
        for message in early:
            if not self.ended:
                self._guard(self._take, message)

    def doubt(self) -> None:
        """The far side may have given this line up without our knowing: it must answer soon."""
        self.send(Ping())
        limit = self._wires.limits.doubt
        self._doubt.set(limit, self.refuse, ProtocolError(f"no answer in {limit:g} s, and it called anew"))

    def refuse(self, wrong: ClumptError) -> None:
        """End the line at once, because of something that the far side did; the operator is told."""
        if not self.ended:
            self._wires.complaints.about(self.name, str(wrong))
            self.abort(str(wrong))

    def abort(self, why: str) -> None:
        """End the line at once."""
        if not self.ended:
            self._end(why)
            self.transport.abortConnection()

    def close(self, why: str) -> None:
        """End the line once what was said is sent, in bounded time."""
        if not self.ended:
            self._end(why)
            self._patience.set(self._wires.limits.closing, self.transport.abortConnection)
            self.transport.loseConnection()

    # Inside.

    def _end(self, why: str) -> None:
        self.ended = True
        self._wires.open.changes += 1
        self._why = why
        self._queue.clear()
        for alarm in (self._patience, self._stall, self._doubt):
            alarm.stop()
        # With a producer registered, TLS would never close.
        self.transport.unregisterProducer()

    def _guard(self, do: Callable[..., None], *args: Any) -> None:
        """The one place where a broken rule ends the line."""
        try:
            do(*args)
        except (ProtocolError, BadDocument, Untrusted) as wrong:
            self.refuse(wrong)
        except BaseException:
            self.abort("a mistake on this side")
            raise

    def _feed(self, data: bytes) -> None:
        for frame in self.frames.feed(data):
            if self.ended:
                return
            self._take(self.KINDS[frame.kind].read(frame.head, frame.body))

    def _take(self, message: Message) -> None:
        match message:
            case Hello():
                self._greet(message)
            case _ if self.hello is None:
                raise ProtocolError(f"it said {type(message).__name__} before it greeted")
            case Ping():
                self._answer()
            case Pong():
                self._doubt.stop()
            case _ if self._link is not None:
                self.served = self.heard
                self._link.received(self, message)
            case _:
                if len(self._early) >= self._wires.limits.early:
                    raise ProtocolError("it says too much before there is a link")
                self._early.append(message)

    def _answer(self) -> None:
        self.send(Pong())
        if self._link is not None:
            self._link.pinged()

    def _greet(self, hello: Hello) -> None:
        if self.hello is not None:
            raise ProtocolError("it greeted twice")
        if not self.peer:
            raise ProtocolError("it greeted before it proved who it is")
        hello.version()
        self.hello = hello
        self._greeter.greeted(self)

    def _flush(self) -> None:
        while self._queue and not self._paused:
            self.transport.write(self._queue.popleft())
        if not self._queue:
            self._queued = 0


class LineFactory(Factory):
    """Makes the lines of one protocol."""

    noisy = False
    protocol: type[Line]

    def __init__(self, wires: Wires, greeter: Greeter) -> None:
        self._wires = wires
        self._greeter = greeter

    def buildProtocol(self, addr: IAddress | None) -> Line:
        """A line that is not connected yet."""
        return self.protocol(self._wires, self._greeter)
