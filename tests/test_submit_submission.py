"""The first peers are told and served until enough of them have received (R62-R64, H8)."""

from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.errand import Errand, Seeded, share
from clumpt.agent.submission import STALLED
from clumpt.apps.submitting import Plan, Submitter, make_plan, submit
from clumpt.errors import BadDocument, BadInput, IdentityError, Untrusted
from clumpt.idset import IdSet
from clumpt.model import Action, Package, PeerName
from clumpt.order import Order
from clumpt.pieces import NONE, Bits, Digest, Pieces, Round, digest_of, piece_size
from clumpt.store.offered import Offered
from tests.submitting import Cluster, FakeLink, FakePeer, package_file
from tests.test_job import entry


class ShareTests(SynchronousTestCase):
    """How many are told first."""

    def test_share(self) -> None:
        """The percentage, rounded up, at least one, at most all."""
        for peers, percentage, wanted in (
            (20, 20, 4),
            (1, 20, 1),
            (3, 34, 2),
            (7, 100, 7),
            (1000, 1, 10),
            (9, 0, 1),
        ):
            self.assertEqual(share(peers, percentage), wanted)


class ToldTests(SynchronousTestCase):
    """Who is told besides those who must receive."""

    def errand(self, size: int, wanted: int) -> Errand:
        """An errand with one package of C{size} bytes."""
        pieces = Pieces(size, piece_size(size), Digest("0" * 64))
        package = Package("a", "1", "all", "a.deb", Digest("1" * 64), pieces)
        one = entry(1)
        return Errand([evolve(one, update=evolve(one.update, packages=(package,)))], {}, {}, wanted)

    def test_large(self) -> None:
        """A large package does not depend on one peer; of a small one no copy more is sent than wanted."""
        self.assertEqual([self.errand(size, 1).told for size in (1_000, 1_000_000)], [1, 2])
        self.assertEqual(self.errand(1_000_000, 5).told, 5)


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
        self.assertEqual(self.offered.held(self.package), Bits(), "the files are let go")
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

    def test_silent(self) -> None:
        """Of whoever lets it ring nobody waits for the end: another one is dialled beside (H8)."""
        self.peers(9, up=False, rings=60.0)
        self.peers(1)
        found = self.seeded(self.plan(1))
        self.assertEqual(found.received, {"n10"})
        self.assertLess(self.cluster.clock.seconds(), 20)

    def test_stranger_before(self) -> None:
        """Who comes and leaves before anything is to be brought does not end it."""
        self.peers(2)
        submitter = Submitter(self.cluster.desk(), self.plan(), self.offered)
        self.cluster.wait(submitter.open())
        network = self.cluster.networks[-1]
        network.events.unlinked(FakeLink(network, FakePeer(PeerName("stranger")), 0))
        entry = self.cluster.wait(submitter.register())
        seeded = self.cluster.wait(submitter.seed(entry, 60.0))
        self.assertEqual(len(seeded.received), 1)
        self.cluster.wait(submitter.close())

    def test_began(self) -> None:
        """When the first peer was notified is known: dialling does not count."""
        self.peers(1, up=False)
        self.peers(2)
        submitter = Submitter(self.cluster.desk(), self.plan(100), self.offered)
        self.assertIsNone(submitter.began)
        self.cluster.wait(submitter.open())
        entry = self.cluster.wait(submitter.register())
        at = self.cluster.clock.seconds()
        self.assertIsNone(submitter.began)
        self.cluster.wait(submitter.seed(entry, 60.0))
        began = submitter.began
        assert began is not None
        self.assertTrue(at < began <= at + 0.2, (at, began))
        self.cluster.wait(submitter.close())

    def test_answers_late(self) -> None:
        """Who answers after all counts, if no other could take its place; it is not dialled twice."""
        [late] = self.peers(1, up=False, rings=60.0)
        work = submit(self.cluster.desk(), self.plan(), self.offered, 600.0)
        self.later(work, 50)
        late.up = True
        self.assertEqual(self.cluster.wait(work).seeded, Seeded(frozenset([late.name])))
        self.assertLess(self.cluster.clock.seconds(), 65)
        self.assertEqual(self.cluster.dialled, [late.name])

    def test_all_dead(self) -> None:
        """If nobody answers, it tries again until the deadline: nobody else has the package."""
        self.peers(3, up=False)
        found = self.seeded(self.plan(), within=100.0)
        self.assertEqual(found.received, set())
        self.assertEqual(int(self.cluster.clock.seconds()), 100)

    def test_back_in_time(self) -> None:
        """Who answers after all is told."""
        [late] = self.peers(1, up=False)
        work = submit(self.cluster.desk(), self.plan(), self.offered, 600.0)
        self.later(work, 100)
        late.up = True
        self.assertEqual(self.cluster.wait(work).seeded, Seeded(frozenset([late.name])))

    def test_some_dead(self) -> None:
        """If some have received and the others stay away, it does not wait for the deadline."""
        self.peers(1)
        self.peers(3, up=False)
        found = self.seeded(self.plan(100))
        self.assertEqual((found.received, found.unreachable), ({"n1"}, {"n2", "n3", "n4"}))
        self.assertLess(self.cluster.clock.seconds(), 60)

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

    def test_only_talks(self) -> None:
        """Whoever says the same again and again, and takes nothing, is replaced as well."""
        talkers = {peer.name for peer in self.peers(3, mute=True)}
        self.peers(1)
        work = submit(self.cluster.desk(), self.plan(1), self.offered, 600.0)
        clock, links = self.cluster.clock, self.cluster.networks[-1].open
        pieces = self.package.pieces.count
        while not work.called and clock.seconds() < 4 * (STALLED + 10):
            for name in talkers & set(links):
                events = self.cluster.networks[-1].events
                events.notified(links[name], [], [], 0)
                events.table_wanted(links[name], IdSet())
                events.holding_told(links[name], self.package.sha256, Bits().encode(pieces))
            clock.pump([0.1] * 20)
        self.assertEqual(self.successResultOf(work).seeded.received, {"n4"})

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

    def begun(self, percentage: int = 100, **manners: Any) -> tuple[Deferred[Any], Any, FakeLink]:
        """A submission to one peer that was told, and what it hears from the wires."""
        self.peers(1, **manners)
        work = submit(self.cluster.desk(), self.plan(percentage), self.offered, 60.0)
        self.later(work, 1)
        self.addCleanup(self.cancel, work)
        network = self.cluster.networks[-1]
        return work, network.events, network.open[PeerName("n1")]

    def cancel(self, work: Deferred[Any]) -> None:
        work.addErrback(lambda failure: failure.trap(CancelledError))
        work.cancel()

    def test_whole_from_elsewhere(self) -> None:
        """A peer that says that it holds all pieces has received, whoever gave them."""
        work, events, link = self.begun(idle=True)
        count = self.package.pieces.count
        events.holding_told(link, self.package.sha256, Bits().with_bit(0).encode(count))
        for index in range(count + 1):
            events.have_told(link, self.package.sha256, Bits(1 << index), NONE)
        events.holding_told(link, digest_of(b"another"), b"")
        events.have_told(link, digest_of(b"another"), Bits(1), NONE)
        self.assertNoResult(work)
        events.holding_told(link, self.package.sha256, Bits.full(count).encode(count))
        self.assertEqual(self.cluster.wait(work).seeded.received, {"n1"})

    def test_holding_is_not_knowing(self) -> None:
        """A peer that holds the package has not received until it knows the update."""
        work, events, link = self.begun(mute=True)
        events.notified(link, [], [1], 0)
        self.assertNoResult(work)
        events.acked(link, 1)
        self.assertEqual(self.cluster.wait(work).seeded.received, {"n1"})

    def test_bad_pieces(self) -> None:
        """Who says that it holds pieces which the package has not, broke the rules."""
        _, events, link = self.begun(idle=True)
        self.assertRaises(BadDocument, events.holding_told, link, self.package.sha256, b"")

    def test_offers(self) -> None:
        """Who wants pieces and does not ask to be fed is offered them, and hears so; none are taken."""
        work, events, link = self.begun(idle=True)
        events.holding_told(link, self.package.sha256, Bits().encode(self.package.pieces.count))
        self.assertEqual((link.offers, link.words), ([], []))
        self.later(work, 2)
        self.assertNotEqual(link.offers, [])
        self.assertEqual(link.words, [Round.OVER])
        before = len(link.offers)
        for digest, index in list(link.offers):
            events.declined(link, digest, index)
        self.later(work, 1)
        events.drained(link)
        self.assertGreater(len(link.offers), before)
        events.offered(link, self.package.sha256, 3)
        self.assertEqual(link.declines, [(self.package.sha256, 3)])

    def test_older_link(self) -> None:
        """That an older link to a peer ended does not matter."""
        work, events, link = self.begun(idle=True)
        events.unlinked(FakeLink(link.network, link.far, 0))
        self.assertNoResult(work)
        events.notified(link, [], [1], 1)
        self.assertEqual(self.cluster.wait(work).seeded, Seeded(frozenset(["n1"])))

    def test_odd_dial(self) -> None:
        """A dial that fails for a reason of its own is logged, and the peer replaced."""
        self.peers(1, odd=True)
        self.peers(1)
        self.assertEqual(self.seeded(self.plan(1)).received, {"n2"})
        logged = self.flushLoggedErrors()
        self.assertEqual(logged, [])

    def test_no_earlier(self) -> None:
        """If earlier updates cannot be read now, the new one is brought all the same."""
        self.cluster.register()
        self.peers(1, head=1)
        self.cluster.report("n1", head=0)
        plan = self.plan()
        submitter = Submitter(self.cluster.desk(), plan, self.offered)
        self.cluster.wait(submitter.open())
        entry = self.cluster.wait(submitter.register())
        submitter = Submitter(self.cluster.desk(), plan, self.offered)
        self.cluster.wait(submitter.open())
        self.cluster.directory.server.down = True
        seeded = self.cluster.wait(submitter.seed(entry, 60.0))
        self.assertEqual(seeded.received, {"n1"})
        self.assertIn("earlier updates cannot be given along", self.cluster.said())
        self.cluster.wait(submitter.close())

    def test_rate(self) -> None:
        """The upload limit of the configuration holds for a submitter too."""
        self.peers(1)
        desk = self.cluster.desk()
        desk.config = evolve(desk.config, limits=evolve(desk.config.limits, upload=20_000))
        self.cluster.wait(submit(desk, self.plan(), self.offered, 600.0))
        self.assertGreater(self.cluster.clock.seconds(), 15)

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
