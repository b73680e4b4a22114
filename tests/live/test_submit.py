"""clumpt as an administrator types it: real processes and daemons, real packages, TLS (R57-R65)."""

import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.utils import getProcessOutputAndValue

from clumpt.aio import deferred, sleep
from clumpt.testing.slapd import free_port
from tests.live.debs import make_deb
from tests.live.submit_driver import STEPS
from tests.live.test_conf import DAEMON, ROOT, ConfCase, Running

CLUMPT = ("-c", "from clumpt.apps.scripts import clumpt; clumpt()")
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()", "clumpt-submit")
DRIVER = str(ROOT / "tests/live/submit_driver.py")
NODES = ("n1", "n2", "n3")
#: What a node says besides what clumptconf wrote for it.
DROP_IN = """
[peer]
listen = 127.0.0.1
state = {place}/state
[install]
root = {place}/root
[directory]
report_delay = 0.1
"""


class SubmitCase(ConfCase):
    """A deployment with three nodes, each with a root of its own to install to."""

    timeout = 300

    @deferred
    async def make(self) -> None:
        await super().make()
        await self.run_conf("set", "interval=2", "initial=34")
        for name in NODES:
            ports = f"{free_port()}:{free_port()}"
            await self.run_conf("add", name, "-g", "all", "-a", "127.0.0.1", "-p", ports, "--unpacked", "-y")

    def place(self, name: str) -> Path:
        return self.etc / "clumpt/nodes" / name

    def root(self, name: str) -> Path:
        return self.place(name) / "root"

    @deferred
    async def daemon(self, name: str) -> Running:
        place = self.place(name)
        if not (place / "root").exists():
            for folder in ("clumpt.d", "root/var/lib/dpkg/updates", "root/var/lib/dpkg/info"):
                (place / folder).mkdir(parents=True)
            (place / "root/var/lib/dpkg/status").touch()
            (place / "clumpt.d/test.ini").write_text(DROP_IN.format(place=place))
        running = Running()
        words = [sys.executable, *DAEMON, "--config", str(place / "clumpt.ini")]
        process = reactor.spawnProcess(
            running, sys.executable, words, env=self.environment, path=str(self.folder)
        )

        def stop() -> Any:
            if not running.ended.called:
                process.signalProcess("KILL")
            return running.ended

        self.addCleanup(stop)
        while b" is up" not in running.said:
            self.assertFalse(running.ended.called, running.said.decode())
            await sleep(reactor, 0.05)
        return running

    @deferred
    async def all_up(self) -> None:
        await gatherResults([self.daemon(name) for name in NODES])

    @deferred
    async def run_clumpt(
        self, *words: object, status: int | None = 0, command: tuple[str, ...] = CLUMPT
    ) -> tuple[str, str]:
        """Run it; what it printed and said."""
        named = ("--config", str(self.etc / "clumpt.ini"))
        out, err, code = await getProcessOutputAndValue(
            sys.executable,
            [*command, *named, *map(str, words)],
            env=self.environment,
            path=str(self.folder),
            reactor=reactor,
        )
        if status is not None:
            self.assertEqual(code, status, (out + err).decode())
        return out.decode(), err.decode()

    def start(self, script: str, word: str, *words: object) -> Running:
        """Start it, to be interrupted."""
        running = Running()
        named = [script, word, "--config", str(self.etc / "clumpt.ini"), *map(str, words)]
        reactor.spawnProcess(running, sys.executable, [sys.executable, *named], env=self.environment)
        return running

    @deferred
    async def json(self, *words: object, status: int | None = 0) -> dict[str, Any]:
        out, _ = await self.run_clumpt(*words, "--json", status=status)
        return json.loads(out)

    @deferred
    async def until_done(self, seq: int) -> None:
        """Wait until all have done update C{seq}."""
        seen: dict[str, Any] = {}
        for _ in range(120):
            seen = await self.json("status", seq, status=None)
            if seen["counts"]["done"] == len(NODES):
                return
            await sleep(reactor, 0.25)
        self.fail(json.dumps(seen))

    def installed(self, name: str, version: str = "1.0", package: str = "hello") -> bool:
        file = self.root(name) / "usr/share" / package
        return file.exists() and file.read_text() == version

    def ran(self, name: str) -> int:
        """How often the script of the package ran."""
        return len((self.root(name) / "ran").read_text().splitlines())


class SubmitTests(SubmitCase):
    """What an administrator does on a good and on a bad day."""

    @deferred
    async def test_story(self) -> None:
        """Install, look, remove; a failure, its output, and a retry."""
        await self.make()
        await self.all_up()
        deb = make_deb(self.folder)
        told = await self.json("install", deb, "-g", "all", "-y", "--wait", "all", "-t", "60")
        self.assertEqual(told["counts"]["done"], 3, told)
        self.assertTrue(all(map(self.installed, NODES)))
        out, _ = await self.run_clumpt("status", 1)
        self.assertIn("n[1-3]", out)
        self.assertRegex(out, "came: .* to 3 nodes, .*% from submitter")
        seen = (await self.json("info", 1))["sources"]
        size = deb.stat().st_size
        self.assertEqual((sum(seen["bytes"].values()), seen["silent"]), (3 * size, []), seen)
        self.assertGreaterEqual(seen["bytes"]["submitter"], size)
        out, _ = await self.run_clumpt("log", 1, "n2")
        self.assertIn("Setting up hello (1.0)", out)

        # Without a verb, through twistd: the paper's end.
        newer = make_deb(self.folder, version="2.0")
        out, _ = await self.run_clumpt(newer, "-g", "all", "-y", command=TWISTD)
        self.assertIn("update 2 (hello 2.0)", out)
        await self.until_done(2)
        self.assertTrue(all(self.installed(name, "2.0") for name in NODES))

        await self.run_clumpt("remove", "hello", "-g", "all", "-y", "--wait", "all", "-t", "60")
        self.assertFalse(any((self.root(name) / "usr/share/hello").exists() for name in NODES))

        # A package that cannot be configured, except on n1.
        (self.root("n1") / "may").touch()
        picky = make_deb(
            self.folder,
            "picky",
            postinst='test -e "$DPKG_ROOT/may" || { echo >&2 error: may not; exit 7; }\n',
        )
        told = await self.json(picky, "-g", "all", "-y", "--wait", "all", "-t", "60", status=3)
        self.assertEqual(
            {name: one["stage"] for name, one in told["peers"].items()},
            {"n1": "done", "n2": "failed", "n3": "failed"},
        )
        out, _ = await self.run_clumpt("log", 4, "n3")
        self.assertIn("may not", out)
        for name in ("n2", "n3"):
            (self.root(name) / "may").touch()
        await self.run_clumpt("retry", 4, "-y", "--wait", "all", "-t", "60")
        out, _ = await self.run_clumpt("status", 4)
        self.assertIn("by update 5", out)
        await self.run_clumpt("status")
        for verb in (("list",), ("history",), ("history", "--node", "n1"), ("info", 4)):
            out, _ = await self.run_clumpt(*verb)
            self.assertIn("picky", out)

    @deferred
    async def test_node_away(self) -> None:
        """A node that is down is not failed; it gets there when it is back, with nobody else left (R27)."""
        await self.make()
        for name in NODES[:2]:
            await self.daemon(name)
        told = await self.json(
            make_deb(self.folder), "-g", "all", "-y", "--initial", 100, "-t", "30", status=4
        )
        self.assertEqual((told["received"], told["unreachable"]), (["n1", "n2"], ["n3"]))
        seen = await self.json("status", 1, status=4)
        self.assertEqual(
            seen["peers"]["n3"],
            {"stage": "pending", "reason": "never reported", "code": None, "at": 0, "by": 0},
        )
        await self.daemon("n3")
        await self.until_done(1)

    @deferred
    async def test_two_submitters(self) -> None:
        """Two submit at the same time: both are registered, and run in the same order everywhere (H5)."""
        await self.make()
        await self.all_up()
        debs = [make_deb(self.folder, name) for name in ("one", "two", "three")]
        await gatherResults(
            [self.run_clumpt(deb, "-g", "all", "-y", "--wait", "all", "-t", "90") for deb in debs]
        )
        listed = (await self.json("list"))["updates"]
        self.assertEqual([one["seq"] for one in listed], [1, 2, 3])
        self.assertEqual({one["packages"][0]["name"] for one in listed}, {"one", "two", "three"})

    @deferred
    async def test_interrupted(self) -> None:
        """Ctrl-C while following ends with 130, and says how to look again."""
        await self.make()
        await self.daemon("n1")
        running = self.start(*CLUMPT, make_deb(self.folder), "-g", "all", "-y", "--wait", "all")
        while b"1 done" not in running.said:
            self.assertFalse(running.ended.called, running.said.decode())
            await sleep(reactor, 0.05)
        running.transport.signalProcess("INT")
        await running.ended
        self.assertEqual(running.transport.status >> 8, 130)
        self.assertIn(b"look again with: clumpt status 1", running.said)
        self.assertNotIn(b"Traceback", running.said)

    @deferred
    async def test_bad_identity(self) -> None:
        """Without a certificate, with another's, or with a key that others may read, nothing is begun."""
        await self.make()
        deb = make_deb(self.folder)
        tls = self.etc / "clumpt/tls"
        words = (deb, "-g", "all", "-y")
        [key] = [path for path in self.etc.rglob("*submit*key*.pem") if "tls" not in str(path)]
        key.chmod(0o644)
        _, err = await self.run_clumpt(*words, status=2)
        self.assertIn("others may use the private key", err)
        key.chmod(0o600)
        other = self.place("n1") / "clumpt/tls"
        ca = (tls / "ca.pem").read_bytes()
        (tls / "ca.pem").write_bytes((tls / "submitter.pem").read_bytes())
        _, err = await self.run_clumpt(*words, status=6)
        self.assertIn("not of the authority", err)
        (tls / "ca.pem").write_bytes(ca)
        (tls / "submitter.pem").write_bytes((other / "peer.pem").read_bytes())
        (tls / "submitter-key.pem").write_bytes((other / "peer-key.pem").read_bytes())
        _, err = await self.run_clumpt(*words, status=6)
        self.assertIn("has not the right", err)
        (tls / "submitter-key.pem").unlink()
        await self.run_clumpt(*words, status=2)

    @deferred
    async def test_bad_directory(self) -> None:
        """A directory that is down, or has nothing of ours, is told as such, and nothing is begun."""
        await self.make()
        deb, ini = make_deb(self.folder), self.etc / "clumpt.ini"
        words = (deb, "-g", "all", "-y")
        text = ini.read_text()
        ini.write_text(text.replace("[directory]", "[directory]\nbase = o=elsewhere"))
        _, err = await self.run_clumpt(*words, status=6)
        self.assertIn("no Clumpt at o=elsewhere", err)
        ini.write_text(text.replace(str(self.port), str(free_port())))
        _, err = await self.run_clumpt(*words, status=5)
        self.assertIn("cannot be reached", err)
        ini.write_text(text)
        for command in (CLUMPT, TWISTD):
            _, err = await self.run_clumpt("-g", "nobody", deb, "-y", status=7, command=command)
            self.assertIn("no group nobody", err)
            _, err = await self.run_clumpt(deb, "-g", "all", status=2, command=command)
            self.assertIn("say so with --yes", err)
            out, err = await self.run_clumpt("list", "--json", command=command)
            self.assertEqual((json.loads(out)["updates"], err), ([], ""))


class KillTests(SubmitCase):
    """kill -9 at any step leaves nothing that cannot be mended by saying it again."""

    @deferred
    async def test_kill(self) -> None:
        """Killed before it was registered, there is nothing; killed later, C{seed} brings it to its end."""
        await self.make()
        await self.all_up()
        deb, seq = make_deb(self.folder), 0
        for step in STEPS:
            await self.start(DRIVER, step, deb, "-g", "all", "-y").ended
            head = (await self.json("list", status=None))["head"]
            registered = step not in ("open", "register", "add")
            self.assertEqual(head, seq + registered, step)
            if registered:
                seq = head
                await self.run_clumpt("seed", seq, deb, "-t", "60")
                await self.until_done(seq)
        self.assertEqual([self.ran(name) for name in NODES], [seq] * 3)
