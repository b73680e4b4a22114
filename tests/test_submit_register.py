"""Planning and registering: what cannot work is refused before anything is written (R59-R61, H5)."""

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps.submitting import Plan, Submitter, make_plan, plan_again
from clumpt.errors import (
    BadInput,
    DirectoryRefused,
    DirectoryUnavailable,
    IdentityError,
    NotAllowed,
    NothingMatched,
    Untrusted,
)
from clumpt.model import Action, Group, GroupName, Package, PeerName
from clumpt.order import Order, withdrawal
from clumpt.pieces import Digest, Pieces
from clumpt.testing.keys import Deployment, signer
from clumpt.trust.root import Submitter as Scope
from tests.submitting import Cluster

ORDER = Order(frozenset([GroupName("all")]), Action.REMOVE, "dpkg", targets=("hello",))


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.cluster.add("n1")
        self.cluster.add("n2", "all", "gpu")

    def plan(self, order: Order = ORDER, **changes: Any) -> Plan:
        plan: Plan = self.cluster.wait(make_plan(self.cluster.desk(**changes), order))
        return plan

    def refused(self, kind: type[Exception], work: Deferred[Any], text: str) -> None:
        self.assertIn(text, str(self.assertRaises(kind, self.cluster.wait, work)))
        self.assertEqual(self.cluster.updates().keys(), {one.seq for one in self.cluster.deployment.entries})


class PlanTests(Case):
    """L{make_plan} looks before anybody leaps."""

    def no_plan(self, kind: type[Exception], text: str, order: Order = ORDER, **changes: Any) -> None:
        self.refused(kind, make_plan(self.cluster.desk(**changes), order), text)

    def test_targets(self) -> None:
        """The members of the groups, and the share that the order, the file or the directory says."""
        plan = self.plan()
        self.assertEqual([peer.name for peer in plan.targets], ["n1", "n2"])
        self.assertEqual((plan.percentage, plan.wanted), (50, 1))
        desk = self.cluster.desk()
        desk.config = evolve(desk.config, submit=evolve(desk.config.submit, initial=70))
        self.assertEqual(self.cluster.wait(make_plan(desk, ORDER)).wanted, 2)
        self.assertEqual(self.cluster.wait(make_plan(desk, ORDER, 10)).wanted, 1)

    def test_nobody(self) -> None:
        """Unknown and empty groups are refused."""
        self.no_plan(NothingMatched, "no group al", evolve(ORDER, groups=frozenset([GroupName("al")])))
        self.no_plan(NothingMatched, "nobody is in", evolve(ORDER, groups=frozenset([GroupName("empty")])))

    def test_policy(self) -> None:
        """A group's policy restricts the installers (R11)."""
        self.policy("all", installers=frozenset(["apt"]))
        self.no_plan(NotAllowed, "allows only apt, not dpkg")

    def policy(self, name: str, **fields: frozenset[str]) -> None:
        groups = self.cluster.directory.server.contents.groups
        groups[GroupName(name)] = Group(GroupName(name), **fields)

    def test_policy_packages(self) -> None:
        """What a group refuses is not submitted to its members, whatever group the order names (R11)."""
        package = Package(
            "telnetd", "1", "all", "t.deb", Digest("0" * 64), Pieces(1, 16384, Digest("0" * 64))
        )
        order = evolve(ORDER, action=Action.INSTALL, targets=(), packages=(package,))
        self.policy("gpu", refuses=frozenset(["telnet*"]))
        self.no_plan(
            NotAllowed, "group gpu does not allow telnetd: it refuses telnet*; that holds for n2.", order
        )
        plan = self.plan(evolve(order, exclude=frozenset([PeerName("n2")])))
        self.assertEqual([peer.name for peer in plan.targets], ["n1"])
        # What is to be removed may be.
        self.plan(evolve(ORDER, targets=("telnetd",)))

    def test_architecture(self) -> None:
        """A package that does not fit some node is refused, with the nodes."""
        self.cluster.add("n3", arch="arm64")
        package = Package("p", "1", "amd64", "p.deb", Digest("0" * 64), Pieces(1, 16384, Digest("0" * 64)))
        order = evolve(ORDER, action=Action.INSTALL, targets=(), packages=(package,))
        self.no_plan(BadInput, "p.deb is for amd64, and some nodes are not (n3: arm64)", order)

    def test_old_backup(self) -> None:
        """If a peer knows more than the directory, that is to be repaired first (R13)."""
        self.cluster.report("n1", head=4)
        self.no_plan(DirectoryRefused, "ends at update 0, but n1 knows update 4")

    def test_other_deployment(self) -> None:
        """A directory of another deployment is refused."""
        other = Deployment("other")
        self.no_plan(Untrusted, "", root=other.root_envelope)
        self.cluster.directory.server.contents.roots.clear()
        self.no_plan(IdentityError, "the root document here that of other", root=other.root_envelope)

    def test_no_root(self) -> None:
        """A file that is no root document is named, with the key that says where it is."""
        self.no_plan(BadInput, "root.json is no root document to trust", root=b"{}")

    def test_quorum(self) -> None:
        """Where updates need several signatures, a submitter is told so, and nothing is sent."""
        entry = self.cluster.register()
        deployment = self.cluster.deployment
        root = deployment.root_key.sign_root(deployment.root(version=2, quorum=2))
        self.cluster.directory.server.contents.roots[2] = root
        text = "asks for the signatures of 2 submitters"
        self.no_plan(Untrusted, text)
        order = withdrawal(entry.update, "")
        self.refused(Untrusted, plan_again(self.cluster.desk(), entry.update, order=order), text)

    def test_down(self) -> None:
        """A directory that is down is told as such."""
        self.cluster.directory.server.down = True
        self.no_plan(DirectoryUnavailable, "down")

    def test_least_known(self) -> None:
        """What the slowest target knows, nothing if it never reported."""
        for _ in range(3):
            self.cluster.register()
        self.cluster.report("n1", head=3)
        self.cluster.report("n2", head=2)
        self.assertEqual(self.plan().least_known, 2)
        self.cluster.add("n3", up=False)
        self.assertEqual(self.plan().least_known, 0)

    def test_again(self) -> None:
        """A registered update is for whom it concerns now; its order may name peers that are gone."""
        entry = self.cluster.register(nodes=frozenset([PeerName("n1"), PeerName("gone")]))
        plan = self.cluster.wait(plan_again(self.cluster.desk(), entry.update))
        self.assertEqual([peer.name for peer in plan.targets], ["n1"])
        del self.cluster.directory.server.contents.peers[PeerName("n1")]
        self.refused(NothingMatched, plan_again(self.cluster.desk(), entry.update), "concerns no peer")


class RegisterTests(Case):
    """L{Submitter.register} gives an order the next place in the table, once."""

    def submitter(self, order: Order = ORDER, seed: int = 1, **changes: Any) -> Submitter:
        return Submitter(self.cluster.desk(seed, **changes), self.plan(order))

    def test_first_and_next(self) -> None:
        """Each update follows the one before it in the chain of digests."""
        first = self.cluster.wait(self.submitter().register())
        second = self.cluster.wait(self.submitter(seed=2).register())
        keyring = self.cluster.deployment.keyring()
        self.assertEqual((first.seq, first.update.prev), (1, keyring.origin))
        self.assertEqual((second.seq, second.update.prev), (2, first.digest))
        self.assertEqual(keyring.entry(second.envelope), second)

    def test_race(self) -> None:
        """Of many that submit at the same time each gets a place of its own, and all are one chain (H5)."""
        self.cluster.directory.server.delay = 0.1
        submitters = [self.submitter(seed=seed) for seed in range(8)]
        works = [submitter.register() for submitter in submitters]
        seqs = [self.cluster.wait(work).seq for work in works]
        self.assertEqual(sorted(seqs), [1, 2, 3, 4, 5, 6, 7, 8])
        updates = self.cluster.updates()
        for seq in range(2, 9):
            self.assertEqual(updates[seq].update.prev, updates[seq - 1].digest)

    def test_lost_answer(self) -> None:
        """If the answer is lost it asks again, and registers nothing twice."""
        submitter = self.submitter()
        self.cluster.directory.server.lost_answers = 2
        entry = self.cluster.wait(submitter.register())
        self.assertEqual((list(self.cluster.updates()), entry.seq, submitter.unsure), ([1], 1, None))

    def test_no_answer(self) -> None:
        """If no answer comes at all, it says what may have been registered."""
        submitter = self.submitter()
        self.cluster.directory.server.lost_answers = 1
        work = submitter.register()
        self.cluster.directory.server.down = True
        self.assertRaises(DirectoryUnavailable, self.cluster.wait, work)
        self.assertEqual([submitter.entry, submitter.unsure and submitter.unsure.seq], [None, 1])

    def test_read_only(self) -> None:
        """A refusal is passed on, and leaves no doubt."""
        submitter = self.submitter()
        self.cluster.directory.server.read_only = True
        self.refused(DirectoryRefused, submitter.register(), "takes no changes")
        self.assertIsNone(submitter.unsure)

    def test_wrong_key(self) -> None:
        """What peers would refuse is not registered: a key that may not sign."""
        stranger = signer("stranger")
        self.refused(Untrusted, self.submitter(signer=lambda: stranger).register(), "")

    def test_out_of_scope(self) -> None:
        """What peers would refuse is not registered: a group or a command beyond the key's scope."""
        deployment = self.cluster.deployment
        scope = Scope(deployment.submit_key.keyid, groups=frozenset(["gpu"]))
        root = deployment.root_key.sign_root(deployment.root(submitters=(scope,)))
        self.cluster.directory.server.contents.roots[1] = root
        submitter = Submitter(self.cluster.desk(root=root), self.plan(root=root))
        self.refused(Untrusted, submitter.register(), "may not sign for group all")

    def test_later_root(self) -> None:
        """The keys in force are those of the newest root in the directory."""
        deployment = self.cluster.deployment
        other = signer("other submitter")
        root = deployment.root(
            version=2,
            keys=(deployment.root_key.public("root"), other.public("other")),
            submitters=(Scope(other.keyid),),
        )
        self.cluster.directory.server.contents.roots[2] = deployment.root_key.sign_root(root)
        self.refused(Untrusted, self.submitter().register(), "")
        self.assertEqual(self.cluster.wait(self.submitter(signer=lambda: other).register()).seq, 1)

    def test_bad_head(self) -> None:
        """Nothing is chained to an update that peers would refuse, or that the directory does not give."""
        self.cluster.register()
        submitter = self.submitter()
        updates = self.cluster.directory.server.contents.updates
        good = updates[1]
        updates[1] = evolve(good, envelope=good.envelope.replace(b"payload", b"payloax", 1))
        self.refused(DirectoryRefused, submitter.register(), "does not give update 1")
        forged = signer("forger").sign_update(good.update)
        updates[1] = forged
        self.refused(Untrusted, self.submitter().register(), "update 1 in the directory is not good")

    def test_unknown_updates(self) -> None:
        """An order that speaks of updates that are not there is refused."""
        submitter = self.submitter(evolve(ORDER, requires=(3,)))
        self.refused(BadInput, submitter.register(), "there is no update 3 yet; the newest is 0")
