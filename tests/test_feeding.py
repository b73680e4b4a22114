"""Packages that go round a ring: who asks whom, who passes on what, and when it is over."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent import ringed
from clumpt.agent.feeder import QUEUED, Feeder
from clumpt.agent.feeding import DRY, FIRST, GAPS, VAIN, Feeding
from clumpt.agent.feeds import HASTY, LEAST, MODEST, UNDER_WAY, Feeds
from clumpt.agent.known import REMEMBERED
from clumpt.agent.manners import Manners
from clumpt.agent.offers import Offers
from clumpt.agent.ring import EAGER, Ring
from clumpt.agent.ringed import BEHIND, DEEP, DEEPEST, DETOUR, GRACE, LAGS, LATE, STUCK, Ringed
from clumpt.errors import BadDocument
from clumpt.graph import place_in_ring
from clumpt.hours import Hours
from clumpt.model import GroupName, Package, PeerName
from clumpt.pieces import SMALLEST, Bits, Digest, Pieces, Round
from clumpt.places import Locality
from tests.test_job import entry
from tests.test_offers import COUNT, NONE, A, B, C, Random

DESK = PeerName("desk")
PACKAGE = Package(
    "a", "1", "all", "a.deb", Digest("1" * 64), Pieces(COUNT * SMALLEST, SMALLEST, Digest("0" * 64))
)


class FeedingTests(SynchronousTestCase):
    """Who was asked, and whether it comes."""

    def setUp(self) -> None:
        self.feeding = Feeding()

    def test_begin(self) -> None:
        """Submitters are asked, and who stands before us; nobody twice."""
        self.assertEqual(self.feeding.begin([A, B], [], 0), [A])
        self.assertEqual(self.feeding.begin([B, A], [DESK], 0), [DESK])
        self.assertEqual(self.feeding.begin([B, A], [DESK], 0), [])
        self.assertEqual(self.feeding.feeders, sorted([A, DESK]))

    def test_nothing_comes(self) -> None:
        """The first piece has time to come round; then it is over."""
        self.feeding.begin([A], [], 10)
        self.assertFalse(self.feeding.fails(10 + FIRST - 0.1))
        self.assertTrue(self.feeding.fails(10 + FIRST))

    def test_dry(self) -> None:
        """Nothing may come for a second; longer, where pieces take longer."""
        self.feeding.begin([A], [], 0)
        self.feeding.came(True, 1.0)
        self.assertFalse(self.feeding.fails(0.9 + DRY))
        self.assertTrue(self.feeding.fails(1.0 + DRY))
        for number in range(40):
            self.feeding.came(True, 2.0 * number)
        self.assertFalse(self.feeding.fails(78 + GAPS))

    def test_slow_from_the_begin(self) -> None:
        """Over a slow link no piece comes for long, even at first."""
        self.feeding.begin([A], [], 0)
        self.feeding.came(True, 0)
        self.feeding.came(True, 1)
        self.assertFalse(self.feeding.fails(1 + GAPS - 0.1))
        self.assertTrue(self.feeding.fails(1 + GAPS))

    def test_in_vain(self) -> None:
        """Pieces that are here already are a sign that it does not work."""
        self.feeding.begin([A], [], 0)
        for _ in range(VAIN - 1):
            self.feeding.came(False, 0)
        self.assertFalse(self.feeding.fails(0))
        self.feeding.came(False, 0)
        self.assertTrue(self.feeding.fails(0))


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
        self.begin(source=True)
        self.feeder.rings.add(PACKAGE.sha256)
        self.feeder.known(PACKAGE.sha256)
        self.held = Bits.full(COUNT)
        for peer in (B, A):
            self.feeder.heard(peer, PACKAGE.sha256, Round.WANTED)
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
        self.begin(source=True)
        self.feeder.rings.add(PACKAGE.sha256)
        self.feeder.known(PACKAGE.sha256)
        self.held = Bits.full(COUNT)
        for peer in (A, B):
            self.feeder.heard(peer, PACKAGE.sha256, Round.WANTED)
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


class FeedsTests(SynchronousTestCase):
    """Asking, and ending it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[tuple[str, Round]] = []
        self.links: dict[PeerName, Any] = {peer: self.link(peer) for peer in (A, B)}
        self.before = [A, B]
        self.over: list[Digest] = []
        self.went = True
        self.feeds = Feeds(
            self.clock, lambda: self.links, lambda package: self.before, lambda peer: peer == DESK, self.ended
        )

    def link(self, peer: PeerName) -> Any:
        return SimpleNamespace(feed=lambda digest, word, size: self.said.append((peer, word)))

    def ended(self, digest: Digest) -> bool:
        self.over.append(digest)
        return self.went

    def test_begin(self) -> None:
        """Who stands before us is asked, and the submitter, when it is linked."""
        self.assertTrue(self.feeds.begin(PACKAGE, []))
        self.links[DESK] = self.link(DESK)
        self.assertTrue(self.feeds.begin(PACKAGE, [DESK]))
        self.assertEqual(self.said, [(A, Round.WANTED), (DESK, Round.WANTED)])
        self.assertEqual(self.feeds.feeders(PACKAGE.sha256), ())
        self.feeds.came(A, PACKAGE.sha256, True)
        self.assertEqual(self.feeds.feeders(PACKAGE.sha256), sorted([A, DESK]))

    def test_hashes(self) -> None:
        """The hashes of pieces come from the submitter, or from who stands before us, if they have them."""
        self.assertEqual(self.feeds.source(PACKAGE, ()), [A])
        self.links[DESK] = self.link(DESK)
        self.assertEqual(self.feeds.source(PACKAGE, ()), [DESK])
        self.assertEqual(self.feeds.source(PACKAGE, (DESK, A, B)), [])

    def test_went_round_before(self) -> None:
        """Who comes late, when peers hold it all, or for a package of few pieces, asks nobody."""
        few = Package(
            "b",
            "1",
            "all",
            "b.deb",
            Digest("2" * 64),
            Pieces((LEAST - 1) * SMALLEST, SMALLEST, Digest("0" * 64)),
        )
        self.assertFalse(self.feeds.begin(PACKAGE, [B]))
        self.assertFalse(self.feeds.begin(few, []))
        self.before = []
        self.assertFalse(self.feeds.begin(PACKAGE, []))
        self.assertEqual(self.said, [])

    def test_choosy(self) -> None:
        """Who minds what comes from where says at once that it does not go round."""
        self.feeds.choosy = True
        for _ in range(2):
            self.assertFalse(self.feeds.begin(PACKAGE, []))
        self.assertEqual(self.said, [(A, Round.OVER), (B, Round.OVER)])

    def test_look(self) -> None:
        """If nothing comes, all who are linked hear that it is over."""
        self.feeds.begin(PACKAGE, [])
        self.clock.advance(FIRST / 2)
        self.feeds.look()
        self.assertEqual(self.over, [])
        self.clock.advance(FIRST)
        self.feeds.look()
        self.assertEqual(self.over, [PACKAGE.sha256])
        self.assertEqual(self.said[1:], [(A, Round.OVER), (B, Round.OVER)])

    def test_end_once(self) -> None:
        """Nothing is said of what did not go round."""
        self.went = False
        self.feeds.end(PACKAGE.sha256)
        self.assertEqual(self.said, [])

    def test_lost(self) -> None:
        """If who feeds us is gone, it is over; a submitter may go when it has given all."""
        self.links[DESK] = self.link(DESK)
        self.feeds.begin(PACKAGE, [])
        self.feeds.lost(DESK)
        self.feeds.lost(B)
        self.assertEqual(self.over, [])
        self.feeds.lost(A)
        self.assertEqual(self.over, [PACKAGE.sha256])

    def test_strays(self) -> None:
        """Pieces that nobody wants may be under way; more break a rule."""
        self.feeds.begin(PACKAGE, [])
        for _ in range(UNDER_WAY):
            self.feeds.came(B, PACKAGE.sha256, True)
            self.feeds.came(B, PACKAGE.sha256, False)
        self.assertRaises(BadDocument, self.feeds.came, B, PACKAGE.sha256, False)
        for _ in range(2 * UNDER_WAY):
            self.feeds.came(A, PACKAGE.sha256, True)

    def test_turn(self) -> None:
        """Who stands before us as well may feed us in place of the first, who is told at once."""
        self.assertFalse(self.feeds.turn(B, PACKAGE.sha256), "nothing goes round")
        self.feeds.begin(PACKAGE, [])
        self.assertFalse(self.feeds.turn(C, PACKAGE.sha256), "a stranger")
        self.feeds.came(A, PACKAGE.sha256, True)
        self.clock.advance(DRY / 2)
        self.said.clear()
        self.assertTrue(self.feeds.turn(B, PACKAGE.sha256))
        self.assertEqual(self.said, [(A, Round.WITHOUT)])
        self.clock.advance(DRY / 2)
        self.feeds.look()
        self.assertEqual(self.over, [])
        # The former one may not know yet, and is to hear what is here; what it still sends is no bad sign.
        for _ in range(2 * VAIN):
            self.feeds.came(A, PACKAGE.sha256, False)
        self.feeds.look()
        self.assertEqual(self.over, [])
        self.assertEqual(self.feeds.feeders(PACKAGE.sha256), sorted([A, B]))
        self.clock.advance(DRY / 2)
        self.feeds.look()
        self.assertEqual(self.over, [PACKAGE.sha256])

    def test_turn_back(self) -> None:
        """Who fed us before may do so again; who does so anyhow is not told that it is left out."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.came(A, PACKAGE.sha256, True)
        self.said.clear()
        self.assertTrue(self.feeds.turn(A, PACKAGE.sha256))
        self.assertEqual(self.said, [])
        for peer in (B, A):
            self.assertTrue(self.feeds.turn(peer, PACKAGE.sha256))
        self.assertEqual(self.said, [(A, Round.WITHOUT), (B, Round.WITHOUT)])
        self.feeds.humour(A, PACKAGE.sha256)
        self.clock.advance(DRY * 0.9)
        self.feeds.came(A, PACKAGE.sha256, True)
        self.clock.advance(DRY * 0.9)
        self.feeds.look()
        self.assertEqual(self.over, [])

    def test_humour(self) -> None:
        """Who is not ahead hears what comes, and what it sends is no bad sign; who feeds us stays."""
        self.assertFalse(self.feeds.humour(B, PACKAGE.sha256), "nothing goes round")
        self.feeds.begin(PACKAGE, [])
        self.feeds.came(A, PACKAGE.sha256, True)
        self.said.clear()
        self.assertTrue(self.feeds.humour(B, PACKAGE.sha256))
        self.assertEqual((self.feeds.feeders(PACKAGE.sha256), self.said), (sorted([A, B]), []))
        for _ in range(2 * VAIN):
            self.feeds.came(B, PACKAGE.sha256, False)
        self.feeds.look()
        self.feeds.lost(B)
        self.assertEqual(self.over, [])
        self.feeds.lost(A)
        self.assertEqual(self.over, [PACKAGE.sha256])

    def test_ahead_later(self) -> None:
        """Once it sends what is of use, it feeds us, in place of the one before us."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.came(A, PACKAGE.sha256, True)
        self.feeds.humour(B, PACKAGE.sha256)
        self.said.clear()
        self.feeds.came(B, PACKAGE.sha256, True)
        self.assertEqual(self.said, [(A, Round.WITHOUT)])
        for _ in range(2 * VAIN):
            self.feeds.came(A, PACKAGE.sha256, False)
        self.feeds.lost(A)
        self.feeds.look()
        self.assertEqual(self.over, [])
        self.feeds.lost(B)
        self.assertEqual(self.over, [PACKAGE.sha256])

    def test_left_out(self) -> None:
        """Who is left out does not say that it is over: it asks all to be fed, and waits."""
        self.feeds.begin(PACKAGE, [])
        self.said.clear()
        for stranger in (B, DESK):
            self.feeds.left_out(stranger, PACKAGE.sha256, False)
        self.assertEqual((self.said, self.over), ([], []))
        self.feeds.left_out(A, PACKAGE.sha256, False)
        self.assertEqual(self.said, [(A, Round.WANTED), (B, Round.WANTED)])
        self.assertEqual(self.over, [PACKAGE.sha256])
        self.assertTrue(self.feeds.waits(PACKAGE.sha256))
        self.assertTrue(self.feeds.begin(PACKAGE, []), "it comes by itself, if at all")
        self.assertEqual(len(self.said), 2)

    def test_left_out_by_follower(self) -> None:
        """So may the one after us say it, who hears it first."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.left_out(B, PACKAGE.sha256, True)
        self.assertTrue(self.feeds.waits(PACKAGE.sha256))

    def test_let_in(self) -> None:
        """Who was left out waits until a peer has all of it, and nothing comes."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.left_out(A, PACKAGE.sha256, False)
        self.clock.advance(MODEST - HASTY / 2)
        self.feeds.let_in(PACKAGE.sha256, [DESK])
        for _ in range(2 * UNDER_WAY):
            self.feeds.came(B, PACKAGE.sha256, True)
        self.feeds.let_in(PACKAGE.sha256, [A])
        self.assertTrue(self.feeds.waits(PACKAGE.sha256))
        self.clock.advance(HASTY)
        self.feeds.let_in(PACKAGE.sha256, [DESK])
        self.assertTrue(self.feeds.waits(PACKAGE.sha256))
        self.feeds.let_in(PACKAGE.sha256, [DESK, A])
        self.assertFalse(self.feeds.waits(PACKAGE.sha256))
        self.assertFalse(self.feeds.begin(PACKAGE, [DESK]))
        self.assertEqual(self.over, [PACKAGE.sha256] * 2)
        self.assertEqual(self.said[-1], (B, Round.WANTED))

    def test_let_in_at_last(self) -> None:
        """If nothing comes for long it asks, whoever has it; and if it is over for all, at once."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.left_out(A, PACKAGE.sha256, False)
        self.clock.advance(MODEST)
        self.feeds.let_in(PACKAGE.sha256, [])
        self.assertFalse(self.feeds.waits(PACKAGE.sha256))
        self.feeds.forget(PACKAGE.sha256)
        self.feeds.begin(PACKAGE, [])
        self.feeds.left_out(A, PACKAGE.sha256, False)
        self.feeds.end(PACKAGE.sha256)
        self.assertFalse(self.feeds.waits(PACKAGE.sha256))

    def test_over_before(self) -> None:
        """Nor does it begin if others said so before; that is kept of a bounded number of packages."""
        self.went = False
        self.feeds.end(PACKAGE.sha256)
        self.assertFalse(self.feeds.begin(PACKAGE, []))
        for number in range(REMEMBERED):
            self.feeds.end(Digest(f"{number:064x}"))
        self.assertTrue(self.feeds.begin(PACKAGE, []))

    def test_declines(self) -> None:
        """What comes by itself need not be offered, but by a submitter, who has nobody to feed."""
        self.feeds.begin(PACKAGE, [])
        self.assertFalse(self.feeds.declines(B, PACKAGE.sha256), "nothing came yet")
        self.feeds.came(A, PACKAGE.sha256, True)
        self.assertTrue(self.feeds.declines(B, PACKAGE.sha256))
        self.assertFalse(self.feeds.declines(DESK, PACKAGE.sha256))
        self.feeds.end(PACKAGE.sha256)
        self.assertFalse(self.feeds.declines(B, PACKAGE.sha256))

    def test_not_again(self) -> None:
        """What goes round no more does not begin again, when another link opens."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.end(PACKAGE.sha256)
        self.said.clear()
        self.assertFalse(self.feeds.begin(PACKAGE, []))
        self.assertEqual(self.said, [])

    def test_forgotten(self) -> None:
        """What does not come any more is not waited for."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.forget(PACKAGE.sha256)
        self.clock.advance(2 * FIRST)
        self.feeds.look()
        self.assertEqual(self.over, [])


class RingTests(SynchronousTestCase):
    """Who stands before whom (R73)."""

    def before(self, me: str, linked: list[str], *groups: str) -> list[PeerName]:
        return self.ring(me, linked, *groups).nearest(PACKAGE)

    def ring(self, me: str, linked: list[str], *groups: str) -> Ring:
        """That of C{me}, which is in group g as all others but the stranger; an update is for C{groups}."""
        names = groups or ("g",)
        update: Any = SimpleNamespace(
            groups=frozenset(map(GroupName, names)), concerns=lambda peer, held: GroupName("g") in held
        )
        self.entry: Any = SimpleNamespace(update=update)
        self.roster: Any = SimpleNamespace(
            name=PeerName(me),
            settings=SimpleNamespace(deployment="lab"),
            groups=frozenset([GroupName("g")]),
            members=lambda group: dict.fromkeys([PeerName(f"n{number}") for number in range(9)]),
        )
        agenda: Any = SimpleNamespace(users=lambda digest: [1], concerning=lambda: {1: self.entry})
        return Ring(
            Random(1),
            self.roster,
            agenda,
            lambda peer: None if peer == "stranger" else [GroupName("g")],
            lambda: dict.fromkeys(map(PeerName, linked)),  # type: ignore[arg-type] # only the names are asked for
        )

    def test_round(self) -> None:
        """Each has the one that the wiring puts before it, without those that are missing, and strangers."""
        names = [f"n{number}" for number in range(9)]
        order = sorted(names, key=lambda name: place_in_ring("lab", GroupName("g"), PeerName(name)))
        for at, name in enumerate(order):
            others = [other for other in names if other != name]
            before = self.before(name, [*others, "stranger"])
            self.assertEqual(before, [order[at - back] for back in range(1, 9)])
            others.remove(order[at - 1])
            self.assertEqual(self.before(name, others)[0], order[at - 2])

    def test_after(self) -> None:
        """Who follows another one, linked or not, and round to the one before it; but for this peer."""
        names = [f"n{number}" for number in range(9)]
        order = sorted(names, key=lambda name: place_in_ring("lab", GroupName("g"), PeerName(name)))
        for at, name in enumerate(order):
            ring = self.ring(order[at - 1], [])
            following = [order[(at + step) % 9] for step in range(1, 8)]
            self.assertEqual(ring.after(PACKAGE, PeerName(name)), following)
        self.assertEqual(self.ring("n0", [], "g", "h").after(PACKAGE, PeerName("n1")), [])
        ring = self.ring("n0", [])
        self.roster.settings = None
        self.assertEqual(ring.after(PACKAGE, PeerName("n1")), [])

    def test_several_groups(self) -> None:
        """What goes to several groups has no ring."""
        self.assertEqual(self.before("n1", ["n2"], "g", "h"), [])
        self.assertEqual(entry(1).update.groups, frozenset([GroupName("all")]))

    def test_first(self) -> None:
        """Some of those whom an update concerns hear of it at once, one of them the next in the ring."""
        names = [f"n{number}" for number in range(9)]
        order = sorted(names, key=lambda name: place_in_ring("lab", GroupName("g"), PeerName(name)))
        chosen: set[PeerName] = set()
        for at, name in enumerate(order):
            ring = self.ring(name, [], "g", "h")
            others = [PeerName(other) for other in (*names, "stranger") if other != name]
            first = ring.first(self.entry, others)
            self.assertEqual((len(set(first)), order[(at + 1) % 9] in first), (EAGER, True))
            self.assertNotIn("stranger", first)
            chosen.update(first)
        self.assertEqual(chosen, set(names))

    def test_few_are_first(self) -> None:
        """Few hear of it all at once; of many, and if nothing is known of the ring, still some."""
        ring = self.ring("n0", [])
        few = [PeerName("stranger"), PeerName("n1")]
        self.assertEqual(ring.first(self.entry, few), few)
        strangers = [PeerName("stranger")] * 9
        self.assertEqual(ring.first(self.entry, strangers), [])
        self.roster.settings = None
        names = [PeerName(f"n{number}") for number in range(1, 9)]
        self.assertEqual(len(ring.first(self.entry, names)), EAGER)
        self.roster.groups = frozenset()
        self.assertEqual(len(ring.first(self.entry, names)), EAGER)


class ChoosyTests(SynchronousTestCase):
    """Who minds what comes from where, and when."""

    def test_limits(self) -> None:
        """A limit of what comes, always or at some hours, and a preference for peers that are near."""
        self.assertFalse(Manners(upload=1.0).choosy)
        self.assertTrue(Manners(download=1.0).choosy)
        self.assertTrue(Manners(download_hours=Hours.parse("08:00-18:00 1M")).choosy)
        self.assertTrue(Manners(locality=Locality.RACK).choosy)
