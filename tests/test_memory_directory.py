"""The directory in memory."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from clumpt.errors import DirectoryRefused, DirectoryUnavailable
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory
from clumpt.model import PeerName, PeerStatus
from clumpt.testing.contracts.directory import SETTINGS, DirectoryContract, an_entry
from clumpt.testing.memory_directory import MemoryDirectory


class MemoryDirectoryTests(DirectoryContract, TestCase):
    """L{MemoryDirectory} keeps the contract."""

    def make_directory(self) -> Deferred[IDirectory]:
        return succeed(MemoryDirectory.holding(SETTINGS))

    def peer_view(self, directory: MemoryDirectory, name: PeerName) -> Deferred[IDirectory]:
        return succeed(directory.as_peer(name))


class SwitchTests(SynchronousTestCase):
    """What a test can make of a L{MemoryDirectory}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = MemoryDirectory.holding(SETTINGS, self.clock)
        self.server = self.directory.server

    def test_down(self) -> None:
        """While it is down nothing works, for anybody; afterwards all is as it was."""
        self.successResultOf(self.directory.register(an_entry(1)))
        self.server.down = True
        view = self.directory.as_peer(PeerName("node1"))
        self.failureResultOf(self.directory.head(), DirectoryUnavailable)
        self.failureResultOf(view.report(PeerStatus(PeerName("node1"))), DirectoryUnavailable)
        self.server.down = False
        self.assertEqual(self.successResultOf(self.directory.head()), 1)

    def test_slow(self) -> None:
        """A slow directory answers after its delay."""
        self.server.delay = 3.0
        waiting = self.directory.head()
        self.clock.advance(2.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(waiting), 0)

    def test_read_only(self) -> None:
        """A read-only directory can be read, and refuses to change."""
        self.server.read_only = True
        self.failureResultOf(self.directory.register(an_entry(1)), DirectoryRefused)
        self.assertEqual(self.successResultOf(self.directory.head()), 0)

    def test_lost_answer(self) -> None:
        """A lost answer leaves the change done and the caller in doubt; asking again resolves it (H5)."""
        self.server.lost_answers = 1
        self.failureResultOf(self.directory.register(an_entry(1)), DirectoryUnavailable)
        self.assertEqual(self.successResultOf(self.directory.head()), 1)
        self.successResultOf(self.directory.register(an_entry(1)))

    def test_set_back(self) -> None:
        """A directory restored from a backup has lost what came after it (R13)."""
        self.successResultOf(self.directory.register(an_entry(1)))
        backup = self.server.snapshot()
        self.successResultOf(self.directory.register(an_entry(2)))
        self.server.restore(backup)
        self.assertEqual(self.successResultOf(self.directory.head()), 1)
        self.successResultOf(self.directory.register(an_entry(2, "other")))
        self.server.restore(backup)
        self.assertEqual(len(self.successResultOf(self.directory.updates(IdSet.upto(9)))), 1)
