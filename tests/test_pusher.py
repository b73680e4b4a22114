"""Who is below is pushed what comes here, and who does not keep up has nothing below it any more."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.offers import Offers
from clumpt.agent.pusher import GRACE, LONG, MOVED, STUCK, WAITS, Pusher
from clumpt.agent.waiting import QUEUED
from clumpt.model import Package, PeerName
from clumpt.pieces import SMALLEST, Bits, Digest, Pieces
from clumpt.trees import Branch
from tests.test_offers import A, B, C

COUNT = 64
DIGEST = Digest("1" * 64)
PACKAGE = Package(
    "a", "1", "all", "a.deb", DIGEST, Pieces(COUNT * SMALLEST, SMALLEST, Digest("0" * 64))
)  # fmt: skip
BELOW = tuple(PeerName(f"n{number}") for number in range(6))


class PusherTests(SynchronousTestCase):
    """One package; A and B are below us in the first tree, each with some below it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        self.held = Bits()
        self.offers = Offers(COUNT, Random(1))
        self.waiting: Counter[PeerName] = Counter()
        self.waited: Counter[PeerName] = Counter()
        self.sent: list[tuple[PeerName, int]] = []
        self.grown: list[Branch] = []
        self.dropped: list[PeerName] = []
        queue: Any = self
        self.pusher = Pusher(self.clock, queue, {DIGEST: self.offers}, lambda package: self.held)
        self.pusher.grow = lambda package, branch: self.grown.append(branch)
        self.pusher.drop = lambda peer, digest: self.dropped.append(peer)
        for peer in (A, B):
            self.adopt(peer)

    # The queue, for the pusher.

    usual = 0.1

    def queued(self, peer: PeerName) -> int:
        return self.waiting[peer]

    def queue(self, peer: PeerName, package: Package, index: int) -> None:
        self.waiting[peer] += 1
        self.sent.append((peer, index))

    def waits(self, peer: PeerName) -> tuple[float, float]:
        return self.waited[peer], 0.0

    # What happens.

    def adopt(self, peer: PeerName, tree: int = 0) -> None:
        self.pusher.adopt(PACKAGE, Branch(tree, 3, (peer, *BELOW)))
        self.offers.saw(peer, Bits())

    def want(self, *peers: PeerName) -> None:
        for peer in peers:
            self.assertTrue(self.pusher.wanted(peer, DIGEST))

    def come(self, *indexes: int) -> None:
        """These pieces come, and what waited leaves at once."""
        for index in indexes:
            self.held = self.held.with_bit(index)
            self.pusher.moved(DIGEST)
        self.go_on()

    def go_on(self) -> None:
        for _ in range(COUNT):
            self.waiting.clear()
            self.pusher.go_on(self.clock.seconds())

    def look(self, after: float = 0.0) -> None:
        self.clock.advance(after)
        self.pusher.look(self.clock.seconds())

    def test_pushed(self) -> None:
        """What comes along a tree goes to all below us in it who want it, to each once, and nothing else."""
        self.come(0, 1, 2)
        self.assertEqual(self.sent, [])
        self.want(A, B)
        self.go_on()
        self.assertEqual(sorted(self.sent), [(A, 0), (A, 2), (B, 0), (B, 2)])
        self.come(4)
        self.assertEqual(sorted(self.sent[4:]), [(A, 4), (B, 4)])

    def test_in_turn(self) -> None:
        """Nobody has to wait for more than one piece that goes to the other."""
        self.want(A, B)
        self.come(0, 2, 4)
        self.assertEqual([peer for peer, _ in self.sent], [A, B] * 3)

    def test_few_wait(self) -> None:
        """What is sent to whom is decided late."""
        self.want(A)
        self.held = Bits.full(COUNT)
        self.pusher.go_on(self.clock.seconds())
        self.assertEqual(len(self.sent), QUEUED)

    def test_what_it_lacks(self) -> None:
        """What somebody below got from others is not pushed."""
        self.want(A)
        self.offers.saw(A, Bits.of([0, 4]))
        self.come(0, 2, 4)
        self.assertEqual(self.sent, [(A, 2)])

    def test_both_trees(self) -> None:
        """Who is below in both trees is pushed all."""
        self.adopt(A, 1)
        self.want(A)
        self.come(0, 1)
        self.assertEqual(sorted(self.sent), [(A, 0), (A, 1)])

    def test_others(self) -> None:
        """Who is not below us has to ask in another way."""
        self.assertFalse(self.pusher.wanted(C, DIGEST))
        self.assertFalse(self.pusher.wanted(A, Digest("2" * 64)))
        self.assertFalse(self.pusher.below(C, DIGEST))
        self.assertTrue(self.pusher.below(A, DIGEST))

    def test_too_many(self) -> None:
        """Of three, the one that was told first is let go, and hears it: there is no room for it."""
        self.want(A, B)
        self.clock.advance(1)
        self.adopt(C)
        self.assertEqual(self.dropped, [], "it may not want anything")
        self.want(C)
        self.assertEqual(self.dropped, [A])
        self.come(0)
        self.assertEqual({peer for peer, _ in self.sent}, {B, C})
        self.assertEqual(self.grown, [], "somebody else is above A and all below it")

    def test_declines(self) -> None:
        """If one does not want to pass on, the next one takes its place; not if it has another one above."""
        self.pusher.enough(A, DIGEST)
        self.assertEqual([branch.first for branch in self.grown], [BELOW[1]])
        self.want(B)
        self.pusher.enough(B, DIGEST)
        self.assertEqual(len(self.grown), 1)
        self.come(0)
        self.assertEqual(self.sent, [])

    def test_lost(self) -> None:
        """The place of one that is gone is taken by the next one below it."""
        self.want(A, B)
        self.pusher.lost(A)
        [branch] = self.grown
        self.assertEqual((branch.tree, branch.inner, branch.first), (0, 2, BELOW[1]))
        self.assertNotIn(A, branch.names)
        self.come(0)
        self.assertEqual(self.sent, [(B, 0)])

    def test_stuck(self) -> None:
        """Who does not keep up, while others do, has nothing below it any more; it gets what it takes."""
        self.want(A, B)
        self.waited[A] = STUCK
        self.come(*range(0, 2 * MOVED, 2))
        self.look()
        self.assertEqual([branch.first for branch in self.grown], [BELOW[1]])
        self.look(1)
        self.assertEqual(len(self.grown), 1, "it has nothing below it")
        self.sent.clear()
        self.come(2 * MOVED)
        self.assertIn((A, 2 * MOVED), self.sent)

    def test_stuck_alone(self) -> None:
        """What comes here counts as well, where nobody else is below."""
        self.want(A)
        self.waited[A] = STUCK
        self.come(*range(0, 2 * MOVED, 2))
        self.look()
        self.assertEqual([branch.first for branch in self.grown], [BELOW[1]])

    def test_our_own_link(self) -> None:
        """Where little comes and goes at all, it is our own link that is slow."""
        self.want(A, B)
        self.waited[A] = STUCK
        self.come(0, 2, 4)
        self.look()
        self.clock.advance(2 * STUCK)
        self.come(*range(6, 6 + 2 * MOVED, 2))
        self.clock.advance(2 * STUCK)
        self.look()
        self.assertEqual(self.grown, [])

    def test_all_gone(self) -> None:
        """If all who are below say nothing any more, though nothing moves, others take their places."""
        self.want(A, B)
        self.look()
        self.assertEqual(self.grown, [])
        for peer in (A, B):
            self.offers.silent(peer)
        self.look()
        self.assertEqual([branch.first for branch in self.grown], [BELOW[1], BELOW[1]])

    def test_whole(self) -> None:
        """Who had everything before is not taken to be silent, and passes on what it has."""
        self.pusher.adopt(PACKAGE, Branch(0, 3, (C, *BELOW)))
        self.want(C)
        self.look()
        self.assertEqual(self.grown, [])

    def test_slow_for_all(self) -> None:
        """Nor is a wait too long that is usual here."""
        self.want(A, B)
        self.usual = self.waited[A] = STUCK
        self.come(*range(0, 2 * MOVED, 2))
        self.look()
        self.assertEqual(self.grown, [])
        self.waited[A] = WAITS * STUCK
        self.look()
        self.assertEqual([branch.first for branch in self.grown], [BELOW[1]])

    def test_mute(self) -> None:
        """Who does not ask for what comes, once there is something, leaves its place to the next."""
        self.want(B)
        self.look(2 * GRACE)
        self.assertEqual(self.grown, [], "there is nothing to ask for")
        self.come(0)
        self.look(GRACE / 2)
        self.assertEqual(self.grown, [])
        self.look(GRACE / 2)
        self.assertEqual([branch.first for branch in self.grown], [BELOW[1]])

    def test_offered(self) -> None:
        """Nothing is offered of what somebody below lacks, or may ask for in a moment, or comes here so."""
        self.assertTrue(self.pusher.pushes(DIGEST))
        self.clock.advance(GRACE)
        self.assertFalse(self.pusher.pushes(DIGEST))
        self.want(A)
        self.assertTrue(self.pusher.pushes(DIGEST))
        self.offers.saw(A, Bits.full(COUNT))
        self.assertFalse(self.pusher.pushes(DIGEST))
        self.pusher.comes = lambda digest: True
        self.assertTrue(self.pusher.pushes(DIGEST))

    def test_over(self) -> None:
        """When all below have everything, nothing is kept of it."""
        self.want(A, B)
        self.look(GRACE)
        self.assertTrue(self.pusher.below(A, DIGEST))
        for peer in (A, B):
            self.offers.saw(peer, Bits.full(COUNT))
        self.look()
        self.assertFalse(self.pusher.below(A, DIGEST))
        self.assertFalse(self.pusher.busy)

    def test_never_came(self) -> None:
        """Nor for long, if nothing of it ever comes here."""
        self.look(LONG / 2)
        self.assertTrue(self.pusher.busy)
        self.look(LONG / 2)
        self.assertFalse(self.pusher.busy)
        self.assertEqual(self.grown, [])

    def test_source(self) -> None:
        """A source pushes a piece to who is at the top, though it gave it to somebody else before."""
        self.offers.source = True
        self.offers.saw(C, Bits())
        self.offers.asked(C, 0)
        self.want(A)
        self.come(0)
        self.assertEqual(self.sent, [(A, 0)])
