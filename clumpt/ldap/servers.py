"""Where the LDAP servers are, and how one of them is reached and convinced of who we are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import PrivateCertificate, optionsForClientTLS

from clumpt.aio import deferred
from clumpt.errors import BadInput, ConfigurationError, DirectoryUnavailable
from clumpt.ldap import requests
from clumpt.ldap.wire import Wire

_PORTS = {"ldap": 389, "ldaps": 636}


@frozen
class Uri:
    """
    The address of a server.

    @ivar secure: TLS from the first byte on (C{ldaps}).
    """

    secure: bool
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Uri:
        """The server in C{ldap://host:port} or C{ldaps://host}; raises L{BadInput}."""
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise BadInput(f"{text!r} is not the address of an LDAP server: {error}") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise BadInput(f"{text!r} is not the address of an LDAP server, such as ldaps://ldap.example.org")
        if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise BadInput(f"{text!r} says more than a server: give the base and the name by themselves")
        return cls(parts.scheme == "ldaps", parts.hostname, port or _PORTS[parts.scheme])

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.secure else 'ldap'}://{host}:{self.port}"


@frozen
class Simple:
    """Authenticate with a name and a password."""

    dn: str = field()
    password: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        # LDAP servers take a name with an empty password for nobody at all, and say yes.
        if not self.dn or not self.password:
            raise ConfigurationError("to authenticate to the directory, both name and password are needed")


@frozen
class External:
    """Authenticate with the certificate of the TLS connection (SASL EXTERNAL)."""


Credentials = Simple | External


@frozen
class Tls:
    """
    Whom we trust, and who we are; there is no way to leave the server unverified.

    @ivar trust: the authorities that may vouch for a directory server.
    @ivar certificate: our own, if we have one.
    """

    #: What L{trustRootFromCertificates} gives; Twisted does not publish its interface.
    trust: Any
    certificate: PrivateCertificate | None = None

    def towards(self, host: str) -> IOpenSSLClientConnectionCreator:
        """TLS to C{host}, whose name or address the certificate must bear."""
        return optionsForClientTLS(host, trustRoot=self.trust, clientCertificate=self.certificate)


#: How a server is reached; for C{ldaps} it brings the TLS along.
Reach = Callable[[Uri], IStreamClientEndpoint]


def over_network(reactor: IReactorTime, tls: Tls | None) -> Reach:
    """
    Reach servers over TCP, and TLS for C{ldaps}.

    @param reactor: the one that runs this process, since TLS uses that one's clock; a simulation has
        a L{Reach} of its own.
    """

    def reach(uri: Uri) -> IStreamClientEndpoint:
        plain = HostnameEndpoint(reactor, uri.host, uri.port)
        if not uri.secure:
            return plain
        if tls is None:
            raise ConfigurationError(f"{uri} needs an authority to verify the server with")
        return wrapClientTLS(tls.towards(uri.host), plain)

    return reach


@define(eq=False)
class Dialler:
    """
    Makes authenticated connections.

    @ivar credentials: who we are to the directory.
    @ivar start_tls: begin TLS on C{ldap} addresses.
    @ivar allow_plain: C{ldap} addresses without TLS are meant, on the loopback or in a simulation.
    @ivar attempt: seconds that connecting may take.
    @ivar timeout: seconds that a request may take.
    """

    clock: IReactorTime
    reach: Reach
    credentials: Credentials
    start_tls: Tls | None = None
    allow_plain: bool = False
    attempt: float = 5.0
    timeout: float = 30.0

    def check(self, uris: Sequence[Uri]) -> None:
        """Raise L{ConfigurationError} if one of C{uris} would be spoken to in the clear without leave."""
        if self.start_tls or self.allow_plain:
            return
        plain = [f"{uri}: use ldaps:// or StartTLS, or the password is readable" for uri in uris]
        plain = [line for line, uri in zip(plain, uris, strict=True) if not uri.secure]
        if plain:
            raise ConfigurationError(*plain)

    @deferred
    async def dial(self, uri: Uri) -> Wire:
        """
        A new connection to C{uri}, authenticated.

        Fails with L{DirectoryUnavailable}, or L{DirectoryRefused} if we were not accepted.
        """
        wire = await self._connect(uri)
        ready = False
        try:
            if not uri.secure and self.start_tls:
                await wire.start_tls(self.start_tls.towards(uri.host))
            await self._authenticate(wire)
            ready = True
        finally:
            if not ready:
                wire.abort("it was not accepted")
        return wire

    async def _connect(self, uri: Uri) -> Wire:
        factory = Factory.forProtocol(lambda: Wire(str(uri), self.clock, self.timeout))
        # The factory says "starting" and "stopping" in the log otherwise, for each attempt.
        factory.noisy = False
        connecting: Deferred[Any] = self.reach(uri).connect(factory)
        connecting.addTimeout(self.attempt, self.clock)
        try:
            wire: Wire = await connecting
            return wire
        except (TimeoutError, ConnectingCancelledError) as error:
            # Twisted's endpoints answer a cancellation with an error of their own.
            raise DirectoryUnavailable(f"{uri} cannot be reached within {self.attempt:g} s") from error
        except (ConnectError, OSError) as error:
            raise DirectoryUnavailable(f"{uri} cannot be reached: {error}") from error

    async def _authenticate(self, wire: Wire) -> None:
        match self.credentials:
            case Simple(dn, password):
                await wire.ask(requests.simple_bind(dn, password), f"authenticating as {dn}")
            case External():
                await wire.ask(requests.ExternalBind(), "authenticating with our certificate")
