"""A real OpenLDAP server for tests: an ordinary process in a folder of its own, on the loopback."""

from __future__ import annotations

from pathlib import Path
from shutil import which
from socket import AF_INET, SOCK_STREAM, socket

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProcessTransport, IReactorProcess, IReactorTCP, IReactorTime
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure

from clumpt.aio import deferred, sleep
from clumpt.errors import BadInput
from clumpt.ldap import layout, schema
from clumpt.ldap.bootstrap import NewEntry, bootstrap, ldif
from clumpt.ldap.slapd import Server, config_ldif, schema_ldif
from clumpt.model import Settings
from clumpt.testing.certificates import Authority

#: How long slapd may take to answer, and how often it is asked.
_PATIENCE, _PAUSE = 20.0, 0.05
ADMIN_PASSWORD = b"admin-secret"
SUBMITTER_PASSWORD = b"submitter-secret"
DEPLOYMENT = "2f0c8bb4-6d1a-4d0e-9b43-0f4a2d1f7a55"


class IReactor(IReactorProcess, IReactorTCP, IReactorTime):
    """What starting a server and asking it needs."""


def programs() -> tuple[str, str]:
    """
    The paths of slapd and slapadd.

    Raises L{BadInput} that says which package to install.
    """
    found = [which(name, path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin") for name in ("slapd", "slapadd")]
    if not all(found):
        raise BadInput("these tests need OpenLDAP: install the package slapd (it need not be running)")
    return str(found[0]), str(found[1])


def free_port() -> int:
    """A port of the loopback that nobody listens at now."""
    with socket(AF_INET, SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Running(ProcessProtocol):
    """Notices the end of slapd and keeps the last that it said."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.said = b""

    def outReceived(self, data: bytes) -> None:
        self.said = (self.said + data)[-4096:]

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


class _Question(Protocol):
    """Binds anonymously, which every server answers once it is ready."""

    _BIND = bytes.fromhex("300c020101600702010304008000")

    def __init__(self) -> None:
        self.answered: Deferred[bytes | None] = Deferred()
        self._gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._BIND)

    def dataReceived(self, data: bytes) -> None:
        if not self.answered.called:
            self.answered.callback(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answered.called:
            self.answered.callback(None)
        self._gone.callback(None)

    def hang_up(self) -> Deferred[None]:
        """Close; fires when the connection is gone."""
        assert self.transport is not None
        self.transport.loseConnection()
        return self._gone


@define(eq=False)
class Slapd:
    """
    One server, with the base, the branches, and the passwords above loaded.

    @ivar folder: an empty folder for its files.
    @ivar provider: another one that it is to follow.
    @ivar schema: what it knows of Clumpt.
    """

    _reactor: IReactor
    folder: Path
    authority: Authority
    base: str = "o=clumpt"
    provider: Slapd | None = None
    more: tuple[NewEntry, ...] = ()
    schema: str = field(factory=schema.text)
    port: int = field(factory=free_port)
    tls_port: int = field(factory=free_port)
    _process: IProcessTransport | None = None
    _running: _Running = field(factory=_Running)

    @property
    def url(self) -> str:
        """Where it listens without TLS (StartTLS is offered)."""
        return f"ldap://127.0.0.1:{self.port}"

    @deferred
    async def create(self) -> None:
        """Write its configuration and, unless it follows another one, its first entries."""
        _, slapadd = programs()
        for name in ("config", "main", "status"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "clumpt.ldif").write_text(schema_ldif(self.schema))
        await self._load(slapadd, "config", config_ldif(self._settings()), "-n0", "-F", self._path("config"))
        if self.provider is None:
            entries = bootstrap(self.base, ADMIN_PASSWORD, Settings(DEPLOYMENT), SUBMITTER_PASSWORD)
            for name, suffix in (("status", f"{layout.STATUS},{self.base}"), ("main", self.base)):
                inner = name == "status"
                chosen = [one for one in (*entries, *self.more) if (layout.STATUS in one[0]) is inner]
                await self._load(slapadd, name, ldif(chosen), "-F", self._path("config"), "-b", suffix)

    def _path(self, name: str) -> str:
        return str(self.folder / name)

    def _settings(self) -> Server:
        server = self.authority.issue(f"slapd-{self.port}", "CN=localhost")
        replica = self.authority.issue(f"replica-{self.port}", "CN=clumpt-replicator")
        return Server(
            base=self.base,
            folder=str(self.folder),
            run=str(self.folder),
            certificate=str(server.certificate),
            key=str(server.key),
            authorities=str(self.authority.certificate),
            clumpt_schema=self._path("clumpt.ldif"),
            provider=self.provider.url if self.provider else "",
            number=2 if self.provider else 1,
            replica_certificate=str(replica.certificate),
            replica_key=str(replica.key),
        )

    @deferred
    async def _load(self, slapadd: str, name: str, text: str, *words: str) -> None:
        file = self.folder / f"{name}.ldif"
        file.write_text(text)
        out, err, status = await getProcessOutputAndValue(
            slapadd, [*words, "-l", str(file)], reactor=self._reactor
        )
        if status:
            raise BadInput(f"slapadd refused {file}:\n{(out + err).decode(errors='replace')}")

    @deferred
    async def start(self) -> None:
        """
        Start it; fires when it answers.

        Fails with L{BadInput}, with the last words of slapd, if it ends or does not answer in time.
        """
        slapd, _ = programs()
        self._running = _Running()
        urls = f"{self.url} ldaps://127.0.0.1:{self.tls_port}"
        # -d 0 keeps it in the foreground.
        words = [slapd, "-h", urls, "-F", self._path("config"), "-d", "0"]
        self._process = self._reactor.spawnProcess(self._running, slapd, words, env={}, path=str(self.folder))
        until = self._reactor.seconds() + _PATIENCE
        while not await self._answers():
            if self._running.ended.called or self._reactor.seconds() > until:
                raise BadInput(f"slapd does not start: {self._running.said.decode(errors='replace')}")
            await sleep(self._reactor, _PAUSE)

    @deferred
    async def _answers(self) -> bool:
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", self.port, timeout=2)
        try:
            asked = await connectProtocol(endpoint, _Question())
        except ConnectError:
            return False
        asked.answered.addTimeout(2, self._reactor, onTimeoutCancel=lambda _, __: None)
        answer = await asked.answered
        await asked.hang_up()
        return answer is not None

    @deferred
    async def kill(self) -> None:
        """End it as a power cut would; fires when it is gone.  Does nothing if it is not running."""
        if self._process is not None and not self._running.ended.called:
            self._process.signalProcess("KILL")
            await self._running.ended
