"""What comes along trees is not asked for, nor offered; the rest is."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.feeder import BESIDE, WINDOW_PUSHED
from clumpt.agent.feeding import FIRST
from clumpt.agent.feeds import UNDER_WAY, Feeds
from clumpt.agent.pusher import GRACE
from clumpt.agent.rate import Bucket
from clumpt.agent.swarm import QUIET, Ask, Decline, Swarm
from clumpt.agent.uplink import LOOK, Uplink
from clumpt.errors import BadDocument
from clumpt.model import PeerName
from clumpt.pieces import NONE, Bits, Digest, Round
from clumpt.trees import Branch, carried
from tests.test_feeding import PACKAGE
from tests.test_offers import COUNT, A, B, C

DIGEST = PACKAGE.sha256
ALL, EVEN, ODD = Bits.full(COUNT), carried(0, COUNT), carried(1, COUNT)


class FeedsTests(SynchronousTestCase):
    """A package on its way, A and B linked."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[tuple[str, Round]] = []
        self.links: dict[PeerName, Any] = {peer: self.link(peer) for peer in (A, B, C)}
        self.feeds = Feeds(
            self.clock, lambda: self.links, lambda package: [C], lambda peer: False, self.said_over
        )
        self.swarm = Swarm(COUNT, Random(1))

    def link(self, peer: PeerName) -> Any:
        return SimpleNamespace(feed=lambda digest, word, size: self.said.append((peer, word)))

    @property
    def over(self) -> list[tuple[str, Round]]:
        """All hear that it does not go round."""
        return [(peer, Round.OVER) for peer in self.links]

    def said_over(self, digest: Digest) -> bool:
        raise AssertionError("it does not go round")

    def both(self) -> None:
        for tree, peer in enumerate((A, B)):
            self.feeds.branched(peer, PACKAGE, tree)
        self.feeds.let_come(PACKAGE, self.swarm)

    def test_asks(self) -> None:
        """Those above are asked once for what comes, and nobody of the ring."""
        self.both()
        self.feeds.let_come(PACKAGE, self.swarm)
        self.assertEqual(self.said, [*self.over, (A, Round.WANTED), (B, Round.WANTED)])
        self.assertEqual(self.swarm.comes, ALL)
        self.assertTrue(self.feeds.pushes(DIGEST))

    def test_not_round(self) -> None:
        """All who are linked hear once that it does not go round: some may have asked to be fed."""
        self.feeds.branched(A, PACKAGE, 0)
        self.assertEqual(self.said, self.over)
        self.feeds.branched(B, PACKAGE, 1)
        self.assertEqual(self.said, self.over)

    def test_stands_aside(self) -> None:
        """Who stands in no tree asks by itself from then on, whatever is said later of the ring."""
        self.feeds = Feeds(self.clock, dict, lambda package: [C], lambda peer: False, lambda digest: False)
        self.feeds.let_come(PACKAGE, self.swarm)
        self.assertEqual((self.swarm.comes, self.swarm.unoffered), (ALL, False))
        self.feeds.stand_aside(DIGEST)
        self.feeds.end(DIGEST)
        self.feeds.let_come(PACKAGE, self.swarm)
        self.assertEqual((self.swarm.comes, self.swarm.unoffered), (NONE, True))
        self.feeds.forget(DIGEST)
        self.feeds.refresh(DIGEST, self.swarm)
        self.assertFalse(self.swarm.unoffered)

    def test_ring_before(self) -> None:
        """If the ring was asked before, nothing is waited for from there."""
        self.feeds.let_come(PACKAGE, self.swarm)
        self.both()
        self.clock.advance(2 * FIRST)
        self.feeds.look()
        self.feeds.lost(C)

    def test_another(self) -> None:
        """Who is not above any more is told."""
        self.feeds.branched(A, PACKAGE, 0)
        self.feeds.branched(B, PACKAGE, 0)
        self.assertEqual(self.said, [*self.over, (A, Round.ENOUGH)])

    def test_hashes(self) -> None:
        """The hashes of pieces come from who is above."""
        self.feeds.branched(A, PACKAGE, 0)
        self.assertEqual(self.feeds.source(PACKAGE, ()), [A])
        self.assertEqual(self.feeds.source(PACKAGE, (A,)), [C])

    def test_offers(self) -> None:
        """Only what does not come is taken when it is offered."""
        self.both()
        self.feeds.lost(B)
        self.feeds.refresh(DIGEST, self.swarm)
        self.assertTrue(self.feeds.declines(C, DIGEST, 0, self.swarm))
        self.assertFalse(self.feeds.declines(C, DIGEST, 1, self.swarm))
        self.feeds.offered(DIGEST, self.swarm)
        self.assertEqual(self.swarm.comes, EVEN)

    def test_offered_instead(self) -> None:
        """What is offered, where nothing goes round nor along trees, does not come by itself."""
        self.feeds.let_come(PACKAGE, self.swarm)
        self.assertEqual(self.swarm.comes, ALL)
        self.feeds.offered(DIGEST, self.swarm)
        self.assertEqual(self.swarm.comes, NONE)

    def test_dropped(self) -> None:
        """Who says that it pushes no more is not waited for; what it sent may still come."""
        self.both()
        self.feeds.left_out(B, DIGEST, False)
        self.feeds.refresh(DIGEST, self.swarm)
        self.assertEqual(self.swarm.comes, EVEN)
        for _ in range(2 * UNDER_WAY):
            self.feeds.came(B, DIGEST, 1, False)

    def test_strays(self) -> None:
        """Who was never above may not push for ever, though the ring was asked before."""
        self.feeds.let_come(PACKAGE, self.swarm)
        self.both()
        with self.assertRaises(BadDocument):
            for _ in range(2 * UNDER_WAY):
                self.feeds.came(C, DIGEST, 1, False)

    def test_not_over(self) -> None:
        """It is not over because somebody says so who knows nothing of the trees."""
        self.both()
        self.feeds.end(DIGEST)
        self.assertTrue(self.feeds.pushes(DIGEST))
        self.feeds.forget(DIGEST)
        self.assertFalse(self.feeds.pushes(DIGEST))

    def test_told(self) -> None:
        """Those above are told what came."""
        self.both()
        self.assertEqual(self.feeds.feeders(DIGEST), [A, B])


class SwarmTests(SynchronousTestCase):
    """Asking for pieces of which some come by themselves."""

    def setUp(self) -> None:
        self.swarm = Swarm(COUNT, Random(1))
        self.swarm.comes = EVEN
        self.assertEqual(list(self.swarm.asks(0)), [])

    def test_the_rest(self) -> None:
        """What does not come is asked for at once, as nobody offers it."""
        self.swarm.learn(A, ALL)
        asked = {ask.index for ask in self.swarm.asks(QUIET / 2)}
        self.assertTrue(asked)
        self.assertTrue(asked <= set(ODD))

    def test_all_comes(self) -> None:
        """Where all comes, nothing is asked for, not even the last pieces."""
        self.swarm.comes, self.swarm.held = ALL, Bits.full(COUNT - 1)
        self.swarm.learn(A, ALL)
        self.assertEqual(list(self.swarm.asks(2 * QUIET)), [])

    def test_offered(self) -> None:
        """Of who offers something else is taken only what does not come."""
        self.swarm.learn(A, EVEN)
        self.swarm.offered(A, 0, 0)
        self.assertEqual(list(self.swarm.replies(0)), [Decline(A, 0)])
        self.swarm.offered(A, 1, 0)
        self.assertEqual(list(self.swarm.replies(0)), [Ask(A, 1)])


class UplinkTests(SynchronousTestCase):
    """A whole package; A is below us, and wants it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[PeerName, int]] = []
        self.offered: list[int] = []
        links: Any = {peer: self.link(peer) for peer in (A, B)}
        self.uplink = Uplink(
            self.clock, Random(1), Bucket(0), False, lambda: links,
            lambda package: ALL, lambda package: NONE, lambda peer, package, index: b"data",
        )  # fmt: skip
        self.addCleanup(self.uplink.stop)
        self.uplink.feeder.push.adopt(PACKAGE, Branch(0, 0, (A,)))
        for peer in (A, B):
            self.uplink.saw(peer, PACKAGE, NONE)

    def link(self, peer: PeerName) -> Any:
        return SimpleNamespace(
            peer=peer, full=False, heard=0.0,
            fed=lambda digest, index, data: self.sent.append((peer, index)),
            offer=lambda digest, index: self.offered.append(index),
        )  # fmt: skip

    def ask(self, peer: PeerName, index: int) -> list[Any]:
        results: list[Any] = []
        answer: Deferred[bytes] = self.uplink.ask(peer, PACKAGE, index, lambda: b"data")
        answer.addCallback(results.append)
        answer.addErrback(lambda failure: None)
        return results

    def test_pushed(self) -> None:
        """It is pushed what goes along the tree, as far as there is room; nothing is offered."""
        for _ in range(COUNT):
            self.uplink.goes_round(A, DIGEST, Round.WANTED)
        self.assertEqual(self.sent, [(A, index) for index in list(EVEN)[:WINDOW_PUSHED]])
        self.assertEqual(self.offered, [])

    def test_not_over(self) -> None:
        """Who says that it does not go round changes nothing of what is pushed, and waits for its turn."""
        self.uplink.rate.rate = 10.0 * PACKAGE.pieces.size
        self.uplink.goes_round(A, DIGEST, Round.WANTED)
        self.assertFalse(self.uplink.unring(DIGEST))
        self.clock.pump([0.05] * 10)
        self.assertEqual([index for _, index in self.sent], list(EVEN)[: len(self.sent)])
        self.assertGreater(len(self.sent), 2)

    def test_beside(self) -> None:
        """Who asks gets little beside, as all below would wait behind that."""
        self.uplink.goes_round(A, DIGEST, Round.WANTED)
        answers = [self.ask(B, index) for index in range(BESIDE + 1)]
        self.assertEqual(sum(map(len, answers)), BESIDE)

    def test_first(self) -> None:
        """What is pushed goes before what is asked for."""
        self.uplink.rate.rate = float(PACKAGE.pieces.size)
        self.ask(B, 1)
        waiting = self.ask(B, 3)
        self.uplink.goes_round(A, DIGEST, Round.WANTED)
        while not self.sent:
            self.clock.advance(0.1)
        self.assertEqual(waiting, [])

    def test_kept_for_a_moment(self) -> None:
        """When all have everything, nothing is kept of it for long."""
        self.uplink.goes_round(A, DIGEST, Round.WANTED)
        for peer in (A, B):
            self.uplink.saw(peer, PACKAGE, ALL)
        self.clock.pump([LOOK] * round(GRACE / LOOK + 2))
        self.assertFalse(self.uplink.feeder.push.busy)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_enough(self) -> None:
        """Who does not want it any more is pushed nothing, and is offered what others are."""
        self.uplink.goes_round(A, DIGEST, Round.ENOUGH)
        self.uplink.goes_round(A, DIGEST, Round.WANTED)
        self.assertEqual(self.sent, [])
        self.assertTrue(self.offered)
