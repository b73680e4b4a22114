"""clumpt demo as a user runs it (R79): it installs, tells the truth, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from clumpt.aio import deferred
from clumpt.apps.demonstration.bare_peers import BareInProcess, BareProcesses, Measured
from clumpt.apps.demonstration.cluster import Cluster
from clumpt.apps.demonstration.deployment import nodes
from clumpt.apps.demonstration.leftovers import running
from clumpt.apps.demonstration.paper import INTERVAL, Evaluation, Extent
from clumpt.install.managers import MANAGERS
from tests.live.debs import make_deb

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "from clumpt.apps.scripts import clumpt; clumpt()"
#: Seconds after which a process is given up, and between two looks.
LONGEST, LOOK = 120, 0.05


class DemoCase(SynchronousTestCase):
    """A temporary folder of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words],
            env=self.environment,
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def run_clumpt(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        stdout, stderr = process.communicate(timeout=LONGEST)
        return process.returncode, stdout, stderr

    def demo(self, *words: str) -> dict[str, Any]:
        """The summary of a small demonstration that goes well."""
        status, stdout, stderr = self.run_clumpt("demo", "--json", "-n", "4", *words)
        self.assertEqual(status, 0, stderr)
        [line] = stdout.splitlines()
        summary: dict[str, Any] = json.loads(line)
        return summary

    def assert_nothing_left(self) -> None:
        self.assertEqual(list(self.folder.glob("clumpt-demo-*")), [])
        self.assertEqual(list(running(self.folder)), [])

    def assert_spread(self, summary: dict[str, Any]) -> None:
        """Both packages are where they belong, and peers passed on what was for all of them."""
        self.assertEqual((summary["v"], summary["ok"], summary["peers"]), (1, True, 4))
        self.assertEqual([update["groups"] for update in summary["updates"]], [["intel"], ["all"]])
        for update, targets in zip(summary["updates"], (2, 4), strict=True):
            counts = [update[key] for key in ("targets", "done", "failed", "pending")]
            self.assertEqual(counts, [targets, targets, 0, 0])
            self.assertGreater(update["bytes"]["submitter"], 0)
        # Of two peers, both of whom the submitter told, each may have got all of it from there.
        self.assertGreater(summary["updates"][1]["bytes"]["peers"], 0)


class DemoTests(DemoCase):
    """To the end."""

    def test_usual(self) -> None:
        """Packages that are made on the spot are installed on one group and on all; nothing else is said."""
        self.assert_spread(self.demo())
        self.assert_nothing_left()

    def test_processes(self) -> None:
        """The same with a process for each peer."""
        self.assert_spread(self.demo("--processes"))
        self.assert_nothing_left()

    def test_slapd(self) -> None:
        """The same with a real OpenLDAP."""
        summary = self.demo("--directory", "slapd")
        self.assertEqual(summary["directory"], "slapd")
        self.assert_spread(summary)
        self.assert_nothing_left()

    def test_lines(self) -> None:
        """A person gets a summary, and what to try next."""
        if not Path(MANAGERS["dpkg"].program[0]).exists():
            raise SkipTest("this needs dpkg: apt-get install dpkg")
        good = make_deb(self.folder, "good")
        status, stdout, stderr = self.run_clumpt("demo", str(good), "-n", "2")
        self.assertEqual(status, 0, stderr)
        self.assertIn("update 2: good 1.0 with dpkg, for all: 2 of 2 installed", stdout)
        self.assertIn("clumpt demo --keep", stdout)
        self.assertIn("2 peers start", stderr)

    def test_failing(self) -> None:
        """A package that fails is told with its reason, and by the exit status (R54, H6)."""
        if not Path(MANAGERS["dpkg"].program[0]).exists():
            raise SkipTest("this needs dpkg: apt-get install dpkg")
        bad = make_deb(self.folder, "bad", postinst="exit 1\n")
        status, stdout, _ = self.run_clumpt("demo", "-n", "2", str(bad))
        self.assertEqual(status, 3)
        self.assertIn("1 failed", stdout)
        self.assertIn("dpkg ended with 1", stdout)
        self.assert_nothing_left()


class InterruptedTests(DemoCase):
    """Not to the end."""

    def until(self, process: subprocess.Popen[str], text: str) -> None:
        """Read what it says until it says C{text}."""
        assert process.stderr is not None
        for line in process.stderr:
            if text in line:
                return
        self.fail(f"it ended and did not say {text!r}")

    def interrupt(self, text: str, number: signal.Signals = signal.SIGINT) -> None:
        process = self.start("demo", "-n", "4")
        self.until(process, text)
        process.send_signal(number)
        self.assertEqual(process.wait(LONGEST), 128 + number)
        self.assert_nothing_left()

    def test_at_once(self) -> None:
        """Control-C before there is much."""
        self.interrupt("the directory:")

    def test_starting(self) -> None:
        """Control-C while peers start."""
        self.interrupt("peers start")

    def test_installing(self) -> None:
        """Control-C while packages spread and are installed."""
        self.interrupt("for all")

    def test_hangup(self) -> None:
        """The end of the terminal is cleaned up after, too."""
        process = self.start("demo", "-n", "4")
        self.until(process, "peers start")
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(LONGEST), 128 + signal.SIGTERM)
        self.assert_nothing_left()

    def test_not_stopped(self) -> None:
        """One in a terminal is not ended by --stop without its name, and ends by itself."""
        process = self.start("demo", "-n", "2")
        self.until(process, "peers start")
        status, _, stderr = self.run_clumpt("demo", "--stop")
        self.assertEqual(status, 7)
        self.assertIn(f"(process {process.pid}) and goes on", stderr)
        self.assertEqual(process.wait(LONGEST), 0)
        self.assert_nothing_left()

    def test_killed(self) -> None:
        """What a killed demonstration left is found, not taken for one that runs, and cleaned up."""
        process = self.start("demo", "-n", "4", "--processes")
        self.until(process, "for all")
        process.kill()
        process.wait(LONGEST)
        self.assertEqual(self.run_clumpt("--demo", "status")[0], 7)
        self.assertEqual(self.run_clumpt("demo", "--stop")[0], 0)
        self.assert_nothing_left()


class KeepTests(DemoCase):
    """Left running."""

    def test_play(self) -> None:
        """It is there to play with when the command has ended, and gone when it is stopped."""
        process = self.start("demo", "--keep", "-n", "4")
        stdout, stderr = process.communicate(timeout=LONGEST)
        self.addCleanup(self.run_clumpt, "demo", "--stop")
        self.assertEqual(process.returncode, 0, stderr)
        self.assertIn("clumpt --demo status", stdout)
        status, stdout, _ = self.run_clumpt("--demo", "status")
        self.assertEqual(status, 0)
        self.assertIn("in step", stdout)
        [folder] = self.folder.glob("clumpt-demo-*")
        file = next((folder / "packages").glob("clumpt-demo-tools*.*"))
        words = ["--demo", "install", str(file), "-g", "amd", "--yes", "--wait", "all"]
        status, stdout, stderr = self.run_clumpt(*words)
        self.assertEqual(status, 0, stderr)
        self.assertIn("update 3: 2 done", stdout)
        status, stdout, stderr = self.run_clumpt("demo", "--stop")
        self.assertEqual(status, 0, stderr)
        self.assert_nothing_left()

    def test_interrupted(self) -> None:
        """Control-C before it is ready ends what runs in the background, too."""
        process = self.start("demo", "--keep", "-n", "4")
        until = time.monotonic() + LONGEST
        while not list(self.folder.glob("clumpt-demo-*/nodes")) and time.monotonic() < until:
            time.sleep(LOOK)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(LONGEST), 130)
        self.assert_nothing_left()


class PaperTests(TestCase):
    """The paper's evaluation, shortened."""

    timeout = LONGEST

    @deferred
    async def evaluate(self, make: Callable[[Cluster], Measured]) -> None:
        folder = self.mktemp()
        Path(folder).mkdir()
        self.patch(tempfile, "tempdir", folder)
        # What the processes are to find that are started in there.
        environment = mock.patch.dict(os.environ, PYTHONPATH=str(ROOT))
        environment.start()
        self.addCleanup(environment.stop)
        cluster = Cluster(reactor, "embedded", lambda text: None)
        try:
            await cluster.open(INTERVAL)
            peers = make(cluster)
            cluster.run_with(peers)
            extent = Extent(table=6, joining=3, off=2, during=2, silent=2)
            figures = await Evaluation(cluster, peers, nodes(6), Random(1), extent).run()
        finally:
            await cluster.close()
        self.assertEqual([figure.requirement for figure in figures], ["R81", "R82", "R84", "R83, R86", "R85"])
        self.assertEqual([len(figure.values) for figure in figures], [3, 3, 2, 1, 1])
        self.assertEqual(list(Path(folder).iterdir()), [])
        self.assertEqual(list(running(Path(folder).absolute())), [])

    async def test_in_process(self) -> None:
        """It comes to its end, with all that it names."""
        await self.evaluate(lambda cluster: BareInProcess(reactor))

    async def test_processes(self) -> None:
        """The same with a process for each peer."""
        await self.evaluate(lambda cluster: BareProcesses(reactor, cluster.directory))
