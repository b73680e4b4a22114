"""Who is asked for which piece: L{clumpt.agent.swarm}, and L{clumpt.agent.rate}, L{clumpt.agent.gossip}."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.gossip import Gossip
from clumpt.agent.rate import Bucket
from clumpt.agent.swarm import IN_FLIGHT, PER_PEER, QUIET, Swarm
from clumpt.model import PeerName
from clumpt.pieces import Bits
from tests.test_job import entry

A, B, C = PeerName("a"), PeerName("b"), PeerName("c")


class SwarmTests(SynchronousTestCase):
    """One package on its way."""

    def swarm(self, count: int = 40) -> Swarm:
        return Swarm(count, Random(1))

    def test_no_duplicates(self) -> None:
        """No piece is asked of two peers that answer in time, and nobody is asked for too much."""
        swarm = self.swarm()
        for peer in (A, B, C):
            swarm.learn(peer, Bits.full(40))
        asks = list(swarm.asks(0))
        self.assertEqual(len({ask.index for ask in asks}), len(asks))
        self.assertEqual(len(asks), min(IN_FLIGHT, 3 * PER_PEER))

    def test_only_what_they_hold(self) -> None:
        """A peer is asked only for what it holds."""
        swarm = self.swarm()
        swarm.learn(A, Bits(0b100))
        self.assertEqual([(ask.peer, ask.index) for ask in swarm.asks(0)], [(A, 2)])
        self.assertEqual(list(swarm.asks(0)), [])

    def test_rarest_first(self) -> None:
        """What few hold is asked for first."""
        swarm = self.swarm(3)
        swarm.learn(A, Bits(0b111))
        swarm.learn(B, Bits(0b011))
        swarm.learn(C, Bits(0b011))
        first = next(ask for ask in swarm.asks(0) if ask.peer == A)
        self.assertEqual(first.index, 2)

    def test_lost_peer(self) -> None:
        """What was asked of a peer that is gone is asked of others."""
        swarm = self.swarm(1)
        swarm.learn(A, Bits(1))
        self.assertEqual(len(list(swarm.asks(0))), 1)
        swarm.learn(B, Bits(1))
        self.assertEqual(list(swarm.asks(0)), [])
        swarm.lost(A)
        self.assertEqual([ask.peer for ask in swarm.asks(0)], [B])

    def test_late_peer(self) -> None:
        """A piece that is long overdue is asked of somebody else too."""
        swarm = self.swarm(1)
        swarm.learn(A, Bits(1))
        list(swarm.asks(0))
        swarm.learn(B, Bits(1))
        self.assertEqual([ask.peer for ask in swarm.asks(60)], [B])
        self.assertEqual(list(swarm.asks(60)), [])

    def test_spoiler(self) -> None:
        """Who sent a wrong piece is not asked again, even if it says that it holds more."""
        swarm = self.swarm(2)
        swarm.learn(A, Bits(0b11))
        list(swarm.asks(0))
        swarm.spoiled(A)
        swarm.learn(A, Bits(0b11))
        self.assertEqual(list(swarm.asks(0)), [])

    def test_busy(self) -> None:
        """A busy peer is left alone for the time it asked for."""
        swarm = self.swarm(1)
        swarm.learn(A, Bits(1))
        list(swarm.asks(0))
        swarm.refused(A, 0, not_before=5)
        self.assertEqual(list(swarm.asks(4)), [])
        self.assertEqual(len(list(swarm.asks(5))), 1)

    def test_not_here(self) -> None:
        """A peer that does not hold what it said is not asked for that piece again."""
        swarm = self.swarm(1)
        swarm.learn(A, Bits(1))
        list(swarm.asks(0))
        swarm.missing(A, 0)
        self.assertEqual(list(swarm.asks(0)), [])

    @given(st.integers(0, 2**32), st.lists(st.integers(0, 2**20 - 1), min_size=1, max_size=6))
    def test_ends(self, seed: int, holdings: list[int]) -> None:
        """Whatever the holders hold, all of it arrives, each piece once."""
        swarm = Swarm(20, Random(seed))
        for number, bits in enumerate(holdings):
            swarm.learn(PeerName(f"p{number}"), Bits(bits))
        arrived: list[int] = []
        now = 0.0
        while asks := list(swarm.asks(now)):
            for ask in asks:
                swarm.arrived(ask.peer, ask.index, now)
                arrived.append(ask.index)
            now += 2 * QUIET
        everything = 0
        for bits in holdings:
            everything |= bits
        self.assertEqual(sorted(arrived), list(Bits(everything)))


class BucketTests(SynchronousTestCase):
    """The total of bytes a second."""

    @given(st.lists(st.integers(1, 10_000), min_size=1, max_size=50))
    def test_total(self, amounts: list[int]) -> None:
        """However the bytes come, no more than the rate goes through, but for the first second's savings."""
        bucket, now = Bucket(1000.0), 0.0
        for amount in amounts:
            now += bucket.take(amount, now)
        self.assertLessEqual(sum(amounts), 1000 * (now + 1) + 1e-6)

    def test_no_limit(self) -> None:
        """A rate of 0 limits nothing."""
        self.assertEqual(Bucket(0).take(10**12, 0), 0)


class GossipTests(SynchronousTestCase):
    """Who is told of what."""

    def test_once(self) -> None:
        """A peer is told only what it is not known to have, and only once."""
        gossip = Gossip()
        gossip.linked(A, 1)
        news = [entry(1), entry(2), entry(3)]
        gossip.has(A, [3])
        self.assertEqual([e.seq for e in gossip.lacking(A, news)], [2])
        self.assertEqual(gossip.lacking(A, news), [])
        gossip.unlinked(A)
        self.assertEqual(gossip.lacking(A, news), [])
        gossip.linked(A, 0)
        gossip.knows(A, 2)
        self.assertEqual([e.seq for e in gossip.lacking(A, news)], [3])
