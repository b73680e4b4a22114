"""Packages of one piece are asked of whom told of them, before these have them (R33)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.answers import Answers
from clumpt.agent.fetch import Fetcher
from clumpt.agent.gossip import Gossip
from clumpt.agent.job import Agenda
from clumpt.agent.news import GATHER, SOON
from clumpt.agent.serve import Server
from clumpt.agent.spread import Spread
from clumpt.agent.swarm import LATE_AT_LEAST
from clumpt.errors import NotHere
from clumpt.interfaces import ILink
from clumpt.model import PeerName, Seq
from clumpt.pieces import Bits
from tests.fetching import a_fetcher
from tests.test_job import entry, package

TELLER, HOLDER = PeerName("teller"), PeerName("holder")
WHOLE = Bits.full(1)


class Link:
    """Notes which pieces are asked for, and keeps who asks waiting; and what is told."""

    def __init__(self, peer: PeerName) -> None:
        self.peer = peer
        self.heard = float("inf")
        self.asked: list[Deferred[bytes]] = []
        self.taken_back = 0
        self.declined: list[int] = []
        self.said: list[Seq] = []

    def piece(self, digest: str, index: int, length: int) -> Deferred[bytes]:
        def cancelled(answer: Deferred[bytes]) -> None:
            self.taken_back += 1
            answer.errback(CancelledError())

        self.asked.append(Deferred(cancelled))
        return self.asked[-1]

    def decline(self, digest: str, index: int) -> None:
        self.declined.append(index)

    def notify(self, news: Any, holding: Any) -> None:
        self.said += holding


class AskingTests(SynchronousTestCase):
    """A package of one piece is on its way here; nobody is known to have it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.links = {peer: Link(peer) for peer in (TELLER, HOLDER)}
        self.package = package("p")
        self.vain: list[PeerName] = []
        self.fetcher = a_fetcher(self.clock, lambda: self.links, lambda digest: False)
        self.fetcher.suspicions = cast(
            Any,
            SimpleNamespace(in_vain=lambda peer, package: self.vain.append(peer), sent=lambda peer: None),
        )
        self.fetcher.want([self.package])

    @property
    def asked(self) -> tuple[int, int]:
        """How often the teller and the holder were asked."""
        return len(self.links[TELLER].asked), len(self.links[HOLDER].asked)

    @property
    def declined(self) -> list[int]:
        """What was declined, though nobody offered it."""
        return [index for link in self.links.values() for index in link.declined]

    def expect(self, peer: PeerName) -> None:
        """C{peer} tells of the update."""
        self.fetcher.expect(peer, self.package.sha256)

    def holds(self, peer: PeerName) -> None:
        """C{peer} says that it has the package."""
        self.fetcher.learn(peer, self.package.sha256, WHOLE)

    def test_teller(self) -> None:
        """The first who tells of it is asked, nobody else; and it counts as expected here."""
        self.assertEqual(self.fetcher.expected(self.package.sha256), Bits())
        self.expect(TELLER)
        self.expect(HOLDER)
        self.expect(TELLER)
        self.assertEqual(self.asked, (1, 0))
        self.assertEqual(self.fetcher.expected(self.package.sha256), WHOLE)

    def test_holder(self) -> None:
        """Who has it for sure is asked instead, if that is known."""
        self.holds(HOLDER)
        self.expect(TELLER)
        self.assertEqual(self.asked, (0, 1))

    def test_pieces(self) -> None:
        """What is more than one piece is not asked for like that; nor what is not wanted."""
        size = self.package.pieces.size
        large = evolve(package("large"), pieces=evolve(self.package.pieces, total=2 * size))
        self.fetcher.want([self.package, large])
        self.fetcher.expect(TELLER, large.sha256)
        self.fetcher.expect(TELLER, package("other").sha256)
        self.assertEqual(self.asked, (0, 0))

    def test_in_vain(self) -> None:
        """Who did not promise it, and does not have it, is not blamed; who says to have it is asked again."""
        self.expect(TELLER)
        self.links[TELLER].asked[0].errback(NotHere("no"))
        self.assertEqual((self.vain, self.asked), ([], (1, 0)))
        self.expect(HOLDER)
        self.assertEqual((self.asked, self.declined), ((1, 0), []))
        self.holds(HOLDER)
        self.links[HOLDER].asked[0].errback(NotHere("no"))
        self.assertEqual((self.vain, self.asked), ([HOLDER], (1, 1)))
        self.holds(TELLER)
        self.assertEqual(self.asked, (2, 1))

    def test_late(self) -> None:
        """Who told of it has a moment; if others have it by then, one of them is asked, too."""
        self.expect(TELLER)
        self.holds(HOLDER)
        self.clock.advance(LATE_AT_LEAST / 2)
        self.fetcher.pump()
        self.assertEqual(self.asked, (1, 0))
        self.clock.advance(LATE_AT_LEAST)
        self.fetcher.pump()
        self.fetcher.pump()
        self.assertEqual((self.asked, self.links[TELLER].taken_back, self.vain), ((1, 1), 0, []))
        # Who always tells first, and never sends anything, is named some day.
        self.links[HOLDER].asked[0].callback(b"data")
        self.assertEqual((self.links[TELLER].taken_back, self.vain), (1, [TELLER]))

    def test_nobody_else(self) -> None:
        """If nobody else has it, what was asked for is waited for; also if the teller has it by now."""
        self.expect(TELLER)
        self.clock.advance(2 * LATE_AT_LEAST)
        self.fetcher.pump()
        self.holds(TELLER)
        self.fetcher.pump()
        self.assertEqual((self.asked, self.links[TELLER].taken_back), ((1, 0), 0))


class TellingTests(SynchronousTestCase):
    """A peer in the group of an update, and a stranger, are linked."""

    def setUp(self) -> None:
        self.update = entry(1)
        self.package = self.update.update.packages[0]
        self.here = Bits()
        self.expected: list[PeerName] = []
        self.answer: Deferred[bytes] = Deferred()

        def nothing(*words: Any) -> None:
            pass

        server = SimpleNamespace(
            held=lambda package: self.here,
            know=nothing,
            package=lambda digest: self.package,
            uplink=SimpleNamespace(saw=nothing, arrived=nothing),
            piece=lambda link, digest, index: self.answer,
        )
        fetcher = SimpleNamespace(
            arriving=[], learn=nothing, expect=lambda peer, digest: self.expected.append(peer)
        )
        self.clock = Clock()
        agenda = Agenda(PeerName("me"))
        agenda.regroup(self.update.update.groups, [self.update])
        self.spread = Spread(
            self.clock,
            agenda,
            Gossip(),
            cast(Server, server),
            cast(Fetcher, fetcher),
            lambda seq: self.update if seq == 1 else None,
            lambda peer: False,
            nothing,
            lambda entry, lacking: lacking,
            lambda entry, peers: [peer for peer in peers if peer == TELLER],
        )
        self.links = {peer: Link(peer) for peer in (TELLER, HOLDER)}
        for link in self.links.values():
            self.spread.linked(cast(ILink, link), 1, [])

    def said(self) -> list[list[Seq]]:
        """Of which packages the two were told that they are here."""
        return [link.said for link in self.links.values()]

    def test_concerned(self) -> None:
        """Only who is to have the packages of an update is expected to."""
        self.spread.told(TELLER, [1, 2])
        self.spread.told(HOLDER, [1])
        self.assertEqual(self.expected, [TELLER])

    def test_given(self) -> None:
        """Who got the package from us need not hear that it is here; others do."""
        rooms: list[Any] = [SimpleNamespace()] * 8
        rooms[4] = self.spread
        answer = Answers("d", *rooms).piece_wanted(cast(Any, self.links[TELLER]), self.package.sha256, 0)
        self.here = WHOLE
        self.answer.callback(b"data")
        self.assertEqual(self.successResultOf(answer), b"data")
        self.spread.servable([1])
        self.clock.pump([SOON] * 3)
        self.assertEqual(self.said(), [[], [1]])

    def test_refused(self) -> None:
        """Who asked in vain hears of it when it is here."""
        answer = self.spread.piece_wanted(cast(Any, self.links[TELLER]), self.package.sha256, 0)
        self.answer.errback(NotHere("no"))
        self.failureResultOf(answer, NotHere)
        self.here = WHOLE
        self.spread.servable([1])
        self.clock.pump([SOON] * 3)
        self.assertEqual(self.said(), [[1], [1]])

    def test_taken(self) -> None:
        """Who gave it to us has time to hear that it is here, too."""
        self.spread.arrived(self.package, 0, TELLER)
        self.here = WHOLE
        self.spread.servable([1])
        self.clock.pump([SOON] * 3)
        self.assertEqual(self.said(), [[], [1]])
        self.clock.advance(GATHER)
        self.assertEqual(self.said(), [[1], [1]])

    def test_one_of_several(self) -> None:
        """Who got one of several packages does not know that all of them are here."""
        both = (self.package, package("other"))
        self.update = evolve(self.update, update=evolve(self.update.update, packages=both))
        answer = self.spread.piece_wanted(cast(Any, self.links[TELLER]), self.package.sha256, 0)
        self.here = WHOLE
        self.answer.callback(b"data")
        self.successResultOf(answer)
        self.spread.servable([1])
        self.clock.pump([SOON] * 3)
        self.assertEqual(self.said(), [[1], [1]])
