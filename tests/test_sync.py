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
from clumpt.agent.sync import PATIENCE, Sync
from clumpt.errors import DirectoryUnavailable
from clumpt.interfaces import IDirectory, INetwork


class PullTests(SynchronousTestCase):
    """Two linked peers know more than this one."""

    def test_silent(self) -> None:
        """Who gives no page is not waited for: somebody else is asked."""
        asked: list[Deferred[Any]] = []

        def table(known: Any) -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        links = {name: SimpleNamespace(peer=name, head=7, table=table) for name in ("one", "other")}
        clock = Clock()
        took: list[Any] = []

        def take(page: Any, peer: str) -> list[Any]:
            took.append(page)
            return []

        sync = Sync(
            clock,
            Random(1),
            cast(IDirectory, None),
            cast(INetwork, SimpleNamespace(links=lambda: links)),
            cast(Roster, None),
            cast(Chain, SimpleNamespace(head=0, known=None)),
            0.0,
            1,
            take,
            lambda: None,
        )
        sync.consider()
        sync.consider()
        self.assertEqual(len(asked), 1)
        clock.advance(PATIENCE)
        self.assertEqual(len(asked), 2)
        asked[1].callback([b"envelope"])
        self.assertEqual(took, [[b"envelope"]])
        self.assertEqual(clock.getDelayedCalls(), [])


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


class FirstRoundTests(SynchronousTestCase):
    """A peer that starts has read the directory a moment before the first round of synchronisation."""

    def setUp(self) -> None:
        self.read = 0

        def refresh() -> Deferred[Any]:
            self.read += 1
            return succeed(None)

        roster = SimpleNamespace(
            refresh=refresh,
            dismissed=lambda names: succeed([]),
            read_members=lambda: succeed(None),
            neighbours=dict,
            members=dict,
            interval=10.0,
        )
        self.clock = Clock()
        self.sync = Sync(
            self.clock,
            Random(1),
            cast(IDirectory, SimpleNamespace(head=lambda: succeed(0))),
            cast(INetwork, SimpleNamespace(links=dict)),
            cast(Roster, roster),
            cast(Chain, SimpleNamespace(head=0)),
            0.0,
            1,
            lambda *words: None,
            lambda: None,
        )

    def test_read_again(self) -> None:
        """It is read again in each: what changed before this peer could be told of it is seen soon (R67)."""
        self.sync.start()
        self.clock.advance(2)
        self.assertEqual(self.read, 1)
        self.clock.pump([10, 10])
        self.assertEqual(self.read, 3)
