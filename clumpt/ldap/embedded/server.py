"""
The server: connections, their bounds, and the factory that a front door listens with.

A connection answers in the order in which it was asked.  It reads no further
while its client does not take the answers, and answers nothing before that
which the answer rests on is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import define, field, frozen
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.errors import ProtocolError
from clumpt.ldap.ber import Messages
from clumpt.ldap.embedded import requests
from clumpt.ldap.embedded.access import Access, Identity
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.requests import Abandon, Extended, Message, Unbind
from clumpt.ldap.embedded.results import Code
from clumpt.ldap.embedded.service import Service
from clumpt.ldap.embedded.session import Session
from clumpt.ldap.embedded.store import Store


@frozen
class Limits:
    """
    What one client may take.

    @ivar connections: at a time, of all clients together; more are closed at once.
    @ivar stranger_bytes: of one request, while nobody is bound.
    @ivar bytes: of one request afterwards; the largest are groups with all their members.
    @ivar stranger_idle: seconds without a request before the connection ends, while nobody is bound.
    @ivar idle: the same afterwards.
    @ivar farewell: seconds for the last words to be taken before the connection is cut.
    """

    connections: int = 5000
    stranger_bytes: int = 64 * 1024
    bytes: int = 8 * 1024 * 1024
    stranger_idle: float = 60.0
    idle: float = 3600.0
    farewell: float = 10.0


def certificate_subject(transport: Any) -> str:
    """The subject of the certificate that the client showed, as a DN; empty if there is none."""
    if not ISSLTransport.providedBy(transport):
        return ""
    # Any: of pyOpenSSL, which the interface does not tell.
    certificate: Any = transport.getPeerCertificate()
    return str(certificate.to_cryptography().subject.rfc4514_string()) if certificate else ""


@implementer(IPushProducer)
class Connection(Protocol):
    """One client."""

    log = Logger()

    def __init__(self, directory: EmbeddedDirectory) -> None:
        self._directory = directory
        self._limits = directory.limits
        self._session = Session(directory.service)
        self._messages = Messages(self._limits.stranger_bytes)
        self._answers: deque[Iterator[bytes]] = deque()
        #: Requests whose answers wait until changes are kept.
        self._unsettled = 0
        self._paused = False
        self._ending = False
        self._timer: IDelayedCall | None = None
        # Any: a transport of the reactor's, or of TLS, or simulated.
        self._wire: Any = None

    def connectionMade(self) -> None:
        """The client is there."""
        self._wire = self.transport
        if self._directory.full:
            self._ending = True
            self._wire.abortConnection()
            return
        self._directory.connections[self] = None
        self._wire.registerProducer(self, True)
        self._timer = self._directory.clock.callLater(self._limits.stranger_idle, self._silent)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._ending = True
        self._directory.connections.pop(self, None)
        self._answers.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _silent(self) -> None:
        self.end(Code.UNAVAILABLE, "no request for too long")

    # Asked.

    def dataReceived(self, data: bytes) -> None:
        """Take in what the client sends."""
        if self._ending:
            return
        try:
            for request in self._messages.feed(data):
                self._request(requests.read(request))
                if self._ending or self._paused:
                    break
        except ProtocolError as wrong:
            client = self._wire.getPeer()
            self.log.warn("ending the connection of {client}: it sent {wrong}", client=client, wrong=wrong)
            self.end(Code.PROTOCOL_ERROR, str(wrong))

    def _request(self, message: Message) -> None:
        match message.request:
            case Unbind():
                self._hang_up()
            case Abandon():
                # Everything was answered already, or is waiting to be kept whatever happens.
                return
            case Extended(requests.STARTTLS):
                self._start_tls(message)
            case _:
                self._perform(message)

    def _perform(self, message: Message) -> None:
        session = self._session
        if session.who.anonymous:
            session.secure = bool(ISSLTransport.providedBy(self._wire))
            session.subject = self._directory.identify(self._wire)
        answers = session.perform(message)
        bound = not session.who.anonymous
        self._messages.limit = self._limits.bytes if bound else self._limits.stranger_bytes
        if self._timer is not None:
            self._timer.reset(self._limits.idle if bound else self._limits.stranger_idle)
        self._unsettled += 1
        self._directory.service.store.settled(lambda: self._settled(answers))

    def _start_tls(self, message: Message) -> None:
        creator = self._directory.tls
        if creator is None:
            self._write(requests.answer(message, Code.UNAVAILABLE, "this server has no certificate"))
        elif ISSLTransport.providedBy(self._wire) or self._answers or self._unsettled:
            self._write(requests.answer(message, Code.OPERATIONS_ERROR, "TLS cannot be started now"))
        elif self._messages.waiting:
            # Whatever came in the clear behind the request could be anybody's.
            raise ProtocolError("more in the clear after asking for TLS")
        else:
            self._write(requests.answer(message))
            self._session.who = Identity()
            self._wire.startTLS(creator)

    # Answering.

    def _settled(self, answers: Iterable[bytes]) -> None:
        self._unsettled -= 1
        if self._directory.service.store.broken:
            self.end(Code.UNAVAILABLE, "the directory cannot keep anything any more")
        elif not self._ending:
            self._answers.append(iter(answers))
            self._pump()

    def _pump(self) -> None:
        """Write answers for as long as they are taken."""
        while self._answers and not (self._paused or self._ending):
            answer = next(self._answers[0], None)
            if answer is None:
                self._answers.popleft()
            else:
                self._write(answer)

    def _write(self, data: bytes) -> None:
        self._wire.write(data)

    def pauseProducing(self) -> None:
        """The client does not take what is written: write no more, and read no more."""
        if not self._paused:
            self._paused = True
            self._wire.pauseProducing()

    def resumeProducing(self) -> None:
        """It does again."""
        if self._paused and not self._ending:
            self._paused = False
            self._pump()
            # What arrived before the pause.
            self.dataReceived(b"")
        if not self._paused and not self._ending:
            self._wire.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is gone."""
        self._answers.clear()

    # Ending.

    def end(self, code: Code, text: str) -> None:
        """Tell the client why, and hang up."""
        if not self._ending:
            self._write(requests.farewell(code, text))
            self._hang_up()

    def _hang_up(self) -> None:
        self._ending = True
        self._answers.clear()
        self._wire.unregisterProducer()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._directory.clock.callLater(self._limits.farewell, self._wire.abortConnection)
        self._wire.loseConnection()


@define(eq=False, kw_only=True)
class EmbeddedDirectory(Factory):
    """
    A factory of connections to a directory, to be listened with.

    @ivar store: the entries; whoever made it closes it, after listening has stopped.
    @ivar clock: for timeouts.
    @ivar passwords: how passwords are kept.
    @ivar tls: for StartTLS; None if it is not offered.  For C{ldaps}, listen with a TLS endpoint.
    @ivar confidential: refuse passwords on connections without TLS.
    @ivar identify: the subject of a client's certificate, given the transport.
    """

    noisy = False

    store: Store
    clock: IReactorTime
    passwords: Passwords
    tls: IOpenSSLServerConnectionCreator | None = None
    confidential: bool = True
    identify: Callable[[Any], str] = certificate_subject
    limits: Limits = Limits()
    service: Service = field(init=False)
    #: The open connections, in the order in which they came.
    connections: dict[Connection, None] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.service = Service(self.store, Access(self.store), self.passwords, self.confidential)

    @property
    def full(self) -> bool:
        """Is there no room for another client, or nothing that it could be told?"""
        return len(self.connections) >= self.limits.connections or self.store.broken

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """
        A protocol for a client.

        Always one, since TLS in between cannot be told that there is none; it hangs up if we are L{full}.
        """
        return Connection(self)

    def stopFactory(self) -> None:
        """Nobody listens any more: end all connections."""
        for connection in list(self.connections):
            connection.end(Code.UNAVAILABLE, "the directory is shutting down")
