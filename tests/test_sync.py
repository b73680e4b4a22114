"""Keeping in step with directory and neighbours."""

from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.chain import Chain
from clumpt.agent.roster import Roster
from clumpt.agent.sync import Sync
from clumpt.errors import DirectoryUnavailable
from clumpt.interfaces import IDirectory, INetwork


class DirectoryTroubleTests(SynchronousTestCase):
    """The directory goes away while it is read."""

    def setUp(self) -> None:
        self.reading: Deferred[Any] = Deferred()
        roster = SimpleNamespace(refresh=lambda: self.reading, dismissed=lambda names: succeed([]))
        self.sync = Sync(
            Clock(),
            Random(1),
            cast(IDirectory, None),
            cast(INetwork, SimpleNamespace(links=dict)),
            cast(Roster, roster),
            cast(Chain, None),
            0.0,
            1,
            lambda *words: None,
            lambda: None,
        )

    def refresh(self) -> list[str]:
        """Let the reading fail; what is logged of it."""
        with capturedLogs() as logged:
            self.sync.refresh()
            self.reading.errback(DirectoryUnavailable("gone"))
        return [event["log_format"] for event in logged]

    def test_told(self) -> None:
        """It is logged, and reported when the directory is there again."""
        self.assertEqual(self.refresh(), ["cannot take in what the directory says: {trouble}"])
        self.assertEqual(self.sync.directory_trouble, "gone")

    def test_stopped(self) -> None:
        """A peer that stops closes the directory itself, which is no trouble."""
        self.sync.stop()
        self.assertEqual(self.refresh(), [])
