"""The first peers are told and served until enough of them have received (R62-R64, H8)."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.submission import STALLED, Seeded, share
from clumpt.apps.submitting import Plan, Submitter, make_plan, submit
from clumpt.errors import BadInput, IdentityError, Untrusted
from clumpt.model import Action, Package, PeerName
from clumpt.order import Order
from clumpt.pieces import digest_of
from clumpt.store.offered import Offered
from tests.submitting import Cluster, FakePeer, package_file


class ShareTests(SynchronousTestCase):
    """How many are told first."""

    def test_share(self) -> None:
        """The percentage, rounded up, at least one, at most all."""
        for peers, percentage, wanted in ((20, 20, 4), (1, 20, 1), (3, 34, 2), (7, 100, 7), (1000, 1, 10)):
            self.assertEqual(share(peers, percentage), wanted)


class SubmissionTests(SynchronousTestCase):
    """A whole submission over links in memory."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.offered = Offered()
        self.addCleanup(self.offered.withdraw)
        digest, pieces = self.offered.offer(package_file(self.mktemp()))
        self.package = Package("tool", "1.0", "all", "tool-1.0.tar", digest, pieces)

    def peers(self, count: int, **manners: Any) -> list[FakePeer]:
        first = len(self.cluster.peers) + 1
        return [self.cluster.add(f"n{number}", **manners) for number in range(first, first + count)]

    def plan(self, percentage: int = 50, **fields: Any) -> Plan:
        order = Order(
            **{
                "groups": frozenset(["all"]),
                "action": Action.INSTALL,
                "installer": "tar",
                "packages": (self.package,),
                **fields,
            }
        )
        plan: Plan = self.cluster.wait(make_plan(self.cluster.desk(), order, percentage))
        return plan

    def seeded(self, plan: Plan, within: float = 600.0) -> Seeded:
        result = self.cluster.wait(submit(self.cluster.desk(), plan, self.offered, within))
        self.assertIn(result.entry.seq, self.cluster.updates())
        self.assertFalse(self.cluster.networks[-1].running)
        return result.seeded

    def test_enough(self) -> None:
        """It ends as soon as the wanted share has everything, and no other peer was told."""
        self.peers(4)
        found = self.seeded(self.plan())
        self.assertEqual(len(found.received), 2)
        self.assertEqual(set(self.cluster.dialled), found.received)
        self.assertTrue(self.cluster.networks[-1].listening)
        for name in found.received:
            self.assertEqual(self.cluster.peers[name].holds, {self.package.sha256})

    def test_dead(self) -> None:
        """Whoever does not answer is replaced until enough have received."""
        self.peers(5, up=False)
        self.peers(3)
        found = self.seeded(self.plan(30))
        self.assertEqual(found.received, {"n6", "n7", "n8"})
        self.assertLess(self.cluster.clock.seconds(), 30)

    def test_all_dead(self) -> None:
        """If nobody answers, it ends at once, and says so."""
        self.peers(3, up=False)
        found = self.seeded(self.plan())
        self.assertEqual((found.received, len(found.unreachable)), (set(), 3))
        self.assertLess(self.cluster.clock.seconds(), 30)

    def test_leaves(self) -> None:
        """Whoever hangs up is replaced."""
        self.peers(3, leaves=True)
        self.peers(1)
        found = self.seeded(self.plan(1))
        self.assertEqual(found.received, {"n4"})

    def test_stalled(self) -> None:
        """Whoever makes no progress is replaced: told and silent, or with the update only."""
        for manners in ({"mute": True}, {"idle": True}):
            self.setUp()
            self.peers(3, **manners)
            self.peers(1)
            found = self.seeded(self.plan(1))
            self.assertEqual(found.received, {"n4"})
            self.assertLess(self.cluster.clock.seconds(), 4 * (STALLED + 10))

    def test_slow_in_the_end(self) -> None:
        """A slow peer that receives after all counts, if no other could take its place."""
        [slow] = self.peers(1, mute=True)
        work = submit(self.cluster.desk(), self.plan(), self.offered, 600.0)
        self.later(work, 2 * STALLED)
        link = self.cluster.networks[-1].open[slow.name]
        slow.mute = False
        link.notify(list(self.cluster.updates().values()), [1])
        self.assertEqual(self.cluster.wait(work).seeded, Seeded(frozenset([slow.name])))

    def later(self, work: Deferred[Any], seconds: float) -> None:
        self.cluster.clock.pump([0.1] * int(seconds * 10))
        self.assertNoResult(work)

    def test_deadline(self) -> None:
        """At the deadline it gives up with what was reached."""
        self.peers(1)
        self.peers(1, mute=True)
        found = self.seeded(self.plan(100), within=100.0)
        self.assertEqual((found.received, found.slow), ({"n1"}, {"n2"}))
        self.assertLess(self.cluster.clock.seconds(), 110)

    def test_has_it_already(self) -> None:
        """A peer that held the package before is asked, and counts without fetching."""
        self.peers(1, holds={self.package.sha256})
        self.assertEqual(self.seeded(self.plan(), within=20.0).received, {"n1"})

    def test_lacks_earlier(self) -> None:
        """A peer that lacks earlier updates gets them, too."""
        for _ in range(5):
            self.cluster.register()
        self.peers(1)
        self.peers(1, head=3)
        self.cluster.report("n2", head=3, settled=3)
        self.assertEqual(self.seeded(self.plan(100)).received, {"n1", "n2"})
        self.assertEqual(sorted(self.cluster.peers[PeerName("n1")].entries), [1, 2, 3, 4, 5, 6])
        self.assertEqual(sorted(self.cluster.peers[PeerName("n2")].entries), [4, 5, 6])

    def test_no_package(self) -> None:
        """Without packages of ours, knowing the update is all that is needed."""
        self.peers(2)
        plan = self.plan(packages=(), action=Action.REMOVE, targets=("tool",))
        self.assertEqual(len(self.seeded(plan).received), 1)

    def test_not_ours(self) -> None:
        """Packages that peers hold and we do not are not waited for, and not promised."""
        self.peers(1)
        self.offered.withdraw()
        self.assertEqual(self.seeded(self.plan(retries=0)).received, {"n1"})
        self.assertEqual(self.cluster.peers[PeerName("n1")].holds, set())

    def test_cannot_listen(self) -> None:
        """If nobody could be served, nothing is registered."""
        self.peers(1)
        plan = self.plan()
        self.cluster.port_taken = True
        work = submit(self.cluster.desk(), plan, self.offered, 60.0)
        self.assertRaises(BadInput, self.cluster.wait, work)
        self.assertEqual(self.cluster.updates(), {})

    def test_stranger(self) -> None:
        """A tool that is not enrolled registers nothing."""
        self.peers(1)
        plan = self.plan()
        work = submit(self.cluster.desk(name=PeerName("somebody")), plan, self.offered, 60.0)
        self.assertRaises(IdentityError, self.cluster.wait, work)
        self.assertEqual(self.cluster.updates(), {})

    def test_admission(self) -> None:
        """Peers are judged by their statements, as peers do among themselves."""
        self.peers(1)
        submitter = Submitter(self.cluster.desk(), self.plan(), self.offered)
        self.cluster.wait(submitter.open())
        admit = self.cluster.networks[-1].events.admit
        statement = self.cluster.deployment.member("n1")
        admit(PeerName("n1"), digest_of(b"n1"), statement)
        self.assertRaises(Untrusted, admit, PeerName("n2"), digest_of(b"n1"), statement)
        self.assertRaises(Untrusted, admit, PeerName("n1"), digest_of(b"n2"), statement)
        self.cluster.wait(submitter.close())
