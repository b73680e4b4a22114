"""A deployment whose daemons, tools and installs are real processes; only its directory lives in the test."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, TestCase

from clumpt.aio import deferred, sleep
from clumpt.apps.conf import environment
from clumpt.apps.conf_enrol import Delivery, Newcomers, add
from clumpt.apps.conf_env import Environment
from clumpt.apps.conf_init import NewDeployment, create, publish
from clumpt.apps.conf_talk import Talk
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.embedded.tls import server_options
from clumpt.model import Address, GroupName, PeerName, PeerStatus, Seq
from clumpt.store.journal import SqliteJournal
from clumpt.testing.slapd import free_port
from tests.embedded_case import BASE, SCHEMA

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ("-c", "from clumpt.apps.scripts import clumptd; clumptd()")
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "clumpt")
SUBMIT = ("-c", "from clumpt.apps.scripts import clumpt; clumpt()")
#: A deployment that began at this time is good now, whenever that is.
BEGAN = 1_700_000_000.0
DEPLOYMENT = "site-0123456789ab"


class Running(ProcessProtocol):
    """A process, what it said, and how it ended."""

    def __init__(self) -> None:
        self.said = ""
        self.ended: Deferred[None] = Deferred()
        self.status: int | None = None

    def outReceived(self, data: bytes) -> None:
        self.said += data.decode()

    errReceived = outReceived

    def processEnded(self, reason: Any) -> None:
        ended = reason.value
        self.status = ended.exitCode if ended.signal is None else -ended.signal
        self.ended.callback(None)

    def send(self, number: int) -> None:
        """Send a signal."""
        # Any: the interface does not say that it can be None.
        process: Any = self.transport
        try:
            process.signalProcess(number)
        except ProcessExitedAlready:
            # Whoever cares looks at the status.
            return

    @deferred
    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; fires with the status."""
        self.send(number)
        if not self.ended.called:
            await self.ended
        assert self.status is not None
        return self.status

    @deferred
    async def hears(self, text: str) -> None:
        """Wait until it said C{text}; the time limit of the test ends the wait."""
        while text not in self.said:
            if self.status is not None:
                raise AssertionError(f"ended with {self.status}, without {text!r}:\n{self.said}")
            await sleep(reactor, 0.02)


class DaemonCase(TestCase):
    """A deployment of its own, with nodes that can be started."""

    timeout = 180
    nodes = ("n1", "n2")

    def setUp(self) -> Deferred[None]:
        if shutil.which("dpkg") is None:
            raise SkipTest("there is no dpkg here")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.ports: dict[str, tuple[int, int]] = {}
        self.running: list[Running] = []
        self.addCleanup(self.clear)
        return self.furnish()

    @deferred
    async def furnish(self) -> None:
        """Make the deployment, its directory and the bundles of its nodes."""
        self.directory_port, self.listening = free_port(), None
        new = NewDeployment(DEPLOYMENT, (f"ldaps://127.0.0.1:{self.directory_port}",))
        create(self.folder, new, BEGAN)
        self.store = Store(BASE, SCHEMA, None)
        await self.open_directory()
        self.env: Environment = environment(
            self.folder / "clumpt.ini", Talk(StringIO(), StringIO(), yes=True), reactor
        )
        await publish(self.env)
        for name in self.nodes:
            await self.enrol(name)

    @deferred
    async def open_directory(self) -> None:
        """Let the directory be there."""
        made = self.folder / "clumpt/directory"
        tls = server_options(
            *((made / name).read_bytes() for name in ("server.pem", "server-key.pem", "ca.pem"))
        )
        passwords = Passwords(os.urandom, cost=2)
        serving = EmbeddedDirectory(store=self.store, clock=reactor, passwords=passwords, tls=tls)
        endpoint = SSL4ServerEndpoint(reactor, self.directory_port, tls, interface="127.0.0.1")
        self.listening = await endpoint.listen(serving)

    @deferred
    async def close_directory(self) -> None:
        """Let the directory be away."""
        listening, self.listening = self.listening, None
        if listening is not None:
            await listening.stopListening()

    @deferred
    async def enrol(self, name: str) -> None:
        """Add a node, and unpack its bundle."""
        self.ports[name] = (free_port(), free_port())
        address = Address("127.0.0.1", *self.ports[name])
        newcomers = Newcomers({PeerName(name): address}, frozenset({GroupName("all")}))
        await add(self.env, newcomers, Delivery(self.folder / "nodes", True))
        self.configure(name)

    def etc(self, name: str) -> Path:
        """The folder that is C{/etc} of a node."""
        return self.folder / "nodes" / name

    def state(self, name: str) -> Path:
        """The state folder of a node."""
        return self.folder / f"state-{name}"

    def root(self, name: str) -> Path:
        """The system that a node installs to."""
        return self.folder / f"root-{name}"

    def pair(self, name: str) -> tuple[Path, Path]:
        """The certificate and the private key of a node."""
        tls = self.etc(name) / "clumpt/tls"
        return tls / "peer.pem", tls / "peer-key.pem"

    def configure(self, name: str, peer: str = "", more: str = "") -> None:
        """Say in a drop-in what is different on a node of a test: more of C{[peer]}, and more sections."""
        drop_in = self.etc(name) / "clumpt.d/test.ini"
        drop_in.parent.mkdir(exist_ok=True)
        lines = ["[peer]", "listen = 127.0.0.1", f"state = {self.state(name)}", peer]
        drop_in.write_text("\n".join([*lines, "[install]", f"root = {self.root(name)}", more]))

    # Processes.

    def start(self, name: str, *more: str, command: tuple[str, ...] = SCRIPT) -> Running:
        """Start the daemon of a node."""
        return self.spawn(sys.executable, *command, "--config", str(self.etc(name) / "clumpt.ini"), *more)

    def spawn(self, *words: str) -> Running:
        """Start a process."""
        running = Running()
        reactor.spawnProcess(running, words[0], words, env=self.environment, path=str(self.folder))
        self.running.append(running)
        return running

    @deferred
    async def up(self, name: str, command: tuple[str, ...] = SCRIPT) -> Running:
        """Start the daemon of a node, and wait until it is up."""
        running = self.start(name, command=command)
        await running.hears(" is up")
        return running

    @deferred
    async def refuses(self, name: str, status: int, *texts: str) -> str:
        """The daemon of a node must not start, but say why; fires with what it said."""
        running = self.start(name)
        await running.ended
        self.assertEqual(running.status, status, running.said)
        for text in texts:
            self.assertIn(text, running.said)
        self.assertNotIn("Traceback", running.said)
        return running.said

    @deferred
    async def clear(self) -> None:
        """End everything that runs."""
        for running in self.running:
            await running.end(signal.SIGKILL)
        for pid in self.helpers():
            os.kill(pid, signal.SIGKILL)
        await self.env.directory.close()
        await self.close_directory()

    def helpers(self) -> list[int]:
        """The helpers of our nodes: they outlive their daemons."""
        mark = str(self.folder).encode()
        return [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit()
            and b"install_helper" in (line := command_line(process))
            and mark in line
        ]

    # Updates.

    @deferred
    async def submit(self, *words: str, status: int = 0) -> str:
        """Run C{clumpt} as an administrator; fires with what it printed and said."""
        whole = [*SUBMIT, "--config", str(self.folder / "clumpt.ini"), *words]
        out, err, code = await getProcessOutputAndValue(
            sys.executable, whole, env=self.environment, path=str(self.folder), reactor=reactor
        )
        self.assertEqual(code, status, (out + err).decode())
        return str((out + err).decode())

    @deferred
    async def status(self, name: str) -> PeerStatus | None:
        """What a node last said of itself in the directory."""
        return (await self.env.directory.statuses([PeerName(name)])).get(PeerName(name))

    @deferred
    async def settles(self, name: str, seq: Seq) -> PeerStatus:
        """Wait until the directory knows that all updates up to C{seq} are settled on a node."""

        def done(status: PeerStatus | None) -> bool:
            return status is not None and status.settled >= seq

        return await self.reports(name, done)

    @deferred
    async def reports(self, name: str, wanted: Callable[[PeerStatus | None], bool]) -> PeerStatus:
        """Wait until the directory has such a status of a node."""
        while not wanted(status := await self.status(name)):
            await sleep(reactor, 0.05)
        assert status is not None
        return status

    def journal(self, name: str) -> SqliteJournal:
        """The journal of a node whose daemon has ended."""
        journal, damaged = SqliteJournal.open(self.state(name) / "journal.db")
        self.assertIsNone(damaged)
        self.addCleanup(journal.close)
        return journal

    def ran(self, name: str) -> list[str]:
        """The lines that postinst scripts left on a node, in order."""
        mark = self.root(name) / "ran"
        return mark.read_text().splitlines() if mark.exists() else []


def command_line(process: Path) -> bytes:
    """The words that a process was started with, empty if it is gone."""
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
