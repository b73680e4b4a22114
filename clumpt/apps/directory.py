"""The small directory: C{twistd clumpt-directory}, or C{clumpt-directory}; see clumpt-directory(8)."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from OpenSSL import SSL, crypto
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from clumpt.aio import deferred
from clumpt.apps.oneshot import Status, ToolOptions, status_of, steady
from clumpt.apps.ready import tell_systemd
from clumpt.errors import BadInput, ClumptError
from clumpt.ldap import schema
from clumpt.ldap.embedded.disk import DiskLogFile
from clumpt.ldap.embedded.log import Log
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.embedded.tls import server_options
from clumpt.trust.files import read

#: Where clumptconf puts what the server needs, and where the server keeps its entries.
TLS, STATE = Path("/etc/clumpt/directory"), Path("/var/lib/clumpt-directory")
#: Seconds between two looks whether everything can still be kept.
LOOK = 1.0
#: The most that a port can be.
_LAST_PORT = 65535


@frozen
class Listening:
    """
    Where the server is reached.

    @ivar host: an address of this machine.
    @ivar ldaps: the port of TLS from the first byte, 0 for any free one.
    @ivar ldap: the port of StartTLS, 0 for any free one, None for none.
    """

    host: str = "0.0.0.0"
    ldaps: int = 636
    ldap: int | None = None


def tls_options(folder: Path) -> Any:
    """
    TLS with what clumptconf init has put into C{folder}.

    Raises L{BadInput} if the certificate, the key or the authority cannot be used.
    """
    pems = (
        read(folder / "server.pem"),
        read(folder / "server-key.pem", private=True),
        read(folder / "ca.pem"),
    )
    try:
        return server_options(*pems)
    except (SSL.Error, crypto.Error, ValueError) as wrong:
        raise BadInput(f"the files in {folder} are no certificate, key and authority in PEM") from wrong


def open_store(base: str, state: Path, reactor: Any) -> Store:
    """The entries that are kept in the folder C{state}; raises L{ClumptError}."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = DiskLogFile(state / "directory.log")
    except OSError as trouble:
        raise BadInput(f"{state}: the directory cannot be kept there: {trouble.strerror}") from trouble
    return Store(base, schema.load(), Log(file, reactor))


@define(eq=False)
class DirectoryServer:
    """
    The embedded directory, listening with TLS.

    @ivar listening: the real ports once L{start} has fired.
    """

    _reactor: Any
    store: Store
    _tls: Any
    listening: Listening
    _ports: list[Any] = field(factory=list, init=False)

    @deferred
    async def start(self) -> None:
        """Listen; fails with L{BadInput} if a port cannot be had."""
        wanted = self.listening
        factory = EmbeddedDirectory(
            store=self.store, clock=self._reactor, passwords=Passwords(os.urandom), tls=self._tls
        )
        endpoints: list[Any] = [
            SSL4ServerEndpoint(self._reactor, wanted.ldaps, self._tls, interface=wanted.host),
        ]
        if wanted.ldap is not None:
            endpoints.append(TCP4ServerEndpoint(self._reactor, wanted.ldap, interface=wanted.host))
        try:
            for endpoint in endpoints:
                self._ports.append(await endpoint.listen(factory))
        except CannotListenError as trouble:
            await self.stop()
            raise BadInput(
                f"cannot listen at {wanted.host}, port {trouble.port}: {trouble.socketError}"
            ) from trouble
        numbers = [port.getHost().port for port in self._ports]
        self.listening = Listening(wanted.host, numbers[0], numbers[1] if len(numbers) > 1 else None)

    @deferred
    async def stop(self) -> None:
        """Listen no more; fires when no port is open.  The store stays open."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)


class Options(ToolOptions):
    """The words on the command line of the directory."""

    synopsis = "[--tls FOLDER] [--state FOLDER] [--listen ADDRESS] [--port PORT] [--starttls-port PORT]"
    longdesc = "Runs a small LDAP directory for Clumpt.  clumpt-directory(8) says when OpenLDAP is better."
    optParameters: list[list[Any]] = [
        ["tls", "t", str(TLS), "The folder with ca.pem, server.pem and server-key.pem."],
        ["state", "s", str(STATE), "The folder in which the entries are kept."],
        ["base", "b", "o=clumpt", "The entry under which everything is."],
        ["listen", "l", "0.0.0.0", "The address to listen at."],
        ["port", "p", 636, "The port of ldaps://.", int],
        ["starttls-port", None, None, "The port of ldap:// with StartTLS, if there is to be one.", int],
    ]

    def postOptions(self) -> None:
        """See that the ports can be ports."""
        for name in ("port", "starttls-port"):
            if self[name] is not None and not 0 <= self[name] <= _LAST_PORT:
                raise UsageError(f"--{name} is a number from 0 (any free one) to {_LAST_PORT}")
        self.listening = Listening(self["listen"], self["port"], self["starttls-port"])


@define(eq=False)
class DirectoryService(Service):
    """
    The directory as a service.

    @ivar ended: called with the exit status when it cannot go on.
    """

    _options: Options
    _reactor: Any
    _ended: Callable[[int], None]
    _server: DirectoryServer | None = field(default=None, init=False)
    _looking: IDelayedCall | None = field(default=None, init=False)
    log = Logger()

    def startService(self) -> None:
        """Start as soon as the reactor runs, so that a failure can end it."""
        super().startService()
        self._reactor.callWhenRunning(lambda: self._start().addErrback(self._failed))

    @deferred
    async def _start(self) -> None:
        options = self._options
        tls = tls_options(Path(options["tls"]))
        store = open_store(options["base"], Path(options["state"]), self._reactor)
        server = DirectoryServer(self._reactor, store, tls, options.listening)
        try:
            await server.start()
        except ClumptError:
            store.close()
            raise
        self._server = server
        self.log.info(
            "the directory {base} with {entries} entries is at {host}, port {port}",
            base=options["base"],
            entries=len(store),
            host=server.listening.host,
            port=server.listening.ldaps,
        )
        tell_systemd(os.environ)
        self._look(store)

    def _look(self, store: Store) -> None:
        """End rather than be there and answer nothing."""
        if store.broken:
            self.log.critical("the directory cannot be kept on the disk any more: ending")
            self._ended(int(Status.UNEXPECTED))
        else:
            self._looking = self._reactor.callLater(LOOK, self._look, store)

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, ClumptError):
            self.log.critical("cannot start: {reason}", reason=str(failure.value))
            self._ended(int(status_of(failure.value)))
        else:
            self.log.failure("cannot start", failure)
            self._ended(int(Status.UNEXPECTED))

    def stopService(self) -> Deferred[None] | None:
        """End cleanly; fires when everything is kept."""
        super().stopService()
        if self._looking is not None and self._looking.active():
            self._looking.cancel()
        return self._stop(self._server) if self._server is not None else None

    @deferred
    async def _stop(self, server: DirectoryServer) -> None:
        await server.stop()
        server.store.close()


def makeService(options: Options) -> DirectoryService:
    """The service that twistd runs."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    steady(reactor)
    status = [0]

    def ended(code: int) -> None:
        status[0] = code
        reactor.stop()

    # twistd itself always ends with 0.
    atexit.register(lambda: os._exit(status[0]) if status[0] else None)
    return DirectoryService(options, reactor, ended)
