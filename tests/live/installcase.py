"""What the live tests of installing have in common: a node of its own for each test."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from clumpt.aio import sleep
from clumpt.install.command import Rules
from clumpt.install.job import job_name
from clumpt.install.runner import HelperInstaller
from clumpt.install.spool import Spool
from clumpt.model import Action, Entry, Outcome
from tests.installing import an_entry, an_update, package_of
from tests.live.debs import RAN, make_deb
from tests.live.install_driver import words


class InstallCase(TestCase):
    """A node with a spool and a private root, into which real package managers install."""

    timeout = 60

    def setUp(self) -> None:
        if shutil.which("dpkg") is None:
            raise SkipTest("there is no dpkg here")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.root = self.folder / "root"
        self.spool = Spool(self.folder / "spool")

    def rules(self, **more: Any) -> Rules:
        allowed = frozenset({"dpkg", "tar", "command"})
        return Rules(**{"allowed": allowed, "root": str(self.root), "lock_timeout": 0.0, **more})

    def installer(self, step: str = "-", **more: Any) -> HelperInstaller:
        """The installer of this node, whose helper dies at C{step}."""
        return HelperInstaller(
            reactor, reactor, self.spool, self.rules(**more), tuple, words("helper", step), pauses=(0.0, 0.0)
        )

    def deb(self, postinst: str = RAN, version: str = "1.0", **more: Any) -> tuple[Entry, list[Path]]:
        """An update that installs a package with this postinst."""
        path = make_deb(self.folder, version=version, postinst=postinst)
        return an_entry(an_update(packages=(package_of(path),), **more)), [path]

    def command(self, *argv: str, **more: Any) -> Entry:
        """An update that runs a command."""
        return an_entry(an_update("command", Action.RUN, argv=argv, **more))

    def shell(self, script: str, **more: Any) -> Entry:
        """An update that runs a script."""
        return self.command("/bin/sh", "-c", script, **more)

    def ran(self) -> int:
        """How often a postinst, or script, left its mark."""
        mark = self.root / "ran"
        return len(mark.read_text().splitlines()) if mark.exists() else 0

    def installed(self, name: str = "hello") -> str:
        """Status and version of a package, as dpkg has them."""
        asked = subprocess.run(
            ["dpkg-query", f"--admindir={self.root}/var/lib/dpkg", "-W", "-f=${Status} ${Version}", name],
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout

    async def until(self, path: Path) -> None:
        """Wait for a file to appear; the time limit of the test ends the wait."""
        while not path.exists():
            await sleep(reactor, 0.02)

    def kill_helper(self, entry: Entry, attempt: int = 1) -> None:
        """SIGKILL to whoever has the lock of the spool."""
        job = str(self.spool.file(job_name(entry.seq, attempt), "job"))
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and job.encode() in _command_line(folder):
                os.kill(int(folder.name), 9)
                return
        self.fail("no helper is running")

    def check(self, outcome: Outcome, state: Any, code: int | None, beginning: str = "") -> None:
        """Is C{outcome} what it should be?"""
        self.assertEqual((outcome.state, outcome.code), (state, code), outcome)
        self.assertTrue(outcome.reason.startswith(beginning), outcome.reason)
        if not beginning:
            self.assertEqual(outcome.reason, "")


def _command_line(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        # It ended meanwhile.
        return b""
