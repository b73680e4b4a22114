"""What follows when packages have come, and when."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.afterwards import LATER, Afterwards


class AfterwardsTests(SynchronousTestCase):
    """First what others wait for."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.done: list[str] = []
        self.afterwards = Afterwards(
            self.clock, lambda: self.done.append("others"), lambda: self.done.append("own")
        )

    def test_order(self) -> None:
        """Others are served in the next turn, this node some time later."""
        self.afterwards.came()
        self.assertEqual(self.done, [])
        self.clock.advance(0)
        self.assertEqual(self.done, ["others"])
        self.clock.advance(LATER)
        self.assertEqual(self.done, ["others", "own"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_together(self) -> None:
        """What comes at one moment is served at once, and nobody's own turn is put off by what comes."""
        for _ in range(3):
            self.afterwards.came()
        self.clock.advance(0)
        for _ in range(3):
            self.clock.advance(LATER / 3)
            self.afterwards.came()
        self.assertEqual(self.done.count("own"), 1)
        self.clock.advance(LATER)
        self.assertEqual((self.done[0], self.done.count("own")), ("others", 2))

    def test_stop(self) -> None:
        """Nothing follows a stop, wherever it comes."""
        self.afterwards.stop()
        self.afterwards.came()
        self.afterwards.stop()
        self.clock.advance(LATER)
        self.assertEqual(self.done, [])
        self.afterwards.came()
        self.clock.advance(0)
        self.afterwards.stop()
        self.clock.advance(LATER)
        self.assertEqual(self.done, ["others"])
