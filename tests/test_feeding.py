"""Packages that come here by themselves: who is asked, what comes, and when it is over."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.feeding import DRY, FIRST, GAPS, VAIN, Feeding
from clumpt.agent.feeds import HASTY, LEAST, MODEST, UNDER_WAY, Feeds
from clumpt.agent.known import REMEMBERED
from clumpt.agent.manners import Manners
from clumpt.agent.swarm import Swarm
from clumpt.errors import BadDocument
from clumpt.hours import Hours
from clumpt.model import Package, PeerName
from clumpt.pieces import SMALLEST, Digest, Pieces, Round
from clumpt.places import Locality
from clumpt.trees import TREES
from tests.test_offers import COUNT, A, B, C

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
        self.feeds.came(A, PACKAGE.sha256, 0, True)
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
            self.feeds.came(B, PACKAGE.sha256, 0, True)
            self.feeds.came(B, PACKAGE.sha256, 0, False)
        self.assertRaises(BadDocument, self.feeds.came, B, PACKAGE.sha256, 0, False)
        for _ in range(2 * UNDER_WAY):
            self.feeds.came(A, PACKAGE.sha256, 0, True)

    def test_turn(self) -> None:
        """Who stands before us as well may feed us in place of the first, who is told at once."""
        self.assertFalse(self.feeds.turn(B, PACKAGE.sha256), "nothing goes round")
        self.feeds.begin(PACKAGE, [])
        self.assertFalse(self.feeds.turn(C, PACKAGE.sha256), "a stranger")
        self.feeds.came(A, PACKAGE.sha256, 0, True)
        self.clock.advance(DRY / 2)
        self.said.clear()
        self.assertTrue(self.feeds.turn(B, PACKAGE.sha256))
        self.assertEqual(self.said, [(A, Round.WITHOUT)])
        self.clock.advance(DRY / 2)
        self.feeds.look()
        self.assertEqual(self.over, [])
        # The former one may not know yet, and is to hear what is here; what it still sends is no bad sign.
        for _ in range(2 * VAIN):
            self.feeds.came(A, PACKAGE.sha256, 0, False)
        self.feeds.look()
        self.assertEqual(self.over, [])
        self.assertEqual(self.feeds.feeders(PACKAGE.sha256), sorted([A, B]))
        self.clock.advance(DRY / 2)
        self.feeds.look()
        self.assertEqual(self.over, [PACKAGE.sha256])

    def test_turn_back(self) -> None:
        """Who fed us before may do so again; who does so anyhow is not told that it is left out."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.came(A, PACKAGE.sha256, 0, True)
        self.said.clear()
        self.assertTrue(self.feeds.turn(A, PACKAGE.sha256))
        self.assertEqual(self.said, [])
        for peer in (B, A):
            self.assertTrue(self.feeds.turn(peer, PACKAGE.sha256))
        self.assertEqual(self.said, [(A, Round.WITHOUT), (B, Round.WITHOUT)])
        self.feeds.humour(A, PACKAGE.sha256)
        self.clock.advance(DRY * 0.9)
        self.feeds.came(A, PACKAGE.sha256, 0, True)
        self.clock.advance(DRY * 0.9)
        self.feeds.look()
        self.assertEqual(self.over, [])

    def test_humour(self) -> None:
        """Who is not ahead hears what comes, and what it sends is no bad sign; who feeds us stays."""
        self.assertFalse(self.feeds.humour(B, PACKAGE.sha256), "nothing goes round")
        self.feeds.begin(PACKAGE, [])
        self.feeds.came(A, PACKAGE.sha256, 0, True)
        self.said.clear()
        self.assertTrue(self.feeds.humour(B, PACKAGE.sha256))
        self.assertEqual((self.feeds.feeders(PACKAGE.sha256), self.said), (sorted([A, B]), []))
        for _ in range(2 * VAIN):
            self.feeds.came(B, PACKAGE.sha256, 0, False)
        self.feeds.look()
        self.feeds.lost(B)
        self.assertEqual(self.over, [])
        self.feeds.lost(A)
        self.assertEqual(self.over, [PACKAGE.sha256])

    def test_ahead_later(self) -> None:
        """Once it sends what is of use, it feeds us, in place of the one before us."""
        self.feeds.begin(PACKAGE, [])
        self.feeds.came(A, PACKAGE.sha256, 0, True)
        self.feeds.humour(B, PACKAGE.sha256)
        self.said.clear()
        self.feeds.came(B, PACKAGE.sha256, 0, True)
        self.assertEqual(self.said, [(A, Round.WITHOUT)])
        for _ in range(2 * VAIN):
            self.feeds.came(A, PACKAGE.sha256, 0, False)
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
            self.feeds.came(B, PACKAGE.sha256, 0, True)
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
        self.assertFalse(self.feeds.declines(B, PACKAGE.sha256, 0, Swarm(9, Random())), "nothing came yet")
        self.feeds.came(A, PACKAGE.sha256, 0, True)
        self.assertTrue(self.feeds.declines(B, PACKAGE.sha256, 0, Swarm(9, Random())))
        self.assertFalse(self.feeds.declines(DESK, PACKAGE.sha256, 0, Swarm(9, Random())))
        self.feeds.end(PACKAGE.sha256)
        self.assertFalse(self.feeds.declines(B, PACKAGE.sha256, 0, Swarm(9, Random())))

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


class ChoosyTests(SynchronousTestCase):
    """Who minds what comes from where, and when."""

    def test_limits(self) -> None:
        """A limit of what comes, always or at some hours, and a preference for peers that are near."""
        self.assertFalse(Manners(upload=1.0).choosy)
        self.assertTrue(Manners(download=1.0).choosy)
        self.assertTrue(Manners(download_hours=Hours.parse("08:00-18:00 1M")).choosy)
        self.assertTrue(Manners(locality=Locality.RACK).choosy)


class ModestTests(SynchronousTestCase):
    """Who does not pass on at once, or not as fast as others do."""

    def test_limits(self) -> None:
        """A limit of what is sent, always or at some hours; to wait for an install; few served at once."""
        self.assertFalse(Manners(download=1.0, fanout=TREES, locality=Locality.RACK).modest)
        self.assertTrue(Manners(upload=1.0).modest)
        self.assertTrue(Manners(upload_hours=Hours.parse("08:00-18:00 1M")).modest)
        self.assertTrue(Manners(serve_installed=True).modest)
        self.assertTrue(Manners(fanout=TREES - 1).modest)
