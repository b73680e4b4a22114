"""clumptconf as an administrator types it: real processes, a real directory over TLS, real peers."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from clumpt.aio import deferred, sleep
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.embedded.tls import server_options
from clumpt.testing.slapd import free_port
from tests.embedded_case import BASE, SCHEMA

ROOT = Path(__file__).resolve().parents[2]
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()", "clumpt-conf")
SCRIPT = ("-c", "from clumpt.apps.scripts import clumptconf; clumptconf()")
DAEMON = ("-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile=", "clumpt")


class Running(ProcessProtocol):
    """A daemon, and what it said."""

    def __init__(self) -> None:
        self.said = b""
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.said += data

    errReceived = outReceived

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)


class ConfCase(TestCase):
    """A deployment of its own, and processes that work on it."""

    timeout = 120
    command = SCRIPT

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.etc = self.folder / "etc"
        self.etc.mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.port = free_port()
        self.uri = f"ldaps://127.0.0.1:{self.port}"

    @deferred
    async def run_conf(self, *words: str, status: int = 0) -> tuple[str, str]:
        """Run it with the deployment's configuration; what it printed and said."""
        whole = [*self.command, "--config", str(self.etc / "clumpt.ini"), *words]
        out, err, code = await getProcessOutputAndValue(
            sys.executable, whole, env=self.environment, path=str(self.folder), reactor=reactor
        )
        self.assertEqual(code, status, (out + err).decode())
        return out.decode(), err.decode()

    def init(self, *words: str, status: int = 0) -> Deferred[tuple[str, str]]:
        must = ("init", "-n", "site", "-u", self.uri, "-o", str(self.etc))
        return self.run_conf(*must, *words, status=status)

    @deferred
    async def serve(self) -> None:
        """Serve an empty directory, with the certificate that init made for it."""
        made = self.etc / "clumpt/directory"
        options = server_options(
            *((made / name).read_bytes() for name in ("server.pem", "server-key.pem", "ca.pem"))
        )
        self.store = Store(BASE, SCHEMA, None)
        passwords = Passwords(os.urandom, cost=2)
        directory = EmbeddedDirectory(store=self.store, clock=reactor, passwords=passwords, tls=options)
        endpoint = SSL4ServerEndpoint(reactor, self.port, options, interface="127.0.0.1")
        port: Any = await endpoint.listen(directory)
        self.addCleanup(port.stopListening)

    @deferred
    async def make(self) -> None:
        await self.init("--offline")
        await self.serve()
        await self.run_conf("publish")

    @deferred
    async def daemon(self, name: str) -> Running:
        """Start the daemon of a node from its bundle; fires when it is up."""
        place = self.etc / "clumpt/nodes" / name
        drop_in = place / "clumpt.d"
        drop_in.mkdir()
        (drop_in / "test.ini").write_text(f"[peer]\nlisten = 127.0.0.1\nstate = {place / 'state'}\n")
        running = Running()
        words = [sys.executable, *DAEMON, "--config", str(place / "clumpt.ini")]
        process = reactor.spawnProcess(
            running, sys.executable, words, env=self.environment, path=str(self.folder)
        )

        def kill() -> Deferred[None]:
            try:
                process.signalProcess("KILL")
            except ProcessExitedAlready:
                self.fail(running.said.decode())
            return running.ended

        self.addCleanup(kill)
        while b" is up" not in running.said:
            self.assertFalse(running.ended.called, running.said.decode())
            await sleep(reactor, 0.05)
        return running


class ConfTests(ConfCase):
    """One story after the other."""

    @deferred
    async def test_story(self) -> None:
        """From nothing to three nodes, of which the first two are up and are told of the third (R66, R67)."""
        _, told = await self.init(status=5)
        self.assertIn("offline/root-key.pem off this machine", told)
        self.assertIn("publish", told)
        await self.init(status=2)
        await self.serve()
        await self.run_conf("publish")
        ports = [free_port() for _ in range(6)]
        for number in (1, 2):
            here = f"{ports[2 * number]}:{ports[2 * number + 1]}"
            words = ("-g", "all,intel", "-a", "127.0.0.1", "-p", here, "--unpacked", "-y")
            await self.run_conf("add", f"n{number}", *words)
        for name in ("n1", "n2"):
            await self.daemon(name)
        _, told = await self.run_conf(
            "add", "n3", "-a", "127.0.0.1", "-p", f"{ports[0]}:{ports[1]}", "-g", "all", "-y"
        )
        self.assertIn("Told: n[1-2]", told)
        self.assertNotIn("Not told", told)
        out, _ = await self.run_conf("neighbours", "--json")
        knows = {peer["name"]: set(peer["knows"]) for peer in json.loads(out)["peers"]}
        self.assertEqual(knows, {"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}})
        out, _ = await self.run_conf("list", "--json")
        states = {peer["name"]: (peer["status"] or {}).get("state") for peer in json.loads(out)["peers"]}
        self.assertEqual(states, {"n1": "active", "n2": "active", "n3": None})
        out, _ = await self.run_conf("check")
        self.assertEqual([line for line in out.splitlines() if line.startswith("fail")], [])
        self.assertIn("never reported: n3", out)

    @deferred
    async def test_changes(self) -> None:
        """Groups, settings, removal; a dry run, a refusal, a group that nobody is in."""
        await self.make()
        await self.run_conf("add", "n[01-12]", "-g", "all", "-a", "%n.invalid", "-s")
        await self.run_conf("list", "-g", "all", status=7)
        await self.run_conf("add", "n[01-12]", "-g", "all", "-a", "127.0.0.1", status=2)
        _, told = await self.run_conf("add", "n[01-12]", "-g", "all", "-a", "127.0.0.[1-12]", status=2)
        self.assertIn("--yes", told)
        await self.run_conf("add", "n[01-12]", "-g", "all", "-a", "127.0.0.[1-12]", "-y")
        out, _ = await self.run_conf("list", "--fold")
        self.assertEqual(out, "n[01-12]\n")
        _, told = await self.run_conf("set-groups", "n[01-03]", "all,gpu", "-y")
        self.assertIn("Not told", told)
        out, _ = await self.run_conf("list", "-g", "gpu", "-f")
        self.assertEqual(out, "n[01-03]\n")
        await self.run_conf("group", "gpu", "--installers", "dpkg")
        await self.run_conf("set", "interval=60", "N=4")
        await self.run_conf("rewire", "-y")
        await self.run_conf("remove", "n02", "-y")
        out, _ = await self.run_conf("show", "n01")
        self.assertIn("groups:       all gpu", out)
        await self.run_conf("show", "n02", status=7)
        out, _ = await self.run_conf("check", "--json")
        failed = [one for one in json.loads(out)["findings"] if one["level"] == "fail"]
        self.assertEqual(failed, [])

    @deferred
    async def test_other_identity(self) -> None:
        """Whose certificate is not the administrator's may read and not write."""
        await self.make()
        for name in ("admin.pem", "admin-key.pem"):
            (self.etc / "clumpt/tls" / name).unlink()
        await self.run_conf("list")
        await self.run_conf("set", "N=4", status=6)

    @deferred
    async def test_schema(self) -> None:
        """What OpenLDAP needs is printed without any configuration."""
        out, _ = await self.run_conf("schema", "--format", "ldif")
        self.assertIn("cn=clumpt,cn=schema,cn=config", out)


class TwistdTests(ConfCase):
    """The same under twistd."""

    command = TWISTD

    @deferred
    async def test_story(self) -> None:
        """From nothing to a node."""
        await self.init("--offline")
        await self.serve()
        await self.run_conf("publish")
        await self.run_conf("add", "n1", "-g", "all", "-y")
        out, _ = await self.run_conf("list", "--fold")
        self.assertEqual(out, "n1\n")
        await self.run_conf("show", "n2", status=7)
        self.assertFalse((self.folder / "twistd.pid").exists())


class Terminal(Running):
    """A tool at a terminal, whose question is answered."""

    def __init__(self, reply: bytes) -> None:
        super().__init__()
        self._reply = reply

    def outReceived(self, data: bytes) -> None:
        super().outReceived(data)
        if b"Do it? [y/N]" in self.said and self._reply:
            assert self.transport is not None
            self.transport.write(self._reply)
            self._reply = b""


class TerminalTests(ConfCase):
    """Somebody is asked."""

    @deferred
    async def answer(self, reply: bytes) -> Terminal:
        terminal = Terminal(reply)
        words = ["--config", str(self.etc / "clumpt.ini"), "add", "n1", "-g", "all"]
        whole = [sys.executable, *self.command, *words]
        reactor.spawnProcess(
            terminal, sys.executable, whole, env=self.environment, path=str(self.folder), usePTY=True
        )
        await terminal.ended
        return terminal

    @deferred
    async def test_answers(self) -> None:
        """No, an interruption, and then yes."""
        await self.make()
        self.assertIn(b"Nothing was done", (await self.answer(b"n\n")).said)
        # Control-C, as the terminal makes a signal of it.
        await self.answer(b"\x03")
        await self.run_conf("show", "n1", status=7)
        await self.answer(b"y\n")
        await self.run_conf("show", "n1")
