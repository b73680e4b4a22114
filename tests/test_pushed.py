"""What comes along the trees, and what has to be asked for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.feeding import DRY, FIRST, GAPS
from clumpt.agent.pushed import BEHIND, PAUSE, Pushed
from clumpt.pieces import NONE, Bits
from clumpt.trees import carried
from tests.test_offers import A, B, C

COUNT = 100
ALL, EVEN, ODD = Bits.full(COUNT), carried(0, COUNT), carried(1, COUNT)


class PushedTests(SynchronousTestCase):
    """One package, A above us in the first tree and B in the other."""

    def setUp(self) -> None:
        self.pushed = Pushed(COUNT)
        self.pushed.turn(0, A, 0.0)

    def both(self) -> None:
        """B is told as well, and a piece comes along each tree."""
        self.pushed.turn(1, B, 0.0)
        for index in (0, 1):
            self.pushed.came(index, 0.0)

    def test_nobody(self) -> None:
        """Where nobody is above, everything has to be asked for."""
        self.assertEqual(Pushed(COUNT).comes(NONE, 0.0), NONE)

    def test_soon(self) -> None:
        """For a moment it may still be told who is above in the other tree."""
        self.assertEqual(self.pushed.comes(NONE, FIRST / 2), ALL)
        self.assertEqual(self.pushed.above, [A])
        self.assertEqual(self.pushed.comes(NONE, FIRST), NONE)

    def test_soon_once(self) -> None:
        """But no longer if it changes meanwhile who is above in the first one."""
        self.pushed.turn(0, C, FIRST * 0.9)
        self.assertEqual(self.pushed.comes(NONE, FIRST), EVEN)

    def test_nothing_comes(self) -> None:
        """What one of them does not begin to send is asked for, but what the other sends is not."""
        self.pushed.turn(1, B, 0.0)
        self.pushed.came(0, FIRST)
        self.assertEqual(self.pushed.comes(NONE, FIRST), EVEN)

    def test_dry(self) -> None:
        """Nor is more expected of who has stopped, until something comes again."""
        self.both()
        self.pushed.came(1, DRY)
        self.assertEqual(self.pushed.comes(NONE, DRY), ODD)
        self.pushed.came(2, DRY)
        self.assertEqual(self.pushed.comes(NONE, DRY), ALL)

    def test_slow_links(self) -> None:
        """Where pieces are rare anyhow, it takes longer until one is missed."""
        self.both()
        for number in range(1, 40):
            for index in (2 * number, 2 * number + 1):
                self.pushed.came(index, 2.0 * number)
        self.assertEqual(self.pushed.comes(NONE, 78.0 + 2.0 * GAPS * 0.9), ALL)
        self.assertEqual(self.pushed.comes(NONE, 78.0 + 2.0 * GAPS), NONE)

    def test_slower(self) -> None:
        """Who sends much less often than the other is not waited for."""
        self.both()
        for number in range(1, 40):
            self.pushed.came(2 * number, 0.05 * number)
            if number in (10, 20):
                self.pushed.came(number + 1, 0.05 * number)
        self.assertEqual(self.pushed.comes(NONE, 0.05 * 39), EVEN)
        self.pushed.came(23, 2.0)
        self.assertEqual(self.pushed.comes(NONE, 2.0), EVEN, "once in a while is not enough")

    def test_pause(self) -> None:
        """Nor is who pauses for longer than the other ever does."""
        self.both()
        for number in range(1, 20):
            for index in (2 * number, 2 * number + 1):
                self.pushed.came(index, 0.05 * number)
        self.assertEqual(self.pushed.comes(NONE, 0.95 + 0.9 * PAUSE), ALL)
        for number in range(20, 40):
            self.pushed.came(2 * number, 0.05 * number)
        self.assertEqual(self.pushed.comes(NONE, 2.0), EVEN)

    def test_behind(self) -> None:
        """What is far behind the other tree is asked for as well, until it is not any more."""
        self.both()
        even = list(EVEN)
        self.assertEqual(self.pushed.comes(Bits.of(even[: BEHIND - 1]), 0.1), ALL)
        self.assertEqual(self.pushed.comes(Bits.of(even[:BEHIND]), 0.1), EVEN)
        self.assertEqual(self.pushed.comes(Bits.of([*even[:BEHIND], 1]), 0.1), EVEN, "asked for, it came")
        self.pushed.came(1, 0.1)
        self.assertEqual(self.pushed.comes(Bits.of([*even[:BEHIND], 1]), 0.1), ALL)

    def test_lost(self) -> None:
        """Who is gone sends nothing; nobody waits to be told of another one."""
        self.both()
        self.pushed.lost(B)
        self.assertEqual(self.pushed.comes(NONE, 0.1), EVEN)
        self.assertFalse(self.pushed.pushes(B))
        self.pushed.turn(1, C, 0.2)
        self.assertEqual(self.pushed.comes(NONE, 0.3), ALL)

    def test_dropped(self) -> None:
        """Nor does who says so; but something may be on its way."""
        self.both()
        self.pushed.dropped(B)
        self.assertEqual(self.pushed.comes(NONE, 0.1), EVEN)
        self.assertTrue(self.pushed.pushes(B))

    def test_another(self) -> None:
        """Who was above before, and is not any more, is to know it; what it sent may still come."""
        self.both()
        self.assertEqual(self.pushed.turn(1, C, 0.1), B)
        self.assertEqual(self.pushed.above, [A, C])
        self.assertTrue(self.pushed.pushes(B))
        self.assertEqual(self.pushed.turn(1, A, 0.1), C)
        self.assertIsNone(self.pushed.turn(1, B, 0.1), "A is above in the other tree")

    def test_told_again(self) -> None:
        """Who is above and says so again is asked again: it may have forgotten us."""
        self.pushed.asked.add(A)
        self.assertIsNone(self.pushed.turn(0, A, 0.1))
        self.assertEqual(self.pushed.asked, set())
