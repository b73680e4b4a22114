"""clumpt-directory as a process: what it answered is there when it comes back."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import SystemRandom

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from clumpt.aio import deferred, sleep
from clumpt.apps.conf_init import NewDeployment, create
from clumpt.apps.connect import ADMIN_FILES, as_tool
from clumpt.apps.demonstration.loopback import LDAPS, free_net
from clumpt.apps.rooms import real_directory
from clumpt.configfile import load
from clumpt.errors import DirectoryUnavailable
from clumpt.ldap.directory import LdapDirectory
from clumpt.model import Group, GroupName, Settings

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "from clumpt.apps.scripts import directory; directory()"
#: Seconds after which a process is given up.
LONGEST = 60


class DirectoryProcessTests(TestCase):
    """Started, killed, and started again."""

    timeout = 2 * LONGEST

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.host = free_net(SystemRandom()).directory
        create(self.folder, NewDeployment("d-1", (f"ldaps://{self.host}:{LDAPS}",)), time.time())

    def start(self) -> subprocess.Popen[str]:
        words = ["--tls", self.folder / "clumpt/directory", "--state", self.folder / "state"]
        where = ["--listen", self.host, "--port", str(LDAPS)]
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words, *where],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    @deferred
    async def directory(self) -> LdapDirectory:
        """The directory as the administrator, as soon as it is there."""
        config = as_tool(load(self.folder / "clumpt.ini"), ADMIN_FILES)
        until = reactor.seconds() + LONGEST
        while True:
            directory = real_directory(config, reactor)
            self.addCleanup(directory.close)
            try:
                await directory.verify_schema()
                return directory
            except DirectoryUnavailable:
                if reactor.seconds() > until:
                    raise
                await sleep(reactor, 0.1)

    async def test_kept(self) -> None:
        """Neither the end nor a kill loses anything that was answered."""
        for number, end in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
            process = self.start()
            directory = await self.directory()
            await directory.initialise(Settings("d-1"))
            name = f"group-{number.name}"
            await directory.put_group(Group(GroupName(name)))
            process.send_signal(number)
            self.assertEqual(process.wait(LONGEST), end)
        self.start()
        directory = await self.directory()
        self.assertEqual(
            [group.name for group in await directory.groups()], ["group-SIGKILL", "group-SIGTERM"]
        )

    async def test_taken(self) -> None:
        """A second one cannot have the folder; it says so, and ends as a tool does."""
        self.start()
        await self.directory()
        process = self.start()
        _, said = process.communicate(timeout=LONGEST)
        self.assertEqual(process.returncode, 2)
        self.assertIn("stop it first", said)
