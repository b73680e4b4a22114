"""Who hears when of what is new: L{clumpt.agent.news}."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.gossip import Gossip
from clumpt.agent.known import Known
from clumpt.agent.news import GATHER, SOON, TOLD, News
from clumpt.idset import IdSet
from clumpt.interfaces import ILink
from clumpt.model import PeerName, Seq
from tests.test_job import entry

#: We are between these two by name.
FIRST, BEFORE, AFTER, ME = (PeerName(name) for name in ("first", "a", "z", "me"))


class Link:
    """Notes what is said: how many updates, and the packages of which are here."""

    def __init__(self, peer: PeerName) -> None:
        self.peer = peer
        self.said: list[tuple[int, list[Seq]]] = []

    def notify(self, entries: Collection[Any], holding: Collection[Seq]) -> None:
        self.said.append((len(entries), list(holding)))


class NewsTests(SynchronousTestCase):
    """Three peers are linked, of which one is told of updates first."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.gossip = Gossip()
        self.known: dict[PeerName, Known] = {}
        self.here: set[Seq] = set()
        self.news = News(
            self.clock,
            ME,
            self.gossip,
            self.known,
            lambda seqs: [seq for seq in seqs if seq in self.here],
            lambda peer: False,
            lambda entry, lacking: [FIRST],
        )
        self.links = {peer: Link(peer) for peer in (FIRST, BEFORE, AFTER)}
        for peer, link in self.links.items():
            self.gossip.linked(peer, 0)
            self.known[peer] = Known(cast(ILink, link))

    def said(self) -> dict[PeerName, list[tuple[int, list[Seq]]]]:
        """What was said since the last look."""
        said = {peer: link.said for peer, link in self.links.items() if link.said}
        for link in self.links.values():
            link.said = []
        return said

    def come(self, *seqs: Seq) -> None:
        """Packages are here now."""
        self.here.update(seqs)
        for known in self.known.values():
            self.news.inform(known, IdSet.of(seqs))

    def test_soon(self) -> None:
        """One hears of an update at once, the others soon that there is one; one end of a link waits."""
        self.news.joined([entry(1)], [1], True)
        self.assertEqual(self.said(), {FIRST: [(1, [])]})
        self.clock.advance(SOON)
        self.assertEqual(self.said(), {AFTER: [(0, [])]})
        self.clock.advance(SOON)
        self.assertEqual(self.said(), {BEFORE: [(0, [])]})
        self.clock.pump([SOON] * 20)
        self.assertEqual((self.said(), self.clock.getDelayedCalls()), ({}, []))

    def test_no_hurry(self) -> None:
        """Where there is no hurry, nobody hears of an update at once."""
        self.news.joined([entry(1)], [1], False)
        self.assertEqual(self.said(), {})
        self.clock.pump([SOON] * 2)
        self.assertEqual(self.said(), dict.fromkeys(self.links, [(0, [])]))

    def test_shown(self) -> None:
        """Who shows meanwhile that it knows is told nothing."""
        self.news.joined([entry(1), entry(2)], [1, 2], True)
        self.said()
        self.gossip.has(AFTER, [1, 2])
        self.gossip.knows(BEFORE, 2)
        self.clock.pump([SOON] * 3)
        self.assertEqual((self.said(), self.clock.getDelayedCalls()), ({}, []))

    def test_package(self) -> None:
        """That its package is here is told soon, with the rest: who was told of the update asks for it."""
        self.news.joined([entry(1)], [1], True)
        self.said()
        self.come(1)
        self.assertEqual(self.said(), {})
        self.clock.advance(SOON)
        self.assertEqual(self.said(), {AFTER: [(0, [1])]})
        self.clock.advance(SOON)
        self.assertEqual(self.said(), {BEFORE: [(0, [1])], FIRST: [(0, [1])]})
        self.come(1)
        self.clock.advance(GATHER)
        self.assertEqual(self.said(), {})

    def test_holders(self) -> None:
        """Who holds it too has more time: so much that there may be more to say."""
        self.news.joined([entry(1), entry(2)], [1, 2], True)
        self.said()
        for known in self.known.values():
            self.gossip.knows(known.link.peer, 2)
            known.seqs = IdSet.of([1, 2])
        self.come(1)
        self.clock.pump([SOON] * 3)
        self.assertEqual(self.said(), {})
        self.come(2)
        self.clock.advance(GATHER)
        self.assertEqual(self.said(), dict.fromkeys(self.links, [(0, [1, 2])]))

    def test_turns_out(self) -> None:
        """Who is found to hold it before it was told has more time as well."""
        self.news.joined([entry(1)], [1], True)
        self.said()
        self.come(1)
        self.said()
        self.gossip.knows(AFTER, 1)
        self.known[AFTER].seqs = IdSet.of([1])
        self.clock.pump([SOON] * 3)
        self.assertEqual(self.said(), {FIRST: [(0, [1])], BEFORE: [(0, [1])]})
        self.clock.advance(GATHER)
        self.assertEqual(self.said(), {AFTER: [(0, [1])]})

    def test_pages(self) -> None:
        """Of what comes in pages nobody is told at once: it is old."""
        many = [entry(seq) for seq in range(1, TOLD + 2)]
        self.news.joined(many, [], True)
        self.assertEqual(self.said(), {})
        self.clock.pump([SOON] * 3)
        self.assertEqual(self.said(), dict.fromkeys(self.links, [(0, [])]))

    def test_stopped(self) -> None:
        """In the end no timer is left."""
        self.news.joined([entry(1)], [1], True)
        for known in self.known.values():
            known.seqs = IdSet.of([2])
        self.come(2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.news.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
