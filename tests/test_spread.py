"""What a peer tells the others about packages."""

from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.fetch import Fetcher
from clumpt.agent.gossip import Gossip
from clumpt.agent.holdings import SELDOM, TELL
from clumpt.agent.job import Agenda
from clumpt.agent.news import GATHER, SOON, TOLD
from clumpt.agent.ringed import BEHIND
from clumpt.agent.serve import Server
from clumpt.agent.spread import Spread
from clumpt.interfaces import ILink
from clumpt.model import PeerName, Seq
from clumpt.pieces import Bits, Round
from tests.test_job import entry


class Link:
    """Notes which updates' packages are said to be here."""

    def __init__(self, peer: str) -> None:
        self.peer = PeerName(peer)
        self.said: list[Seq] = []
        self.news: list[int] = []
        self.held: list[Bits] = []
        self.heard: list[list[int]] = []
        self.words: list[Round] = []

    def feed(self, digest: str, word: Round, size: int) -> None:
        self.words.append(word)

    def holding(self, digest: str, count: int, bits: Bits) -> None:
        self.held.append(bits)

    def have(self, digest: str, held: Bits, coming: Bits) -> None:
        self.heard.append([*held])

    def notify(self, news: Any, holding: Any) -> None:
        self.said += holding
        self.news.append(len(news))


class SpreadTests(SynchronousTestCase):
    """A peer that holds the package of update 1."""

    def setUp(self) -> None:
        self.update = entry(1)
        self.package = self.update.update.packages[0]
        self.whole = Bits.full(self.package.pieces.count)
        self.seen: list[tuple[Any, ...]] = []
        uplink = SimpleNamespace(saw=lambda *words: self.seen.append(words), feeder=None)
        self.known = {self.package.sha256: self.package}
        rooms = SimpleNamespace(
            held=lambda package: self.whole,
            know=lambda package: None,
            package=lambda digest: self.known.get(digest),
            uplink=uplink,
            goes_round=lambda link, digest, word: self.fed.append((link.peer, digest, word)),
        )
        self.fed: list[tuple[Any, ...]] = []
        server = cast(Server, rooms)
        self.needed: list[Any] = []
        fetching = SimpleNamespace(
            learn=lambda *words: None,
            want=lambda packages: self.needed,
            wants=lambda digest: bool(self.needed),
            arriving=self.needed,
            starving=self.needed,
            busy=False,
            begun=lambda package: None,
            feeds=SimpleNamespace(
                feeders=lambda digest: (), end=lambda digest: None, pushes=lambda digest: False
            ),
        )
        fetcher = cast(Fetcher, fetching)
        self.clock = Clock()
        self.spread = Spread(
            self.clock,
            Agenda(PeerName("me")),
            Gossip(),
            server,
            fetcher,
            lambda seq: self.update,
            lambda peer: peer == "desk",
            lambda: None,
            lambda entry, lacking: lacking,
            lambda entry, peers: list(peers),
        )

    def links(self, *heads: int) -> list[Link]:
        """Open links to peers that know this much."""
        links = [Link(f"peer{number}") for number in range(len(heads))]
        for link, head in zip(links, heads, strict=True):
            self.spread.linked(cast(ILink, link), head, [])
        return links

    def test_whoever_gave_it(self) -> None:
        """Who holds a package already is told as well, but has time: it may keep the last copy else."""
        links = self.links(1, 1)
        self.spread.notified(links[0].peer, [1], [1])
        for link in links:
            link.said.clear()
        self.spread.servable([1])
        self.clock.advance(GATHER)
        self.assertEqual([link.said for link in links], [[1], [1]])

    def test_who_has_time(self) -> None:
        """Of two peers, whom others told of the update, the one that lacks the package is told first."""
        holder, other = self.links(1, 1)
        whole, self.whole = self.whole, Bits()
        self.spread.notified(holder.peer, [1], [1])
        self.whole = whole
        self.spread.servable([1])
        self.assertEqual((holder.said, other.said), ([], []))
        self.clock.advance(SOON)
        self.assertEqual((holder.said, other.said), ([], [1]))
        self.clock.advance(GATHER)
        self.assertEqual((holder.said, other.said), ([1], [1]))

    def test_submitter(self) -> None:
        """A submitter is told at once: it waits for that (R64)."""
        desk = Link("desk")
        self.spread.linked(cast(ILink, desk), 1, [])
        whole, self.whole = self.whole, Bits()
        self.spread.notified(desk.peer, [1], [1])
        self.whole = whole
        self.spread.servable([1])
        self.assertEqual(desk.said, [1])

    def test_with_the_next(self) -> None:
        """What has time is told with what is new, if that comes first."""
        (holder,) = self.links(0)
        self.spread.notified(holder.peer, (), [1])
        self.assertEqual(holder.said, [])
        self.spread.joined([self.update], True)
        self.assertEqual(holder.said, [1])
        self.clock.advance(GATHER)
        self.assertEqual(holder.said, [1])

    def test_nothing_more_to_offer(self) -> None:
        """A peer that says that it holds a package is not offered any more of it."""
        links = self.links(1, 1)
        self.spread.notified(links[1].peer, [1], [1])
        self.assertEqual(self.seen, [("peer1", self.package, self.whole)])

    def test_much_is_asked_for(self) -> None:
        """Of what a new neighbour lacks little is told; much it asks of one, and hears only what is here."""
        for many in (TOLD, TOLD + 1):
            link = Link("peer")
            self.spread.linked(cast(ILink, link), 0, [entry(seq) for seq in range(1, many + 1)])
            self.assertEqual(link.news, [many if many == TOLD else 0])

    def test_here_before(self) -> None:
        """A package that was here before its update came is told, also to who knew the update first."""
        links = self.links(1, 0)
        self.spread.joined([self.update], True)
        self.assertEqual([link.said for link in links], [[], [1]])
        self.clock.advance(SOON)
        self.assertEqual([link.said for link in links], [[1], [1]])

    def test_lost(self) -> None:
        """Who was told that a package is here is told when it was lost: or it would go on asking for it."""
        (link,) = self.links(1)
        nothing = Bits()
        self.spread.holding_told(cast(ILink, link), self.package.sha256, nothing.encode(1))
        self.assertEqual(link.held, [self.whole])
        self.whole = nothing
        self.needed.append(self.package)
        self.spread.restore(self.package.sha256)
        self.assertEqual(link.held[1:], [nothing])


class EarlyTests(SpreadTests):
    """What was told of a package before its update came here."""

    def test_remembered(self) -> None:
        """It counts when the update has come; no more than the package has."""
        (link,) = self.links(1)
        known, self.known = self.known, {}
        self.spread.holding_told(cast(ILink, link), self.package.sha256, b"\xff")
        self.spread.have_told(cast(ILink, link), self.package.sha256, Bits(1 << 900), Bits(2))
        self.assertEqual(self.seen, [])
        self.known = known
        self.spread.joined([self.update], True)
        self.assertEqual(self.seen, [("peer0", self.package, self.whole)])

    def test_wishes(self) -> None:
        """So does the wish to be fed; it may be taken back."""
        one, other = self.links(1, 1)
        known, self.known = self.known, {}
        for link in (one, other):
            self.spread.goes_round(cast(ILink, link), self.package.sha256, Round.WANTED)
        self.spread.goes_round(cast(ILink, other), self.package.sha256, Round.OVER)
        for link in (one, other):
            self.spread.holding_told(cast(ILink, link), self.package.sha256, b"")
        self.fed.clear()
        self.known = known
        self.spread.joined([self.update], True)
        self.assertEqual(self.fed, [("peer0", self.package.sha256, True)])


class RingTests(SynchronousTestCase):
    """Pieces of a package that goes round come from one peer; another one is linked as well."""

    def setUp(self) -> None:
        package = entry(1).update.packages[0]
        self.package = evolve(package, pieces=evolve(package.pieces, total=20 * package.pieces.size))
        self.held = Bits()
        self.feeders: list[PeerName] = [PeerName("feeder")]
        self.pushed = False
        self.turned: list[PeerName] = []
        self.humoured: list[PeerName] = []
        self.left: list[tuple[Any, ...]] = []
        uplink = SimpleNamespace(
            arrived=lambda package, index: None,
            saw=lambda *words: None,
            feeder=SimpleNamespace(
                feeds=lambda peer, digest: peer == "other",
                push=SimpleNamespace(below=lambda peer, digest: peer == "feeder"),
            ),
        )
        self.words: list[tuple[str, Round]] = []
        server = SimpleNamespace(
            held=lambda package: self.held,
            package=lambda digest: self.package,
            uplink=uplink,
            goes_round=lambda link, digest, word: self.words.append((link.peer, word)),
        )
        fetcher = SimpleNamespace(
            feeds=SimpleNamespace(
                feeders=lambda digest: self.feeders,
                pushes=lambda digest: self.pushed,
                turn=lambda peer, digest: self.turned.append(peer) or True,
                humour=lambda peer, digest: bool(self.feeders) and self.humoured.append(peer) is None,
                left_out=lambda peer, digest, feeds: self.left.append((peer, feeds)),
            ),
            learn=lambda *words: None,
            expected=lambda digest: Bits(),
            wants=lambda digest: True,
            arriving=[],
            busy=False,
        )
        self.clock = Clock()
        self.clock.advance(100.0)
        self.spread = Spread(
            self.clock,
            Agenda(PeerName("me")),
            Gossip(),
            cast(Server, server),
            cast(Fetcher, fetcher),
            lambda seq: None,
            lambda peer: False,
            lambda: None,
            lambda entry, lacking: lacking,
            lambda entry, peers: list(peers),
        )
        self.feeder, self.other = Link("feeder"), Link("other")
        for link in (self.feeder, self.other):
            self.spread.linked(cast(ILink, link), 0, [])
            self.spread.holding_told(cast(ILink, link), self.package.sha256, bytes(3))

    def come(self, *indexes: int, sender: str = "feeder") -> None:
        for index in indexes:
            self.spread.arrived(self.package, index, PeerName(sender))
            self.held = self.held.with_bit(index)

    def test_together(self) -> None:
        """The feeder hears of several pieces at a time, and of the last one at once."""
        self.come(*range(20))
        self.assertEqual(self.feeder.heard, [[0], [1, 2, 3], [4, 5, 6], *zip3(7, 19), [19]])

    def test_slow(self) -> None:
        """If pieces come slowly, of each; none is kept for long."""
        for index in range(4):
            self.clock.advance(0.5)
            self.come(index)
        self.assertEqual(self.feeder.heard, [[0], [1], [2], [3]])
        self.come(4, 5)
        self.clock.pump([0.05] * 8)
        self.assertEqual(self.feeder.heard[4:], [[4, 5]])

    def test_others(self) -> None:
        """Others hear of it once it goes round no more: then all that is here."""
        self.come(*range(18))
        self.clock.pump([0.1] * 10)
        self.assertEqual(self.other.heard, [])
        self.feeders.clear()
        self.spread.holdings.unrung(self.package.sha256)
        self.assertEqual(self.other.heard, [[*range(18)]])

    def test_along_trees(self) -> None:
        """What comes along trees others hear of, too, as they may have to ask for it; but seldom."""
        self.pushed = True
        self.come(*range(16))
        told = len(self.other.heard)
        self.come(16, 17)
        self.clock.pump([0.1] * round(TELL / 0.1 + 2))
        self.assertEqual(len(self.other.heard), told)
        self.clock.pump([0.1] * round(SELDOM * TELL / 0.1))
        self.assertEqual(sorted(sum(self.other.heard, [])), [*range(18)])

    def invite(self, ahead: int) -> None:
        """The other one would feed us: it has as many pieces more than we."""
        more = (1 << ahead) - 1 << len(self.held)
        self.spread.have_told(cast(ILink, self.other), self.package.sha256, Bits(more), Bits())
        self.spread.goes_round(cast(ILink, self.other), self.package.sha256, Round.INSTEAD)

    def test_not_below(self) -> None:
        """Who wants what comes along trees, and is not below us, hears that it does not go round."""
        self.pushed = True
        for link in (self.feeder, self.other):
            self.spread.goes_round(cast(ILink, link), self.package.sha256, Round.WANTED)
        self.assertEqual(self.words, [("feeder", Round.WANTED)])
        self.assertEqual((self.feeder.words, self.other.words), ([], [Round.OVER]))

    def test_enough(self) -> None:
        """Who wants no more of it by itself is heard: whether it stands below us or will not."""
        self.spread.goes_round(cast(ILink, self.other), self.package.sha256, Round.ENOUGH)
        self.assertEqual(self.words, [("other", Round.ENOUGH)])

    def test_invited(self) -> None:
        """Who is ahead may feed us from now on; it hears first what is here, and need not be sent again."""
        self.come(0, 1, 2)
        self.invite(BEHIND)
        self.assertEqual(self.turned, ["other"])
        self.assertEqual((self.other.heard, self.other.words), ([[0, 1, 2]], [Round.WANTED]))

    def test_needless(self) -> None:
        """Who is not ahead may believe to feed us, so that it leaves out who lags; we do not turn to it."""
        self.come(0, 1, 2)
        self.invite(BEHIND - 1)
        self.assertEqual((self.turned, self.humoured, self.other.words), ([], ["other"], [Round.WANTED]))

    def test_not_fed(self) -> None:
        """Who takes no part says nothing to an invitation, nor if it knows no such package or peer."""
        self.feeders.clear()
        self.invite(BEHIND - 1)
        stranger = Link("stranger")
        self.spread.goes_round(cast(ILink, stranger), self.package.sha256, Round.INSTEAD)
        self.assertEqual((self.other.words, stranger.words), ([], []))

    def test_left_out(self) -> None:
        """That it goes round without us matters if somebody says it who feeds us, or whom we feed."""
        for link in (self.feeder, self.other):
            self.spread.goes_round(cast(ILink, link), self.package.sha256, Round.WITHOUT)
        self.assertEqual(self.left, [("feeder", False), ("other", True)])

    def test_offers(self) -> None:
        """A piece that was asked for is acknowledged by itself."""
        self.feeders.clear()
        self.come(0, 1, 2, sender="other")
        self.assertEqual(self.other.heard, [[0], [1], [2]])


def zip3(begin: int, end: int) -> list[list[int]]:
    """The numbers, in threes."""
    return [[*range(at, at + 3)] for at in range(begin, end, 3)]


class ArrivalTests(SynchronousTestCase):
    """A piece came."""

    def test_single_piece(self) -> None:
        """Who waits for a package of one piece that was on its way here gets it when it has come."""
        package = entry(1).update.packages[0]
        self.assertEqual(package.pieces.count, 1)
        came: list[int] = []
        uplink = SimpleNamespace(arrived=lambda package, index: came.append(index))
        server = cast(Server, SimpleNamespace(uplink=uplink))
        fetcher = cast(Fetcher, SimpleNamespace())
        spread = Spread(
            Clock(),
            Agenda(PeerName("me")),
            Gossip(),
            server,
            fetcher,
            lambda seq: None,
            lambda peer: False,
            lambda: None,
            lambda entry, lacking: lacking,
            lambda entry, peers: list(peers),
        )
        spread.arrived(package, 0, PeerName("sender"))
        self.assertEqual(came, [0])
