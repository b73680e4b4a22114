"""The two trees: everybody is reached, and nobody has to pass on more than there comes to it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.model import PeerName
from clumpt.trees import TREES, Branch, carried, plant

COUNTS = st.integers(2, 300)


def peers(count: int) -> list[PeerName]:
    """So many names."""
    return [PeerName(f"n{number}") for number in range(count)]


def walk(branch: Branch) -> tuple[Counter[PeerName], int]:
    """To how many others each one passes on, going down; and how many steps that is."""
    below = branch.below()
    passes, deepest = Counter({branch.first: len(below)}), 0
    for part in below:
        others, deep = walk(part)
        passes.update(others)
        deepest = max(deepest, deep + 1)
    return passes, deepest


class Planting(SynchronousTestCase):
    """Where all are there."""

    @given(COUNTS)
    def test_each_tree_reaches_everybody_once(self, count: int) -> None:
        """And in few steps."""
        for branch in plant(peers(count)):
            passes, deepest = walk(branch)
            self.assertEqual(set(passes), set(peers(count)))
            self.assertEqual(sum(passes.values()), count - 1)
            self.assertLessEqual(2**deepest, count)

    @given(COUNTS)
    def test_nobody_passes_on_more_than_it_gets(self, count: int) -> None:
        """Of two trees it gets two halves, and gives two halves at most."""
        passes: Counter[PeerName] = Counter()
        for branch in plant(peers(count)):
            passes.update(walk(branch)[0])
        self.assertLessEqual(max(passes.values()), TREES)

    @given(st.integers(1, 300))
    def test_the_trees_carry_each_piece_once(self, count: int) -> None:
        """Together, all of them."""
        parts = [carried(tree, count).value for tree in range(TREES)]
        self.assertEqual(sum(parts), 2**count - 1)
        self.assertEqual(parts[0] & parts[1], 0)


class Pruning(SynchronousTestCase):
    """Where some are off."""

    @given(COUNTS, st.data())
    def test_who_is_taken_out_is_missed_by_few(self, count: int, data: st.DataObject) -> None:
        """All others but one leaf at most are still reached, and nobody has more to do."""
        for branch in plant(peers(count)):
            self._check(branch, data)

    def _check(self, branch: Branch, data: st.DataObject) -> None:
        while len(branch.names) > 1 and data.draw(st.booleans()):
            branch = data.draw(st.sampled_from(branch.below()))
        before = set(walk(branch)[0])
        pruned = branch.beheaded()
        if pruned is None:
            self.assertEqual(before, {branch.first})
            return
        passes, _ = walk(pruned)
        self.assertLessEqual(len(before - {branch.first} - set(passes)), 1)
        self.assertNotIn(branch.first, passes)
        inner = set(branch.names[: branch.inner])
        self.assertTrue(all(name in inner for name, number in passes.items() if number))
        self.assertLessEqual(max(passes.values()), TREES)

    def test_what_makes_no_sense_is_refused(self) -> None:
        """A branch of nobody, of somebody twice, of another tree, or where more pass on than there are."""
        a = PeerName("a")
        for tree, inner, names in ((0, 0, ()), (0, 1, (a, a)), (2, 1, (a,)), (0, 2, (a,)), (0, -1, (a,))):
            self.assertRaises(ValueError, Branch, tree, inner, names)
