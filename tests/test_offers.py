"""What is offered to whom (L{clumpt.agent.offers}), and what is sent when (L{clumpt.agent.uplink})."""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.offers import COMING, DECLINED, LEAST_OF_SOURCE, SPREAD, Offers
from clumpt.agent.rate import Bucket
from clumpt.agent.uplink import (
    CLOGGED_AT_LEAST,
    LOOK,
    MOST_WAITING,
    READY,
    SILENT,
    UNANSWERED,
    WINDOW,
    Uplink,
)
from clumpt.errors import Busy, NotHere
from clumpt.model import Package, PeerName
from clumpt.pieces import SMALLEST, Bits, Digest, Pieces

A, B, C = PeerName("a"), PeerName("b"), PeerName("c")
COUNT = 40
NONE = Bits()


class OffersTests(SynchronousTestCase):
    """Who is offered which piece."""

    def offers(self, *peers: PeerName, source: bool = False) -> Offers:
        """Offers to these, who hold nothing."""
        offers = Offers(COUNT, Random(1), source)
        for peer in peers:
            offers.saw(peer, NONE)
        return offers

    def test_newest(self) -> None:
        """The newest piece goes first, as it is the rarest."""
        self.assertEqual(self.offers(A).choose(Bits(0b111), NONE, (), 0), (A, 2))

    def test_soon(self) -> None:
        """A piece that is on its way here is offered before it comes."""
        self.assertEqual(self.offers(A).choose(Bits(0b001), Bits(0b100), (), 0), (A, 2))

    def test_comes_from_others(self) -> None:
        """What is on its way to a peer from others is not offered to it, as long as that is news."""
        offers = self.offers(A, B)
        offers.awaits(A, Bits(0b100), 0)
        offers.awaits(B, Bits(0b111), 0)
        self.assertEqual(offers.choose(Bits(0b111), NONE, (), 0), (A, 1))
        offers.awaits(A, NONE, 0)
        offer = offers.choose(Bits(0b110), NONE, (), 0)
        self.assertEqual(offer, (A, 2))
        self.assertIsNone(offers.choose(Bits(0b110), NONE, (), COMING - 0.01))
        offer = offers.choose(Bits(0b110), NONE, (), COMING + 0.01)
        self.assertEqual(offer, (B, 2))

    def test_only_ours(self) -> None:
        """What nobody else is known to hold goes before what others can give as well."""
        offers = self.offers(A, B)
        offers.saw(B, Bits(0b100))
        offer = offers.choose(Bits(0b101), NONE, (), 0)
        assert offer is not None
        self.assertEqual(offer[1], 0)

    def test_seed(self) -> None:
        """That a peer holds everything, such as the submitter, says nothing of who lacks what."""
        offers = self.offers(A, B)
        offers.saw(C, Bits.full(COUNT))
        offers.saw(B, Bits(0b100))
        offer = offers.choose(Bits(0b101), NONE, (), 0)
        assert offer is not None
        self.assertEqual(offer[1], 0)

    def test_bounded(self) -> None:
        """A peer that does not answer is not offered more and more."""
        offers = self.offers(A)
        made = [offers.choose(Bits.full(COUNT), NONE, (), 0) for _ in range(COUNT)]
        self.assertEqual(len([offer for offer in made if offer]), SPREAD)
        self.assertEqual(offers.unanswered, SPREAD)

    def test_full_link(self) -> None:
        """Nothing is offered to whom nothing can be sent."""
        self.assertIsNone(self.offers(A).choose(Bits(1), NONE, {A}, 0))

    def test_declined(self) -> None:
        """Who declined is left alone for a moment, and then offered the piece again."""
        offers = self.offers(A)
        offers.choose(Bits(1), NONE, (), 0)
        offers.declined(A, 0, 0)
        self.assertIsNone(offers.choose(Bits(1), NONE, (), 0))
        self.assertEqual(offers.choose(Bits(1), NONE, (), DECLINED), (A, 0))

    def test_progress(self) -> None:
        """Who declined and got something since has room again."""
        offers = self.offers(A)
        offers.declined(A, 0, 0)
        offers.saw(A, Bits(0b10))
        self.assertEqual(offers.choose(Bits(1), NONE, (), 0), (A, 0))

    def test_other_piece(self) -> None:
        """Who takes another piece instead may be offered the first one again."""
        offers = self.offers(A)
        self.assertEqual(offers.choose(Bits(0b11), NONE, (), 0), (A, 1))
        offers.asked(A, 0)
        self.assertEqual(offers.unanswered, 0)
        self.assertEqual(offers.choose(Bits(0b11), NONE, (), 0), (A, 1))

    def test_forgotten(self) -> None:
        """Offers that are never answered do not count for ever."""
        offers = self.offers(A)
        offers.choose(Bits(1), NONE, (), 0)
        offers.forget(A)
        self.assertEqual(offers.unanswered, 0)
        self.assertEqual(offers.choose(Bits(1), NONE, (), 0), (A, 0))

    def test_source(self) -> None:
        """A source gives each piece away once, in order, to all who were told."""
        offers = self.offers(*(PeerName(f"p{number}") for number in range(10)), source=True)
        made = []
        while (offer := offers.choose(Bits.full(COUNT), NONE, (), 0)) is not None:
            made.append(offer)
        self.assertEqual([index for _, index in made], list(range(min(COUNT, 10 * LEAST_OF_SOURCE))))

    def test_source_gives_again(self) -> None:
        """What only a peer had that is gone is given again; what others are known to have is not."""
        offers = self.offers(A, B, source=True)
        offers.saw(A, Bits(0b0111))
        offers.saw(B, Bits(0b0101))
        offers.asked(B, 3)
        offers.lost(A)
        self.assertEqual(offers.choose(Bits(0b1111), NONE, (), 0), (B, 1))
        self.assertIsNone(offers.choose(Bits(0b1111), NONE, (), 0))

    def test_source_loses(self) -> None:
        """What a peer was promised by a source and did not get is given to another."""
        offers = self.offers(A, source=True)
        offers.choose(Bits(1), NONE, (), 0)
        offers.lost(A)
        self.assertEqual(offers.unanswered, 0)
        offers.saw(B, NONE)
        self.assertEqual(offers.choose(Bits(1), NONE, (), 0), (B, 0))

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["offer", "asked", "declined", "saw", "lost", "forget", "missed"]),
                st.sampled_from([A, B, C]),
                st.integers(0, 7),
            ),
            max_size=60,
        ),
        st.booleans(),
    )
    def test_counts(self, events: list[tuple[str, PeerName, int]], source: bool) -> None:
        """Whatever peers do, no offer is useless, and the count of open ones is right."""
        offers = Offers(8, Random(0), source)
        held = dict.fromkeys((A, B, C), 0)

        def offer(peer: PeerName, index: int) -> None:
            made = offers.choose(Bits(0xFF), NONE, (), index)
            self.assertFalse(made is not None and held[made[0]] >> made[1] & 1)

        def saw(peer: PeerName, index: int) -> None:
            held[peer] |= 1 << index
            offers.saw(peer, Bits(held[peer]))

        def lost(peer: PeerName, index: int) -> None:
            held[peer] = 0
            offers.lost(peer)
            offers.saw(peer, NONE)

        happen = {
            "offer": offer,
            "asked": offers.asked,
            "declined": lambda peer, index: offers.declined(peer, index, 0),
            "saw": saw,
            "lost": lost,
            "forget": lambda peer, index: offers.forget(peer),
            "missed": offers.missed,
        }
        for peer in held:
            offers.saw(peer, NONE)
        for event, peer, index in events:
            happen[event](peer, index)
            self.assertGreaterEqual(offers.unanswered, 0)
        for peer in held:
            offers.lost(peer)
        self.assertEqual(offers.unanswered, 0)


@define
class Link:
    """Notes what was offered."""

    peer: PeerName
    full: bool = False
    heard: float = 0.0
    offered: list[int] = field(factory=list)

    def offer(self, digest: Digest, index: int) -> None:
        """See L{ILink}."""
        self.offered.append(index)


class UplinkTests(SynchronousTestCase):
    """What is sent when."""

    def setUp(self) -> None:
        """A package of which half is here, and two peers."""
        self.clock = Clock()
        pieces = Pieces(COUNT * SMALLEST, SMALLEST, Digest("0" * 64))
        self.package = Package("a", "1", "all", "a.deb", Digest("1" * 64), pieces)
        self.links: Any = {A: Link(A), B: Link(B)}
        self.held, self.soon = Bits.full(COUNT // 2), NONE
        self.bucket = Bucket(0)
        self.uplink = Uplink(
            self.clock,
            Random(1),
            self.bucket,
            False,
            lambda: self.links,
            lambda package: self.held,
            lambda package: self.soon,
            lambda peer, package, index: b"data",
        )

    def ask(self, peer: PeerName, index: int) -> list[Any]:
        """Ask; what became of it, so far."""
        results: list[Any] = []
        answer: Deferred[bytes] = self.uplink.ask(peer, self.package, index, lambda: b"data")
        answer.addBoth(results.append)
        self.answer = answer
        return results

    def test_at_once(self) -> None:
        """While the wire is idle, a request is granted at once."""
        self.assertEqual(self.ask(A, 0), [b"data"])

    def test_window(self) -> None:
        """No more is sent than peers show to have received; each acknowledgement makes room for one."""
        self.uplink.saw(A, self.package, NONE)
        self.uplink.saw(B, self.package, NONE)
        answers = [self.ask((A, B)[number % 2], number) for number in range(WINDOW + 2)]
        self.assertEqual(sum(map(len, answers)), WINDOW)
        self.uplink.saw(A, self.package, Bits(1))
        self.assertEqual(sum(map(len, answers)), WINDOW + 1)

    def test_fanout(self) -> None:
        """No more peers are sent pieces at one time than may be; others have their turn afterwards."""
        self.uplink.fanout = 1
        self.uplink.saw(A, self.package, NONE)
        self.uplink.saw(B, self.package, NONE)
        first, second, third = self.ask(A, 0), self.ask(B, 1), self.ask(A, 2)
        self.assertEqual((first, second, third), ([b"data"], [], [b"data"]))
        self.uplink.saw(A, self.package, Bits(0b101))
        self.assertEqual(second, [b"data"])

    def test_silent_peer(self) -> None:
        """A peer that does not say that it received does not stop the others for ever."""
        self.uplink.saw(A, self.package, NONE)
        self.uplink.saw(B, self.package, NONE)
        for number in range(WINDOW):
            self.ask((A, B)[number % 2], number)
        later = self.ask(B, WINDOW)
        self.assertEqual(later, [])
        self.clock.pump([LOOK] * (1 + round(CLOGGED_AT_LEAST / LOOK)))
        self.assertEqual(later, [b"data"])

    def test_many_of_a_silent_peer(self) -> None:
        """Who hears that one request is given up may take back another, or go on with what waits."""
        self.uplink.saw(A, self.package, NONE)
        for index in range(WINDOW):
            self.ask(A, index)
        for taken_back in (False, True):
            first = self.uplink.ask(A, self.package, WINDOW, lambda: b"data")
            results = self.ask(A, WINDOW + 1)
            then = self.answer.cancel if taken_back else self.uplink.go_on
            first.addErrback(lambda failure, then=then: then())
            self.uplink._expect_nothing(A)
            self.assertEqual(len(results), 1)
        self.assertEqual(self.uplink.queued(A), 0)

    def test_says_nothing(self) -> None:
        """Who takes and says nothing is as good as gone; what it was promised is for others meanwhile."""
        self.uplink.saw(A, self.package, NONE)
        offered = self.links[A].offered
        waiting = self.ask(A, 0)
        self.soon = Bits(1 << 30)
        early = self.ask(A, 30)
        self.clock.pump([LOOK] * (2 + round(SILENT / LOOK)))
        self.assertEqual(waiting, [b"data"])
        early[0].trap(Busy)
        self.uplink.saw(B, self.package, NONE)
        self.assertIn(offered[0], self.links[B].offered)
        del self.links[A].offered[:]
        self.uplink.saw(A, self.package, Bits(1))
        self.assertEqual(self.links[A].offered, [])
        self.links[A].heard = self.clock.seconds()
        self.clock.advance(LOOK)
        self.assertNotEqual(self.links[A].offered, [])

    def test_early(self) -> None:
        """A request for a piece that is on its way here is granted when it has come."""
        self.soon = Bits(1 << 30)
        answer = self.ask(A, 30)
        self.assertEqual(answer, [])
        self.held, self.soon = self.held.with_bit(30), NONE
        self.uplink.arrived(self.package, 30)
        self.assertEqual(answer, [b"data"])

    def test_does_not_come(self) -> None:
        """Who waits for a piece that does not come after all is told so."""
        self.soon = Bits(1 << 30)
        answer = self.ask(A, 30)
        self.soon = NONE
        self.uplink.missed(self.package)
        answer[0].trap(NotHere)

    def test_never_comes(self) -> None:
        """A request for a piece that never comes ends in time."""
        self.soon = Bits(1 << 30)
        answer = self.ask(A, 30)
        self.clock.pump([LOOK] * (2 + round(UNANSWERED / LOOK)))
        answer[0].trap(NotHere)

    def test_cancelled(self) -> None:
        """A request that is taken back is not granted any more."""
        self.soon = Bits(1 << 30)
        answer = self.ask(A, 30)
        self.answer.cancel()
        answer[0].trap(CancelledError)
        self.uplink.arrived(self.package, 30)
        self.assertEqual(len(answer), 1)

    def test_gone(self) -> None:
        """A piece that cannot be read any more is not here."""

        def gone() -> bytes:
            raise NotHere("it is gone")

        self.failureResultOf(self.uplink.ask(A, self.package, 0, gone), NotHere)

    def test_too_many(self) -> None:
        """A peer that asks for more than it may is told to wait."""
        self.soon = Bits.full(COUNT)
        for number in range(MOST_WAITING):
            self.ask(A, COUNT // 2 + number)
        self.assertRaises(Busy, self.ask, A, 0)

    def test_rate(self) -> None:
        """With a limit of the rate, the next piece goes when it may, not sooner, and not much later."""
        self.bucket.rate = SMALLEST
        self.clock.advance(100)
        answers = [self.ask(A, number) for number in range(4)]
        sent = sum(map(len, answers))
        self.clock.advance(1.01)
        self.assertEqual(sum(map(len, answers)), sent + 1)

    def test_offers(self) -> None:
        """Who wants the package is offered what it lacks, so much and no more."""
        self.uplink.saw(A, self.package, NONE)
        self.uplink.saw(B, self.package, NONE)
        self.assertEqual(len(self.links[A].offered) + len(self.links[B].offered), READY)

    def test_unanswered(self) -> None:
        """Offers that are not answered are made to others."""
        self.uplink.saw(A, self.package, NONE)
        offered = len(self.links[A].offered)
        self.assertEqual(offered, READY)
        self.uplink.saw(B, self.package, NONE)
        self.assertEqual(self.links[B].offered, [])
        self.clock.pump([LOOK] * (2 + round(UNANSWERED / LOOK)))
        self.assertNotEqual(self.links[B].offered, [])

    def test_lost(self) -> None:
        """Offers to a peer that is gone are made to others."""
        self.uplink.saw(A, self.package, NONE)
        del self.links[A]
        self.uplink.saw(B, self.package, NONE)
        self.uplink.lost(A)
        self.assertNotEqual(self.links[B].offered, [])

    def test_within(self) -> None:
        """What a grant causes at once does not upset the order of things."""
        self.soon = Bits.full(COUNT)
        answers = [self.ask(A, 20 + number) for number in range(4)]
        self.held = Bits.full(COUNT)
        fired: list[int] = []
        self.uplink.ask(A, self.package, 0, lambda: b"").addCallback(
            lambda _: (
                [self.uplink.arrived(self.package, 20 + number) for number in range(4)] and fired.append(1)
            )
        )
        self.assertEqual((answers, fired), ([[b"data"]] * 4, [1]))

    def test_stop(self) -> None:
        """Whoever waits at the end is told to ask later."""
        self.soon = Bits(1 << 30)
        answer = self.ask(A, 30)
        self.uplink.stop()
        answer[0].trap(Busy)
        self.assertEqual(self.clock.getDelayedCalls(), [])
