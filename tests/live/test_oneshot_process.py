"""Tools as real processes: under twistd and as console scripts alike (R96)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = """
from twisted.application.service import ServiceMaker
tool = ServiceMaker("Test", "tests.tool", "A tiny tool.", "clumpt-test")
"""
TWISTD = "from twisted.scripts.twistd import run; run()"
#: Seconds after which a process is given up.
LONGEST = 60


class ToolContract:
    """What holds for a tool, however it is run; subclasses give the C{command}."""

    command: tuple[str, ...]

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        plugins = self.folder / "twisted/plugins"
        plugins.mkdir(parents=True)
        (plugins / "tool_plugin.py").write_text(PLUGIN)
        self.environment = {**os.environ, "PYTHONPATH": f"{self.folder}:{ROOT}"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *self.command, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def run_tool(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        stdout, stderr = process.communicate(timeout=LONGEST)
        return process.returncode, stdout, stderr

    def test_unheard(self) -> None:
        """A tool whose words nobody hears any more ends, with its status."""
        process = self.start("unavailable")
        assert process.stderr is not None
        process.stderr.close()
        self.assertEqual(process.wait(timeout=LONGEST), 5)

    def test_status(self) -> None:
        """The status is what the work says; stdout holds its data alone, and the log is on stderr."""
        for status in (0, 3):
            code, stdout, stderr = self.run_tool("end", str(status))
            self.assertEqual(code, status, stderr)
            self.assertEqual(list(json.loads(stdout)), ["clock"])
            self.assertIn("seen", stderr)
            self.assertNotIn("not to be seen", stderr)

    def test_monotonic(self) -> None:
        """The reactor's clock is monotonic: setting the node's clock moves no timer."""
        _, stdout, _ = self.run_tool("end")
        self.assertLess(json.loads(stdout)["clock"], time.monotonic() + 1)

    def test_no_traces(self) -> None:
        """No pid file and no state is left behind."""
        self.run_tool("end")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["twisted"])

    def test_expected(self) -> None:
        """An error of ours is one message; its status is its own."""
        code, stdout, stderr = self.run_tool("unavailable")
        self.assertEqual((code, stdout), (5, ""))
        self.assertIn("clumpt: no answer from ldap1; is it up?\n", stderr)
        self.assertNotIn("Traceback", stderr)

    def test_usage(self) -> None:
        """Wrong words end with 2, whoever found them wrong, and say so on stderr."""
        for words, what in ((("wrong",), "not this"), ((), "number of arguments"), (("--x",), "--x")):
            code, stdout, stderr = self.run_tool(*words)
            self.assertEqual((code, stdout), (2, ""))
            self.assertIn(what, stderr)

    def test_unexpected(self) -> None:
        """A bug shows its traceback and ends with 1."""
        code, _, stderr = self.run_tool("bug")
        self.assertEqual(code, 1)
        self.assertIn("ZeroDivisionError", stderr)

    def test_interrupted(self) -> None:
        """A signal lets the work clean up and shows in the status."""
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start("wait")
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "waiting\n")
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=LONGEST)
            self.assertEqual((process.returncode, stdout), (status, "cleaned up\n"), stderr)

    def test_unread(self) -> None:
        """When nobody reads on, the tool ends quietly."""
        process = self.start("lines")
        assert process.stdout is not None and process.stderr is not None
        self.assertEqual(process.stdout.readline(), "line\n")
        process.stdout.close()
        stderr = process.stderr.read()
        self.assertEqual(process.wait(LONGEST), 141)
        self.assertNotIn("BrokenPipe", stderr)


class TwistdTests(ToolContract, SynchronousTestCase):
    """C{twistd clumpt-test}, which would like to be a daemon."""

    command = ("-c", TWISTD, "clumpt-test")


class TwistdForegroundTests(ToolContract, SynchronousTestCase):
    """C{twistd -n clumpt-test}."""

    command = ("-c", TWISTD, "-n", "clumpt-test")


class ScriptTests(ToolContract, SynchronousTestCase):
    """A console script."""

    command = ("-c", "import sys; from clumpt.apps.scripts import run; run('tests.tool', sys.argv[1:])")

    def test_daemon(self) -> None:
        """A service that is no tool tells what it does, and ends with 0 when it is asked to end."""
        process = self.start("daemon")
        assert process.stderr is not None
        self.assertIn("at your service", process.stderr.readline())
        process.terminate()
        stdout, stderr = process.communicate(timeout=LONGEST)
        self.assertEqual((process.returncode, stdout), (0, ""), stderr)
