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


class ServableTests(SynchronousTestCase):
    """What is wholly here is told."""

    def setUp(self) -> None:
        self.update = entry(1)
        whole = Bits.full(self.update.update.packages[0].pieces.count)
        server = cast(Server, SimpleNamespace(held=lambda package: whole, know=lambda package: None))
        fetcher = cast(Fetcher, SimpleNamespace(learn=lambda *words: None))
        self.spread = Spread(
            Clock(), Agenda(PeerName("me")), Gossip(), server, fetcher, lambda seq: self.update, lambda: None
        )

    def links(self, *heads: int) -> list[Link]:
        """Open links to peers that know this much."""
        links = [Link(f"peer{number}") for number in range(len(heads))]
        for link, head in zip(links, heads, strict=True):
            self.spread.linked(cast(ILink, link), head, [])
        return links

    def test_whoever_gave_it(self) -> None:
        """Who holds a package already is told as well: a submitter waits to hear it (R64)."""
        links = self.links(1, 1)
        self.spread.notified(links[0].peer, [1], [1])
        self.spread.servable([1])
        self.assertEqual([link.said for link in links], [[1], [1]])

    def test_here_before(self) -> None:
        """A package that was here before its update came is told, also to who knew the update first."""
        links = self.links(1, 0)
        self.spread.joined([self.update])
        self.assertEqual([link.said for link in links], [[1], [1]])
