"""Packages that are here and go round: is the next one fed, and when is it over?"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent import ringed
from clumpt.agent.feeder import QUEUED, Feeder
from clumpt.agent.feeding import FIRST
from clumpt.agent.offers import Offers
from clumpt.agent.ringed import BEHIND, DEEP, DEEPEST, DETOUR, GRACE, LAGS, LATE, STUCK, Ringed
from clumpt.model import PeerName
from clumpt.pieces import Bits, Digest, Round
from tests.test_feeding import PACKAGE
from tests.test_offers import COUNT, NONE, A, B, C, Random


class RingedTests(SynchronousTestCase):
    """One package that is here, and passed on."""

    def setUp(self) -> None:
        self.ring = Ringed()
        self.ring.feed(A)
        self.index, self.held = 0, 0.0

    def fed(self, count: int, share: float) -> None:
        """So many pieces come, and who is fed shows a share of that many more."""
        for _ in range(count):
            self.held += share
            self.ring.came(self.index, (1 << int(self.held)) - 1, 0)
            self.index += 1

    def test_keeps_up(self) -> None:
        """Who is fed may be some pieces behind, and may wait for a while."""
        self.fed(2, 0)
        self.fed(5 * DEEP, 1)
        self.assertFalse(self.ring.fails(LAGS, 0, 100))

    def test_began_late(self) -> None:
        """Nor is who began later too far behind, as long as that does not become more."""
        self.ring = Ringed()
        for index in range(2 * DEEPEST):
            self.ring.came(index, -1, 0)
        self.index = 2 * DEEPEST
        self.ring.feed(A)
        self.fed(2 * DEEPEST, 1)
        self.assertFalse(self.ring.fails(LAGS, 0, 0))
        self.fed(DEEP + LATE, 0)
        self.assertTrue(self.ring.fails(LAGS, 0, 0))

    def test_lags(self) -> None:
        """Who shows nothing of many pieces, and waits, does not keep up; either alone may be by chance."""
        self.fed(DEEP + LATE - 1, 0)
        self.assertFalse(self.ring.fails(LAGS, 0, 0))
        self.fed(1, 0)
        self.assertFalse(self.ring.fails(LAGS / 2, 0, 0))
        self.assertTrue(self.ring.fails(LAGS, 0, 0))

    def test_quarter(self) -> None:
        """A quarter of the rate is not enough for ever, but for a while; a tenth is not."""
        self.fed(DEEPEST, 0.25)
        self.assertFalse(self.ring.fails(LAGS, 0, 0))
        self.fed(DEEPEST, 0.25)
        self.assertTrue(self.ring.fails(LAGS, 0, 0))
        self.setUp()
        self.fed(2 * DEEP, 0.1)
        self.assertTrue(self.ring.fails(LAGS, 0, 0))

    def test_stuck(self) -> None:
        """Nor does who shows nothing for long, whatever comes."""
        self.ring.begin(0)
        self.assertFalse(self.ring.fails(STUCK - 0.1, 0, 50))
        self.assertTrue(self.ring.fails(STUCK, 0, 50))

    def test_slow_here(self) -> None:
        """Nothing is said of who is fed by one to whom pieces come slowly; what comes late is for both."""
        for index in range(BEHIND):
            self.ring.came(index, 0, index)
            self.assertFalse(self.ring.look(STUCK, STUCK, index))
        self.assertFalse(self.ring.fails(BEHIND - 2, STUCK, BEHIND))
        self.assertTrue(self.ring.fails(BEHIND - 1, STUCK, BEHIND))
        for index in range(BEHIND):
            self.ring.came(index, 0, 100 + index * STUCK / BEHIND)
        self.assertTrue(self.ring.fails(STUCK, 0, 1000), "it came fast, and nothing comes any more")

    def test_nobody(self) -> None:
        """If nobody asks to be fed, there is a gap in the ring."""
        alone = Ringed()
        self.assertFalse(alone.fails(0, 0, 1000), "nothing came")
        alone.came(0, -1, 1000)
        self.assertFalse(alone.fails(0, 0, 1000 + GRACE / 2))
        self.assertTrue(alone.fails(0, 0, 1000 + GRACE))

    def test_mute(self) -> None:
        """Who says nothing at all, though it was sent something, is noticed without more coming."""
        self.ring.begin(0)
        self.assertFalse(self.ring.fails(LAGS, LAGS / 2, 0))
        self.assertFalse(self.ring.fails(LAGS / 2, LAGS, 0))
        self.assertTrue(self.ring.fails(LAGS, LAGS, 0))

    def test_detour(self) -> None:
        """Another one is looked for, once; it has some time to ask, and takes that place."""
        self.ring.feed(C)
        self.assertFalse(self.ring.look(STUCK, 0, 5), "it does not go round yet")
        self.ring.begin(0)
        self.assertFalse(self.ring.look(0, 0, 5))
        self.assertTrue(self.ring.look(STUCK, 0, 5))
        self.assertTrue(self.ring.looks())
        self.assertFalse(self.ring.look(STUCK, 0, 5))
        self.assertFalse(self.ring.fails(STUCK, 0, 5 + DETOUR / 2))
        self.assertEqual(self.ring.feed(B), [A, C])
        self.assertEqual((self.ring.eaters, self.ring.looks()), ([B], False))
        self.assertEqual((self.ring.feed(C), self.ring.eaters), ([], [B, C]))
        self.assertFalse(self.ring.look(STUCK, 0, 6))
        self.assertTrue(self.ring.fails(STUCK, 0, 6))

    def test_no_detour(self) -> None:
        """If nobody asks it is over; but not if who is fed shows by then that it keeps up."""
        for waits, fails in ((STUCK, True), (0, False)):
            ring = Ringed()
            ring.feed(A)
            ring.begin(0)
            ring.look(STUCK, 0, 5)
            self.assertEqual(ring.fails(waits, 0, 5 + DETOUR), fails)

    def test_closed(self) -> None:
        """It ends where the next one has several pieces before they come."""
        for index in range(BEHIND):
            self.assertFalse(self.ring.closed)
            self.ring.came(index, -1, 0)
        self.assertTrue(self.ring.closed)
        self.ring.came(BEHIND, 0, 0)
        self.assertFalse(self.ring.closed)

    def test_over(self) -> None:
        """It does not begin again."""
        self.ring.begin(0)
        self.ring.end()
        self.ring.begin(1)
        self.ring.feed(B)
        self.assertEqual((self.ring.goes, self.ring.eaters), (False, []))

    def test_sane(self) -> None:
        """Who lags is noticed long before he is taken for gone."""
        self.assertLess(LAGS, STUCK)
        self.assertLess(ringed.GRACE, FIRST)


class FeederTests(SynchronousTestCase):
    """What is passed on."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.queued: list[tuple[PeerName, int]] = []
        self.spared: list[Digest] = []
        self.waited: Counter[PeerName] = Counter()
        self.held = NONE
        self.begin(source=False)

    def begin_source(self, *peers: PeerName) -> None:
        """A source, which has everything, and whom these asked to be fed."""
        self.begin(source=True)
        self.feeder.rings.add(PACKAGE.sha256)
        self.feeder.known(PACKAGE.sha256)
        self.held = Bits.full(COUNT)
        for peer in peers:
            self.feeder.heard(peer, PACKAGE.sha256, Round.WANTED)

    def begin(self, source: bool) -> None:
        self.offers = Offers(COUNT, Random(1), source)
        for peer in (A, B):
            self.offers.saw(peer, NONE)
        queue: Any = SimpleNamespace(
            queued=lambda peer: 0,
            queue=lambda peer, package, index: self.queued.append((peer, index)),
            spare=self.spared.append,
            waits=lambda peer: (float(self.waited[peer]), 0.0),
        )
        digest = PACKAGE.sha256
        self.feeder = Feeder(
            self.clock, queue, {digest: self.offers}, {digest: PACKAGE}, lambda package: self.held
        )
        self.broken: list[Digest] = []
        self.feeder.broken = self.broken.append
        self.ways: list[tuple[PeerName, bool]] = []
        self.left: list[PeerName] = []
        self.feeder.detour = None if source else self.detour()

    def detour(self) -> Any:
        return SimpleNamespace(
            find=lambda package, slow, looks: self.ways.append((slow, looks())),
            leave_out=lambda digest, slow: self.left.append(slow),
        )

    def came(self, index: int) -> None:
        """A piece came from C by itself."""
        self.held = self.held.with_bit(index)
        self.feeder.came(C, PACKAGE.sha256, index)
        self.feeder.go_on(self.clock.seconds())

    def many_came(self) -> None:
        for index in range(BEHIND):
            self.came(index)

    def test_passed_on(self) -> None:
        """What comes by itself goes on to who asked first, the oldest piece first; never back."""
        self.offers.saw(C, NONE)
        for peer in (A, B, C):
            self.feeder.heard(peer, PACKAGE.sha256, Round.WANTED)
        self.came(3)
        self.came(1)
        self.came(2)
        self.assertEqual(self.queued, [(A, 3), (A, 1), (A, 2)])
        self.assertEqual(self.offers._views[C].held, 0b1110)

    def test_not_by_itself(self) -> None:
        """What was asked for is offered, and not passed on."""
        self.feeder.heard(A, PACKAGE.sha256, Round.WANTED)
        self.held = Bits(0b111)
        self.feeder.go_on(0)
        self.assertEqual((self.queued, self.broken), ([], []))

    def test_a_few_at_a_time(self) -> None:
        """No more wait for a peer than are sent next: what it gets from others need not be sent."""
        self.feeder.heard(A, PACKAGE.sha256, Round.WANTED)
        self.held = Bits(0b11110)
        self.came(0)
        self.assertEqual(len(self.queued), QUEUED)

    def test_source(self) -> None:
        """A source feeds one peer, and gives each piece away once."""
        self.begin_source(B, A)
        for _ in range(COUNT):
            self.feeder.go_on(0)
        self.assertEqual(self.queued, [(B, index) for index in range(COUNT)])

    def test_lost(self) -> None:
        """If who is fed is gone, it is over; if somebody else is, it is not."""
        self.feeder.heard(A, PACKAGE.sha256, Round.WANTED)
        self.came(0)
        self.feeder.lost(B)
        self.assertEqual(self.broken, [])
        self.feeder.lost(A)
        self.assertEqual(self.broken, [PACKAGE.sha256])

    def test_lags(self) -> None:
        """If who is fed does not take it, and nobody can be fed in its place, it is over."""
        self.feeder.heard(A, PACKAGE.sha256, Round.WANTED)
        self.many_came()
        self.waited[A] = 2
        self.feeder.go_on(0)
        self.assertEqual((self.ways, self.broken), ([(A, True)], []))
        self.feeder.go_on(DETOUR)
        self.assertEqual(self.broken, [PACKAGE.sha256])

    def test_detour(self) -> None:
        """Who asks in its place is fed all that it lacks, and who did not keep up is told."""
        self.feeder.heard(A, PACKAGE.sha256, Round.WANTED)
        self.many_came()
        self.waited[A] = 2
        self.came(BEHIND)
        self.queued.clear()
        self.feeder.heard(B, PACKAGE.sha256, Round.WANTED)
        self.feeder.go_on(1)
        self.assertEqual((self.left, self.spared, self.queued), ([A], [PACKAGE.sha256], [(B, 0), (B, 1)]))
        self.assertTrue(self.feeder.feeds(B, PACKAGE.sha256))
        self.feeder.heard(A, PACKAGE.sha256, Round.WANTED)
        self.assertFalse(self.feeder.feeds(A, PACKAGE.sha256))
        self.assertEqual(self.broken, [])

    def test_time_for_another(self) -> None:
        """Where the next one has everything before, the last who asked is fed; however slow that is."""
        for peer in (A, B):
            self.feeder.heard(peer, PACKAGE.sha256, Round.WANTED)
        self.offers.saw(A, Bits.full(BEHIND + 1))
        for index in range(BEHIND):
            self.came(index)
        self.assertEqual(self.queued[:1], [(B, 0)])
        self.waited[B] = 2
        self.came(BEHIND)
        self.assertEqual((self.ways, self.broken), ([], []))

    def test_slow_begin(self) -> None:
        """If the first does not keep up, a source feeds the next from the begin; if there is one."""
        self.begin_source(A, B)
        self.feeder.go_on(0)
        self.offers.saw(A, Bits(1))
        self.waited[A] = 2
        self.feeder.go_on(1)
        self.feeder.go_on(1)
        self.assertEqual((self.queued[-1], self.broken), ((B, 1), []))
        self.assertIn((B, 0), self.queued)
        self.waited[B] = 2
        self.feeder.go_on(2)
        self.assertEqual(self.broken, [PACKAGE.sha256])

    def test_told(self) -> None:
        """If anybody says that it is over, it is."""
        self.feeder.heard(B, PACKAGE.sha256, Round.OVER)
        self.assertEqual(self.broken, [PACKAGE.sha256])

    def test_end(self) -> None:
        """In the end nothing waits any more that nobody asked for, and what was promised may be offered."""
        self.feeder.heard(A, PACKAGE.sha256, Round.WANTED)
        self.came(0)
        self.assertTrue(self.feeder.end(PACKAGE.sha256))
        self.assertFalse(self.feeder.end(PACKAGE.sha256), "it was over")
        self.assertEqual(self.spared, [PACKAGE.sha256])
        self.offers.heard(B)
        self.assertEqual(self.offers.choose(Bits(1), NONE, (B,), 0), (A, 0))
