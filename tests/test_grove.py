"""The branches that begin with this peer: who is above and below it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.grove import EARLY, MOST_TURNS, NAMES, Grove
from clumpt.agent.known import REMEMBERED, Known
from clumpt.errors import BadDocument
from clumpt.model import Package, PeerName
from clumpt.pieces import NONE, Bits, Digest, Round
from clumpt.trees import TREES, Branch
from tests.test_feeding import PACKAGE
from tests.test_offers import COUNT, A, B

ME = PeerName("me")


def branch(tree: int = 0, first: PeerName = ME, last: str = "n5") -> Branch:
    """What begins with somebody, who passes on to two others, each with some below."""
    return Branch(tree, 3, (first, *(PeerName(f"n{number}") for number in range(5)), PeerName(last)))


class GroveTests(SynchronousTestCase):
    """Two linked peers pass on a package."""

    def setUp(self) -> None:
        #: What was said, recorded and passed on, in order.
        self.done: list[Any] = []
        self.links = {peer: self.link(peer) for peer in (A, B)}
        self.known = {peer: Known(link) for peer, link in self.links.items()}
        self.packages: dict[Digest, Package] = {PACKAGE.sha256: PACKAGE}
        self.held, self.wants = NONE, True
        self.feeds = SimpleNamespace(
            choosy=False, modest=False, stand_aside=lambda digest: self.done.append(("aside", digest))
        )
        push = SimpleNamespace(grow=lambda package, part: self.done.append(("below", package, part)))
        server: Any = SimpleNamespace(
            package=lambda digest: self.packages.get(digest),
            held=lambda package: self.held,
            uplink=SimpleNamespace(feeder=SimpleNamespace(push=push)),
        )
        fetcher: Any = SimpleNamespace(wants=lambda digest: self.wants, branched=self.above, feeds=self.feeds)
        self.grove = Grove(ME, self.known, server, fetcher, self.show)

    def link(self, peer: PeerName) -> Any:
        return SimpleNamespace(
            peer=peer, feed=lambda digest, word, size: self.done.append((peer, digest, word))
        )

    def show(self, peer: PeerName, package: Package) -> None:
        self.done.append(("shown", peer, package))

    def above(self, peer: PeerName, digest: Digest, tree: int) -> None:
        self.done.append(("above", peer, digest))

    def hear(self, peer: PeerName = A, branch: Branch = branch()) -> None:  # noqa: B008 - it is frozen
        self.grove.branched(self.links[peer], PACKAGE.sha256, branch)

    def taken(self, peer: PeerName, branch: Branch) -> list[Any]:
        """What is done about a branch of a package that is on its way."""
        below = [("below", PACKAGE, part) for part in branch.below()]
        return [("above", peer, PACKAGE.sha256), *below]

    def test_on_its_way(self) -> None:
        """Who is above is known from then on, and each part below is given to somebody."""
        self.hear()
        self.assertEqual(self.done, self.taken(A, branch()))
        self.assertEqual(len(self.done), 1 + TREES)

    def test_again(self) -> None:
        """Who is above may change; but what is below is not told twice."""
        self.hear()
        self.done.clear()
        self.hear(B)
        self.assertEqual(self.done, [("above", B, PACKAGE.sha256)])

    def test_not_ours(self) -> None:
        """It is wrong to tell us what begins with another one, of whatever package."""
        wrong = branch(first=PeerName("n9"))
        for package in (PACKAGE, evolve(PACKAGE, sha256=Digest("2" * 64))):
            self.assertRaises(BadDocument, self.grove.branched, self.links[A], package.sha256, wrong)
            self.grove.begun(package)
        self.assertEqual(self.done, [])

    def test_before_update(self) -> None:
        """What is told of a package whose update is on its way is taken once that arrives, both trees."""
        self.packages.clear()
        for peer, tree in ((A, 0), (B, 1)):
            self.hear(peer, branch(tree))
        self.assertEqual(self.done, [])
        self.packages[PACKAGE.sha256] = PACKAGE
        self.grove.begun(PACKAGE)
        self.assertEqual(self.done, self.taken(A, branch(0)) + self.taken(B, branch(1)))
        self.done.clear()
        self.grove.begun(PACKAGE)
        self.assertEqual(self.done, [], "once")

    def test_before_arrival(self) -> None:
        """So is what is told of a package that is not wanted here yet; the newest counts."""
        self.wants = False
        for peer in (A, B):
            self.hear(peer)
        self.wants = True
        self.grove.begun(PACKAGE)
        self.assertEqual(self.done, self.taken(B, branch()))

    def test_gone_before(self) -> None:
        """Who is not linked any more when a package begins to arrive pushes nothing."""
        self.wants = False
        self.hear()
        del self.known[A]
        self.wants = True
        self.grove.begun(PACKAGE)
        self.assertEqual(self.done, [])

    def test_many_before(self) -> None:
        """A bounded number is kept, of which the oldest is forgotten."""
        packages = [evolve(PACKAGE, sha256=Digest(f"{number:064x}")) for number in range(EARLY + 1)]
        for package in packages:
            self.grove.branched(self.links[A], package.sha256, branch())
        for package in packages:
            self.grove.begun(package)
        above = [digest for what, _, digest in self.done if what == "above"]
        self.assertEqual(above, [package.sha256 for package in packages[1:]])

    def test_long_before(self) -> None:
        """Nor are more names kept than there may be in two branches, whoever sends long ones."""
        long = Branch(0, 1, (ME, *(PeerName(f"n{number}") for number in range(NAMES // 2 - 1))))
        packages = [evolve(PACKAGE, sha256=Digest(f"{number:064x}")) for number in range(3)]
        for package in packages:
            self.grove.branched(self.links[A], package.sha256, long)
        for package in packages:
            self.grove.begun(package)
        above = [digest for what, _, digest in self.done if what == "above"]
        self.assertEqual(above, [package.sha256 for package in packages[1:]])

    def test_whole(self) -> None:
        """Who has all of it shows that, so that nothing is sent, and passes it on none the less."""
        self.held, self.wants = Bits.full(PACKAGE.pieces.count), False
        self.hear()
        below = [("below", PACKAGE, part) for part in branch().below()]
        self.assertEqual(self.done, [("shown", A, PACKAGE), (A, PACKAGE.sha256, Round.WANTED), *below])

    def test_whole_again(self) -> None:
        """Nor is it told twice what is below one who has all of it."""
        self.held, self.wants = Bits.full(PACKAGE.pieces.count), False
        self.hear()
        self.done.clear()
        self.hear(B)
        self.assertEqual(self.done, [("shown", B, PACKAGE), (B, PACKAGE.sha256, Round.WANTED)])

    def test_stands_aside(self) -> None:
        """Who does not pass on at once says so, whatever it has, and does not wait for it to come round."""
        for reason in ("choosy", "modest"):
            for self.held, self.wants in ((NONE, True), (NONE, False), (Bits.full(COUNT), False)):
                setattr(self.feeds, reason, True)
                self.done.clear()
                self.hear()
                self.assertEqual(self.done, [(A, PACKAGE.sha256, Round.ENOUGH), ("aside", PACKAGE.sha256)])
                setattr(self.feeds, reason, False)

    def test_endless(self) -> None:
        """Nobody can make us dial for ever; of other packages branches are taken as before."""
        self.held, self.wants = Bits.full(PACKAGE.pieces.count), False
        for number in range(2 * MOST_TURNS):
            self.hear(A, branch(number % TREES, last=f"m{number}"))
        below = [words for words in self.done if words[0] == "below"]
        self.assertEqual(len(below), 2 * MOST_TURNS * TREES)
        self.done.clear()
        self.hear(A, branch(0, last="z"))
        self.assertEqual(self.done, [(A, PACKAGE.sha256, Round.ENOUGH)])
        for number in range(REMEMBERED):
            package = evolve(PACKAGE, sha256=Digest(f"{number:064x}"))
            self.packages[package.sha256] = package
            self.grove.branched(self.links[A], package.sha256, branch())
        self.done.clear()
        self.hear()
        self.assertNotEqual(self.done, [(A, PACKAGE.sha256, Round.ENOUGH)])
