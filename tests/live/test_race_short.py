"""The race in short: real daemons bring a file to all, and every copy is the file.  Time does not matter."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from bench.lab.contest import Contestant, Course, File
from bench.lab.hosts import Loopback
from bench.lab.processes import ROOT, Processes
from bench.lab.run import race
from bench.lab.setting import Setting


class ShortRaceTests(SynchronousTestCase):
    """C{bench/race.py}, run as a person would run it."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def race(self, *words: str) -> list[dict[str, Any]]:
        """The lines of a race, which must have ended well and left nothing."""
        out = self.folder / "race.jsonl"
        command = [sys.executable, "bench/race.py", "--reps", "1", "--out", str(out), "--only", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return [json.loads(line) for line in out.read_text().splitlines()]

    def test_loopback(self) -> None:
        """Without namespaces all three peers get the right file."""
        (facts,) = self.race("clumpt", "--settings", "3x1M@0", "--loopback")
        self.assertTrue(facts["ok"], facts)
        self.assertEqual(len(facts["times"]), 3)

    def test_namespaces(self) -> None:
        """Over limited links too, and the source need not send it to each; nothing is left of the hosts."""
        if os.geteuid() or not shutil.which("tc"):
            raise SkipTest("network namespaces need root, and ip and tc of iproute2")
        (facts,) = self.race("clumpt-open", "--settings", "3x1M@100")
        self.assertTrue(facts["ok"], facts)
        self.assertLess(facts["seed"], 2.5)
        spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        ours = [line.split()[0].split(".") for line in spaces.splitlines() if line.startswith("clumpt-race.")]
        self.assertEqual([name for name in ours if not Path(f"/proc/{name[1]}").exists()], [])


class Forger(Contestant):
    """Brings everybody a file, and peer 2 another one than it should."""

    name = "forger"

    def go(self) -> float:
        for peer in self.course.running:
            data = bytearray(self.course.file.path.read_bytes())
            data[-1] ^= peer == 2
            self.result(peer).write_bytes(data)
        return time.time()

    def finished(self, peer: int) -> float | None:
        return time.time()


class HashedAgainTests(SynchronousTestCase):
    """What a contestant says of itself is not believed."""

    def test_wrong_file(self) -> None:
        """A file that is not the file is found, and the run does not count."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        file = File.make(folder / "package.bin", 1000)
        course = Course(Loopback(3), Setting(3, 1000, 0), file, folder, Processes(folder))
        run = race(Forger, course, 10)
        self.assertEqual((run.wrong, run.whole, run.facts()["ok"]), ([2], False, False))
