"""
The commands of README.md, docs/cluster.md and docs/directory.md, run as they stand there, on one machine.

What is not as in the text: folders below one of the test instead of C{/etc} and C{/var/lib}; addresses of the
loopback instead of 10.0.0, and a free port for the directory; and stand-ins for C{ssh} and C{systemctl}
(L{tests.live.readme_machine}).  Each node has a drop-in that says where it listens and installs to.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from clumpt.testing.slapd import free_port

ROOT = Path(__file__).resolve().parents[2]
MACHINE = ROOT / "tests/live/readme_machine.py"
NODES = range(1, 6)
#: Seconds after which a block is given up.
LONGEST = 240
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path) -> list[str]:
    """What is to be run of a document, in order."""
    return _BLOCK.findall(path.read_text())


class ReadmeTests(SynchronousTestCase):
    """A cluster of real processes, set up by the text alone."""

    def setUp(self) -> None:
        if shutil.which("dpkg") is None:
            raise SkipTest("there is no dpkg here")
        self.folder = Path(self.mktemp()).absolute()
        random = Random(os.getpid())
        self.net = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}."
        self.port = free_port()
        for folder in ("bin", "work", "admin/etc", "admin/var/lib"):
            (self.folder / folder).mkdir(parents=True)
        for name in ("ssh", "systemctl", "clumpt", "clumptconf", "clumptd", "clumpt-directory"):
            script = self.folder / "bin" / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} {MACHINE} {name} "$@"\n')
            script.chmod(0o755)
        for number in NODES:
            self.prepare(number)
        site = {"folder": str(self.folder), "directory": (f"{self.net}250", self.port)}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        self.environment = {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "CLUMPT_SITE": json.dumps(site),
        }
        self.addCleanup(self.clear)

    def prepare(self, number: int) -> None:
        """What is different on a node because it shares this machine."""
        node = self.folder / f"n{number}"
        drop_in = node / "etc/clumpt.d/machine.ini"
        drop_in.parent.mkdir(parents=True)
        lines = ["[peer]", f"listen = {self.net}{number}", f"state = {node}/var/lib/clumpt"]
        drop_in.write_text("\n".join([*lines, "[install]", f"root = {node}/root", ""]))

    def clear(self) -> None:
        """End what the text left running."""
        for path in self.folder.glob("*/*.pid"):
            try:
                os.kill(int(path.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                # The text ended it itself.
                continue

    def here(self, text: str) -> str:
        """C{text} with the folders and addresses of this test."""
        text = text.replace("ldaps://10.0.0.250", f"ldaps://{self.net}250:{self.port}").replace(
            "10.0.0.", self.net
        )
        return re.sub(r"(?<![\w/])/(etc|var/lib)\b", rf"{self.folder}/admin/\1", text)

    def run_block(self, text: str) -> str:
        """Run a block of the text; what it printed and said."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(text)],
            cwd=self.folder / "work",
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}\n{self.logs()}")
        return done.stdout

    def logs(self) -> str:
        """What the services said."""
        return "\n".join(f"{path}:\n{path.read_text()}" for path in sorted(self.folder.glob("*/*.log")))

    def texts(self) -> Iterator[str]:
        """The blocks of the README, those of the manual that are not in it, and those about the directory."""
        yield from (short := blocks(ROOT / "README.md"))
        yield from (block for block in blocks(ROOT / "docs/cluster.md") if block not in short)
        if shutil.which("ldapsearch"):
            yield from blocks(ROOT / "docs/directory.md")

    def greeting(self, number: int) -> bool:
        """Is the package of the text installed on this node?"""
        return (self.folder / f"n{number}/root/usr/share/greeting/text").exists()

    def test_text(self) -> None:
        """Every command in the text does what the text says, and at the end every node has what it should."""
        for text in self.texts():
            self.run_block(text)
        self.run_block("for once in {1..30}; do ! clumpt status || exit 0; sleep 0.5; done; exit 1")
        self.assertEqual([self.greeting(number) for number in range(1, 6)], [True, True, True, False, True])
        # What a node without a journal does not remember it does not do again.
        log = (self.folder / "n3/root/dpkg.log").read_text()
        self.assertEqual(log.count(" install greeting:all <none> 1.0"), 1)
