"""The pieces that came last are kept in memory."""

from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.fresh import MOST, Fresh
from clumpt.pieces import digest_of

ONE, OTHER = digest_of(b"one"), digest_of(b"other")


class FreshTests(SynchronousTestCase):
    """L{Fresh}."""

    def test_kept(self) -> None:
        """A piece is there, under its package and index alone, until it is forgotten."""
        fresh = Fresh()
        fresh.keep(ONE, 1, b"piece")
        self.assertEqual([fresh.get(ONE, 1), fresh.get(ONE, 2), fresh.get(OTHER, 1)], [b"piece", None, None])

    def test_bounded(self) -> None:
        """The oldest make room; what is too large is not kept at all."""
        fresh = Fresh()
        for index in range(5):
            fresh.keep(ONE, index, bytes(MOST // 4))
        fresh.keep(ONE, 5, bytes(MOST + 1))
        self.assertEqual([index for index in range(6) if fresh.get(ONE, index)], [1, 2, 3, 4])

    def test_again(self) -> None:
        """A piece that came twice counts once."""
        fresh = Fresh()
        for _ in range(9):
            fresh.keep(ONE, 0, bytes(MOST // 2))
        fresh.keep(ONE, 1, bytes(MOST // 2))
        self.assertIsNotNone(fresh.get(ONE, 0))
