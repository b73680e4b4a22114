"""What goes to many peers is pushed along trees, which a submitter plants; see L{clumpt.trees}."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.errand import PUSHED, RING, Errand
from clumpt.agent.submission import LATER, WATCH
from clumpt.apps.submitting import make_plan, submit
from clumpt.model import Action, GroupName, Package, PeerName
from clumpt.order import Order
from clumpt.pieces import SMALLEST, Digest, Pieces
from clumpt.store.offered import Offered
from clumpt.trees import TREES, Branch
from tests.submitting import Cluster, FakeLink, FakePeer, package_file
from tests.test_job import entry

#: More than go round in a ring.
MANY = RING + 8


class PushedTests(SynchronousTestCase):
    """Which packages are pushed."""

    def pushed(self, pieces: int, peers: int, **fields: Any) -> bool:
        """Is a package of so many pieces, for so many peers, pushed?"""
        content = Pieces(pieces * SMALLEST, SMALLEST, Digest("0" * 64))
        package = Package("a", "1", "all", "a.deb", Digest("1" * 64), content)
        one = entry(1, packages=(package,), **fields)
        candidates = {PeerName(f"n{number}"): () for number in range(peers)}
        found = Errand([one], {}, candidates, 1).pushed
        self.assertIn(found, ([], [package]))
        return bool(found)

    def test_many(self) -> None:
        """What has many pieces, if it goes to more peers than go round in a ring."""
        self.assertTrue(self.pushed(PUSHED, MANY))
        self.assertFalse(self.pushed(PUSHED - 1, MANY), "few pieces")
        self.assertFalse(self.pushed(100 * PUSHED, RING), "a ring")

    def test_too_few_pieces_for_a_ring(self) -> None:
        """Nor does it go round where there are few pieces for each peer."""
        self.assertTrue(self.pushed(PUSHED, PUSHED // 2))
        self.assertFalse(self.pushed(PUSHED, PUSHED // 4))

    def test_several_groups(self) -> None:
        """What is for several groups, or not for all of one, does not go round: for a few it is pushed."""
        groups = frozenset({GroupName("all"), GroupName("gpu")})
        for fields in ({"groups": groups}, {"exclude": frozenset({PeerName("n99")})}):
            self.assertTrue(self.pushed(PUSHED, 2 * TREES + 1, **fields))
            self.assertFalse(self.pushed(PUSHED, 2 * TREES, **fields), "all are told by us")


class PlantingTests(SynchronousTestCase):
    """A submission to many peers, over links in memory."""

    def setUp(self) -> None:
        self.cluster = Cluster()

    def submit(self, percentage: int = 5, size: int = (PUSHED + 8) * SMALLEST) -> Deferred[Any]:
        """Submit a package of so many bytes, in pieces of L{SMALLEST}."""
        offered = Offered()
        self.addCleanup(offered.withdraw)
        digest, pieces = offered.offer(package_file(self.mktemp(), data=b"x" * size))
        self.assertEqual(pieces.size, SMALLEST)
        self.package = Package("tool", "1.0", "all", "tool-1.0.tar", digest, pieces)
        order = Order(frozenset([GroupName("all")]), Action.INSTALL, "tar", (self.package,))
        plan = self.cluster.wait(make_plan(self.cluster.desk(), order, percentage))
        work: Deferred[Any] = submit(self.cluster.desk(), plan, offered, 60.0)
        self.addCleanup(self.cancel, work)
        return work

    def cancel(self, work: Deferred[Any]) -> None:
        work.addErrback(lambda failure: failure.trap(CancelledError))
        work.cancel()

    def peers(self, count: int, **manners: Any) -> list[FakePeer]:
        first = len(self.cluster.peers)
        return [self.cluster.add(f"n{number}", **manners) for number in range(first, first + count)]

    def later(self, seconds: float) -> None:
        self.cluster.clock.pump([0.05] * round(seconds / 0.05))

    @property
    def links(self) -> Sequence[FakeLink]:
        """The links that are open, in the order in which they were opened."""
        return list(self.cluster.networks[-1].open.values())

    def branch_of(self, link: FakeLink) -> Branch:
        """The one branch that was told over a link."""
        [(digest, branch)] = link.branches
        self.assertEqual(digest, self.package.sha256)
        self.assertEqual(branch.first, link.peer)
        return branch

    def test_top(self) -> None:
        """The first that are linked are told of the update, and of one tree each, of all peers."""
        self.peers(MANY, mute=True)
        self.submit()
        self.later(LATER / 2)
        self.assertEqual([link.notified for link in self.links], [1, 1])
        branches = [self.branch_of(link) for link in self.links]
        self.assertEqual([branch.tree for branch in branches], list(range(TREES)))
        for branch in branches:
            self.assertEqual(set(branch.names), set(self.cluster.peers))
        inner = [name for branch in branches for name in branch.names[: branch.inner]]
        self.assertEqual(sorted(inner), sorted(self.cluster.peers), "each passes on in one of them")

    def test_others(self) -> None:
        """Others that we tell hear of the update from us only if nobody else told them meanwhile."""
        self.peers(MANY, mute=True)
        self.submit(25)
        self.later(LATER * 0.9)
        self.assertEqual(len(self.links), MANY // 4)
        self.assertEqual([link.notified for link in self.links], [1] * TREES + [0] * (MANY // 4 - TREES))
        self.later(WATCH + LATER * 0.2)
        self.assertEqual([link.notified for link in self.links], [1] * (MANY // 4))
        self.assertEqual([len(link.branches) for link in self.links], [1] * TREES + [0] * (MANY // 4 - TREES))

    def test_received(self) -> None:
        """Those at the top receive it as others do."""
        self.peers(MANY)
        found = self.cluster.wait(self.submit()).seeded
        self.assertEqual(len(found.received), 2)
        self.assertEqual(set(self.cluster.dialled), found.received)

    def test_not_pushed(self) -> None:
        """What is small, or goes to few, is told to all at once, without trees."""
        for peers, size in ((MANY, 20 * SMALLEST), (2 * TREES, 2 * PUSHED * SMALLEST)):
            self.setUp()
            self.peers(peers, mute=True)
            self.submit(50, size)
            self.later(LATER / 2)
            self.assertEqual(len(self.links), peers // 2)
            self.assertEqual({(link.notified, len(link.branches)) for link in self.links}, {(1, 0)})

    def test_lost(self) -> None:
        """If who is at the top of a tree is lost, the next one is, and is dialled for that."""
        self.peers(MANY, mute=True)
        self.submit()
        self.later(LATER / 2)
        top, other = self.links
        left = self.branch_of(top).beheaded()
        assert left is not None
        self.assertNotIn(left.first, self.cluster.dialled)
        top.close()
        self.later(LATER / 2)
        [heir] = [link for link in self.links if link.peer == left.first]
        self.assertEqual((self.branch_of(heir), heir.notified), (left, 1))
        self.assertEqual(len(other.branches), 1)

    def test_alone(self) -> None:
        """As long as only one is linked no tree is planted; it hears of the update a moment later."""
        self.peers(1, mute=True)
        late = self.peers(MANY - 1, up=False, mute=True)
        self.submit(100)
        self.later(LATER / 2)
        self.assertEqual([(link.notified, link.branches) for link in self.links], [(0, [])])
        self.later(LATER / 2 + WATCH)
        self.assertEqual([(link.notified, link.branches) for link in self.links], [(1, [])])
        for peer in late:
            peer.up = True
        self.later(30)
        self.assertEqual([len(link.branches) for link in self.links[:TREES]], [1] * TREES)
        self.assertEqual(self.links[0].peer, "n0")
