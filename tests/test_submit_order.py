"""From what an administrator names to whom an order is for (R58, R61); pure."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadInput, NothingMatched
from clumpt.install.packages import fits
from clumpt.model import Action, GroupName, Package, Peer, PeerName
from clumpt.order import Order, Place, again, withdrawal
from clumpt.pieces import Digest, Pieces, digest_of
from clumpt.targets import Selection, choose, concerned, misfits
from clumpt.testing.keys import Deployment

PLACE = Place("test", 3, digest_of(b"2"), "me-1", 1_700_000_000)
ORDER = Order(frozenset([GroupName("all")]), Action.INSTALL, "dpkg")
GROUPS = ("all", "gpu", "empty")


def peer(name: str, *groups: str, arch: str = "") -> Peer:
    return Peer(PeerName(name), (), frozenset(map(GroupName, groups)), b"", arch=arch)


PEERS = [peer("n1", "all"), peer("n2", "all", "gpu"), peer("n3", "gpu"), peer("tool")]


def named(*groups: str, nodes: str = "", exclude: str = "") -> Selection:
    return Selection(
        frozenset(map(GroupName, groups)),
        frozenset(map(PeerName, nodes.split())),
        frozenset(map(PeerName, exclude.split())),
    )


def chosen(selection: Selection) -> list[str]:
    return [one.name for one in choose(selection, PEERS, GROUPS)]


class TargetTests(SynchronousTestCase):
    """L{choose} finds whom the administrator means, or says what is wrong."""

    def test_groups(self) -> None:
        """Members of any of the groups, by name."""
        self.assertEqual(chosen(named("all", "gpu")), ["n1", "n2", "n3"])
        self.assertEqual(chosen(named("gpu", "empty")), ["n2", "n3"])

    def test_nodes(self) -> None:
        """Only, or not, these."""
        self.assertEqual(chosen(named("all", nodes="n2")), ["n2"])
        self.assertEqual(chosen(named("all", "gpu", exclude="n2")), ["n1", "n3"])

    def test_nothing(self) -> None:
        """What is not there is named, with what may have been meant."""
        for selection, text in (
            (named("al"), "no group al (did you mean all?)"),
            (named("empty"), "nobody is in empty"),
            (named("all", nodes="n9"), "no peer n9"),
            (named("all", exclude="n7 n8"), "no peer n7, n8"),
            (named("all", nodes="n3"), "n3: not in all"),
            (named("all", exclude="n1 n2"), "no peer of all is left"),
        ):
            self.assertIn(text, str(self.assertRaises(NothingMatched, chosen, selection)))

    @given(
        st.frozensets(st.sampled_from(GROUPS), min_size=1),
        st.frozensets(st.sampled_from(["n1", "n2", "n3"])),
        st.frozensets(st.sampled_from(["n1", "n2", "n3"])),
    )
    def test_as_peers_judge(self, groups: set[str], nodes: set[str], exclude: set[str]) -> None:
        """Whoever is chosen is who will find that the update concerns it."""
        selection = named(*groups, nodes=" ".join(nodes), exclude=" ".join(exclude))
        order = evolve(ORDER, groups=selection.groups, nodes=selection.nodes, exclude=selection.exclude)
        try:
            found = chosen(selection)
        except NothingMatched:
            return
        self.assertEqual(found, [one.name for one in concerned(order.at(PLACE), PEERS)])

    def test_misfits(self) -> None:
        """A package for another architecture is told with the nodes; unknown ones fit, and synonyms do."""
        package = Package("p", "1", "amd64", "p.deb", Digest("0" * 64), Pieces(1, 16384, Digest("0" * 64)))
        peers = [peer("n1", arch="x86_64"), peer("n2", arch="arm64"), peer("n3"), peer("n4", arch="arm64")]
        self.assertEqual(misfits([package], peers, fits), {package: {"arm64": ["n2", "n4"]}})
        self.assertEqual(misfits([evolve(package, arch="all")], peers, fits), {})


class OrderTests(SynchronousTestCase):
    """An order is an update but for its place."""

    def test_place(self) -> None:
        """The place and the order make the update."""
        made = ORDER.at(PLACE)
        self.assertEqual((made.seq, made.prev, made.submit_id), (3, PLACE.prev, "me-1"))
        self.assertEqual((made.groups, made.installer), (ORDER.groups, "dpkg"))

    def test_only_of_earlier(self) -> None:
        """It cannot speak of updates that do not come before it."""
        for order in (
            evolve(ORDER, requires=(1, 3)),
            evolve(ORDER, withdraws=(9,)),
            evolve(ORDER, retries=3),
        ):
            self.assertIn("the newest is 2", str(self.assertRaises(BadInput, order.at, PLACE)))

    def test_words(self) -> None:
        """What no update can say is refused in one line."""
        wrong = self.assertRaises(BadInput, evolve(ORDER, why="two\nlines").at, PLACE)
        self.assertIn("why holds a control character", str(wrong))
        wrong = self.assertRaises(BadInput, evolve(ORDER, installer="rm -rf").at, PLACE)
        self.assertNotIn("\n", str(wrong))

    def test_again(self) -> None:
        """A retry does the same where it failed; a withdrawal concerns exactly those whom the update does."""
        update = Deployment().update(
            exclude=frozenset([PeerName("n1")]), argv=("--force-confnew",), timeout=5, requires=()
        )
        retry = again(update, frozenset([PeerName("n2")]), "because").at(PLACE)
        self.assertEqual((retry.retries, retry.nodes, retry.argv), (update.seq, {"n2"}, update.argv))
        gone = withdrawal(update, "").at(PLACE)
        self.assertEqual((gone.withdraws, gone.packages, gone.argv), ((update.seq,), (), ()))
        for one in PEERS:
            self.assertEqual(gone.concerns(one.name, one.groups), update.concerns(one.name, one.groups))
