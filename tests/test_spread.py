"""What a peer tells the others about packages."""

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.fetch import Fetcher
from clumpt.agent.gossip import Gossip
from clumpt.agent.job import Agenda
from clumpt.agent.serve import Server
from clumpt.agent.spread import Spread
from clumpt.interfaces import ILink
from clumpt.model import PeerName, Seq
from clumpt.pieces import Bits
from tests.test_job import entry


class Link:
    """Notes which updates' packages are said to be here."""

    def __init__(self, peer: str) -> None:
        self.peer = PeerName(peer)
        self.said: list[Seq] = []

    def notify(self, news: Any, holding: Any) -> None:
        self.said += holding


class SpreadTests(SynchronousTestCase):
    """A peer that holds the package of update 1, and has two links."""

    def setUp(self) -> None:
        update = entry(1)
        self.package = update.update.packages[0]
        self.whole = Bits.full(self.package.pieces.count)
        self.seen: list[tuple[Any, ...]] = []
        uplink = SimpleNamespace(saw=lambda *words: self.seen.append(words))
        server = cast(Server, SimpleNamespace(held=lambda package: self.whole, uplink=uplink))
        fetcher = cast(Fetcher, SimpleNamespace(learn=lambda *words: None))
        self.spread = Spread(
            Clock(), Agenda(PeerName("me")), Gossip(), server, fetcher, lambda seq: update, lambda: None
        )
        self.links = [Link("submitter"), Link("neighbour")]
        for link in self.links:
            self.spread.linked(cast(ILink, link), 1, [])

    def test_whoever_gave_it(self) -> None:
        """Who holds a package already is told as well: a submitter waits to hear it (R64)."""
        self.spread.notified(PeerName("submitter"), [1], [1])
        self.spread.servable([1])
        self.assertEqual([link.said for link in self.links], [[1], [1]])

    def test_nothing_more_to_offer(self) -> None:
        """A peer that says that it holds a package is not offered any more of it."""
        self.spread.notified(PeerName("neighbour"), [1], [1])
        self.assertEqual(self.seen, [("neighbour", self.package, self.whole)])
