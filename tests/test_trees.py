"""The model of packages that are pushed along trees: L{bench.trees}."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.lab.clock import Clock
from bench.swarm_sim import Case
from bench.trees import Cards, tree


class TreeTests(SynchronousTestCase):
    """L{tree} and L{Cards}."""

    @given(st.integers(1, 9), st.integers(0, 200))
    def test_all(self, trees: int, more: int) -> None:
        """Each tree reaches every peer once; nobody passes on in two of them, or to too many."""
        peers, busy = trees + more, Counter[int]()
        for number in range(trees):
            root, children = tree(number, trees, peers)
            reached = [root, *(eater for eaters in children.values() for eater in eaters)]
            self.assertEqual(sorted(reached), list(range(peers)))
            busy.update(peer for peer, eaters in children.items() if eaters)
            self.assertLess(max(map(len, children.values())), 2 * trees)
        self.assertLessEqual(max(busy.values(), default=0), 1)

    def test_chain(self) -> None:
        """One tree is a chain: each peer is later than the one before by a piece and the way."""
        case = Case(10, 1_000_000, 8.0, piece=100_000)
        expected = (1_000_000 + 9 * 100_000) / case.rate + 10 * case.latency
        self.assertAlmostEqual(Cards(Clock(), case).run(1) * case.size / case.rate, expected)
