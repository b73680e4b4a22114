"""A real OpenLDAP server as a child process, set up as an administrator would: from what clumptconf wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import ProcessProtocol, Protocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure

from clumpt.aio import deferred, sleep
from clumpt.apps.demonstration.loopback import LDAPS
from clumpt.apps.demonstration.place import Place
from clumpt.errors import BadInput

#: Seconds that slapd may take to answer, between two tries, and to end.
PATIENCE, PAUSE, GRACE = 20.0, 0.05, 3.0
#: The programs are not where users look for theirs.
_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/libexec/openldap:/usr/bin"
#: The folders of a node that clumptconf means; here, everything is in one.
_FOLDERS = ("/var/lib/ldap/clumpt", "/run/slapd")
#: What is loaded, in this order: database, or number of it, and file.
_LOADS = (
    ("-n", "0", "slapd.ldif"),
    ("-b", "ou=status,o=clumpt", "status.ldif"),
    ("-b", "o=clumpt", "base.ldif"),
)


def program(name: str) -> str:
    """The path of one of OpenLDAP's programs; raises L{BadInput} if it is not installed."""
    path = which(name, path=_PATH)
    if path is None:
        raise BadInput(f"{name} is not installed: install OpenLDAP's server (Debian's package is slapd)")
    return path


@define(eq=False)
class _Running(ProcessProtocol):
    """Keeps the last that slapd said."""

    ended: Deferred[None] = field(factory=Deferred, init=False)
    said: bytes = field(default=b"", init=False)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It said something."""
        self.said = (self.said + data)[-4096:]

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.ended.callback(None)


@define(eq=False)
class OpenLdap:
    """One slapd with databases of its own."""

    _place: Place
    _reactor: Any
    _running: _Running = field(factory=_Running, init=False)
    _process: Any = field(default=None, init=False)

    @property
    def _folder(self) -> Path:
        return self._place.folder / "openldap"

    @deferred
    async def start(self) -> None:
        """Fires when it listens; fails with L{BadInput}, and its last words, if it does not."""
        slapadd, slapd = program("slapadd"), program("slapd")
        for name in ("config", "main", "status"):
            (self._folder / name).mkdir(parents=True)
        written = self._place.tls / "slapd.ldif"
        text = written.read_text()
        for folder in _FOLDERS:
            text = text.replace(folder, str(self._folder))
        written.write_text(text)
        for *which_one, file in _LOADS:
            await self._load(slapadd, [*which_one, "-l", str(self._place.tls / file)])
        address = f"ldaps://{self._place.net.directory}:{LDAPS}"
        # -d 0 keeps it in the foreground.
        argv = [slapd, "-h", address, "-F", str(self._folder / "config"), "-d", "0"]
        self._process = self._reactor.spawnProcess(self._running, slapd, argv, env={}, path=str(self._folder))
        await self._until_it_listens()

    @deferred
    async def _load(self, slapadd: str, words: Sequence[str]) -> None:
        argv = ["-F", str(self._folder / "config"), *words]
        out, err, status = await getProcessOutputAndValue(slapadd, argv, reactor=self._reactor)
        if status:
            raise BadInput(f"slapadd refused {words[-1]}:\n{(out + err).decode(errors='replace')}")

    async def _until_it_listens(self) -> None:
        until = self._reactor.seconds() + PATIENCE
        endpoint = TCP4ClientEndpoint(self._reactor, self._place.net.directory, LDAPS, timeout=2)
        while True:
            try:
                connected: Any = await connectProtocol(endpoint, Protocol())
            except ConnectError:
                if self._running.ended.called or self._reactor.seconds() > until:
                    said = self._running.said.decode(errors="replace")
                    raise BadInput(f"slapd does not start: {said}") from None
                await sleep(self._reactor, PAUSE)
            else:
                connected.transport.abortConnection()
                return

    @deferred
    async def stop(self) -> None:
        """End it; fires when it is gone."""
        if self._process is None or self._running.ended.called:
            return
        self._process.signalProcess("TERM")
        timer = self._reactor.callLater(GRACE, self._process.signalProcess, "KILL")
        await self._running.ended
        if timer.active():
            timer.cancel()
