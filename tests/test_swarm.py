"""Who is asked for which piece: L{clumpt.agent.swarm}, and L{clumpt.agent.rate}, L{clumpt.agent.gossip}."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.gossip import Gossip
from clumpt.agent.rate import Bucket
from clumpt.agent.swarm import IN_FLIGHT, KEPT, LATE_AT_LEAST, PER_PEER, QUIET, STALE, Ask, Decline, Swarm
from clumpt.idset import IdSet
from clumpt.model import PeerName
from clumpt.pieces import Bits
from clumpt.provenance import MOST_SPOILERS, Origin, Provenance
from clumpt.testing.strategies import names
from tests.test_job import entry

#: On a busy machine, too.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
A, B, C = PeerName("a"), PeerName("b"), PeerName("c")


class SwarmTests(SynchronousTestCase):
    """One package on its way."""

    def swarm(self, count: int = 40) -> Swarm:
        """A package on its way for which nobody has offered anything for a while."""
        swarm = Swarm(count, Random(1))
        self.assertEqual(list(swarm.asks(-QUIET)), [])
        return swarm

    def test_no_duplicates(self) -> None:
        """No piece is asked of two peers that answer in time, and nobody is asked for too much."""
        swarm = self.swarm()
        for peer in (A, B, C):
            swarm.learn(peer, Bits.full(40))
        asks = list(swarm.asks(0))
        self.assertEqual(len({ask.index for ask in asks}), len(asks))
        self.assertEqual(len(asks), min(IN_FLIGHT, 3 * PER_PEER))

    def test_unoffered(self) -> None:
        """What nobody offers is asked for at once; else offers are waited for."""
        swarm = Swarm(40, Random(1))
        swarm.learn(A, Bits.full(40))
        self.assertEqual(list(swarm.asks(0)), [])
        swarm.unoffered = True
        self.assertEqual(len(list(swarm.asks(0))), PER_PEER)

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

    def test_silent(self) -> None:
        """Who said nothing is not asked again soon, whatever becomes of it; others have more time."""
        swarm = self.swarm(1)
        swarm.learn(A, Bits(1))
        asked = list(swarm.asks(0))
        self.assertEqual((swarm.overdue(0), swarm.overdue(0.1)), ([], asked))
        before = swarm.patience
        swarm.gave_up(A, 5)
        self.assertGreater(swarm.patience, before)
        swarm.refused(A, 0, 1)
        self.assertEqual(list(swarm.asks(4)), [])
        self.assertEqual(len(list(swarm.asks(5))), 1)

    def test_promised(self) -> None:
        """A piece is promised as long as somebody offers it, until it comes or does not."""
        swarm = self.swarm(2)
        self.assertFalse(swarm.promised)
        swarm.offered(A, 1, 0)
        self.assertTrue(swarm.promised)
        list(swarm.replies(0))
        swarm.refused(A, 1, 0)
        self.assertFalse(swarm.promised)

    def test_not_here(self) -> None:
        """A peer that does not hold what it said is not asked for that piece again."""
        swarm = self.swarm(1)
        swarm.learn(A, Bits(1))
        list(swarm.asks(0))
        swarm.missing(A, 0)
        self.assertEqual(list(swarm.asks(0)), [])

    def test_offered(self) -> None:
        """A useful offer is taken, even of a piece that is only on its way to the peer."""
        swarm = self.swarm()
        swarm.offered(A, 3, 0)
        self.assertEqual(list(swarm.replies(0)), [Ask(A, 3)])
        self.assertEqual(swarm.expected, Bits(0b1000))

    def test_useless_offer(self) -> None:
        """What is here or on its way is declined."""
        swarm = self.swarm()
        for peer in (A, B):
            swarm.offered(peer, 3, 0)
        self.assertEqual(list(swarm.replies(0)), [Ask(B, 3), Decline(A, 3)])

    def test_something_else(self) -> None:
        """In the place of a piece that is on its way another of the same peer is taken."""
        swarm = self.swarm()
        swarm.learn(A, Bits(0b1010))
        swarm.offered(A, 3, 0)
        swarm.offered(B, 3, 0)
        self.assertEqual(list(swarm.replies(0)), [Ask(B, 3), Ask(A, 1)])

    def test_no_room(self) -> None:
        """Offers wait for room, a few of them and not for long; the others are declined."""
        swarm = self.swarm()
        for index in range(IN_FLIGHT + KEPT + 2):
            swarm.offered(A, index, 0)
        replies = list(swarm.replies(0))
        self.assertEqual(sum(isinstance(reply, Ask) for reply in replies), IN_FLIGHT)
        self.assertEqual(sum(isinstance(reply, Decline) for reply in replies), 2)
        taken = [reply.index for reply in replies if isinstance(reply, Ask)]
        swarm.arrived(A, taken[0], 0)
        self.assertEqual([type(reply) for reply in swarm.replies(0)], [Ask])
        self.assertEqual([type(reply) for reply in swarm.replies(2 * STALE)], [Decline] * (KEPT - 1))

    def test_offer_of_spoiler(self) -> None:
        """Who sent a wrong piece offers in vain."""
        swarm = self.swarm()
        swarm.spoiled(A)
        swarm.offered(A, 3, 0)
        self.assertEqual(list(swarm.replies(0)), [Decline(A, 3)])

    def test_lost_offers(self) -> None:
        """Offers of a peer that is gone are void."""
        swarm = self.swarm()
        swarm.offered(A, 3, 0)
        swarm.lost(A)
        self.assertEqual(list(swarm.replies(0)), [])

    def test_lost_within(self) -> None:
        """A peer may be lost while offers are answered."""
        swarm = self.swarm()
        for index in range(4):
            swarm.offered(A, index, 0)
        replies = swarm.replies(0)
        self.assertEqual(next(replies), Ask(A, 3))
        swarm.lost(A)
        self.assertEqual(list(replies), [])

    def test_doubtful(self) -> None:
        """
        A piece that did not come once is promised to nobody, and asked only of who has it.

        Else peers that promised each other what the dead had promised them would wait in a circle.
        """
        swarm = self.swarm()
        for peer in (A, B):
            swarm.offered(peer, 3, 0)
        list(swarm.replies(0))
        swarm.missing(B, 3)
        swarm.offered(A, 3, 1)
        self.assertEqual(list(swarm.replies(1)), [Decline(A, 3)])
        swarm.learn(A, Bits(0b1000))
        swarm.offered(A, 3, 1)
        self.assertEqual(list(swarm.replies(1)), [Ask(A, 3)])
        self.assertEqual(swarm.expected, Bits())

    def test_givers(self) -> None:
        """Whose offers wait here is known: they can be asked for the hashes of the pieces."""
        swarm = self.swarm()
        for index in (3, 4):
            swarm.offered(B, index, 0)
        self.assertEqual(swarm.givers, [B])

    def test_last_pieces(self) -> None:
        """The last pieces are asked for at once, without waiting for offers."""
        swarm = Swarm(40, Random(1), Bits.full(39))
        swarm.learn(A, Bits.full(40))
        swarm.offered(B, 0, 0)
        list(swarm.replies(0))
        self.assertEqual(list(swarm.asks(0)), [Ask(A, 39)])

    def test_hungry(self) -> None:
        """Offers of what is useless do not keep a peer from asking for what it lacks."""
        swarm = self.swarm()
        swarm.offered(A, 0, -QUIET)
        self.assertEqual(list(swarm.replies(-QUIET)), [Ask(A, 0)])
        swarm.learn(C, Bits(0b11))
        swarm.offered(B, 0, 0)
        self.assertEqual(list(swarm.replies(0)), [Decline(B, 0)])
        self.assertEqual(list(swarm.asks(0)), [Ask(C, 1)])

    def test_late_single(self) -> None:
        """What is one piece is soon asked of who has it, if it was asked of who has not."""
        for asked_has_it in (False, True):
            swarm = Swarm(1, Random(1))
            swarm.offered(A, 0, 0)
            self.assertEqual(list(swarm.replies(0)), [Ask(A, 0)])
            swarm.learn(B, Bits(1))
            if asked_has_it:
                swarm.learn(A, Bits(1))
            self.assertEqual(list(swarm.asks(LATE_AT_LEAST / 2)), [])
            self.assertEqual(list(swarm.asks(2 * LATE_AT_LEAST)), [] if asked_has_it else [Ask(B, 0)])

    def test_late_in_time(self) -> None:
        """Even while other pieces come, one that is late is asked of somebody else, too."""
        swarm = self.swarm()
        swarm.offered(A, 3, 0)
        list(swarm.replies(0))
        swarm.learn(B, Bits(0b1000))
        swarm.offered(B, 4, 60)
        list(swarm.replies(60))
        self.assertEqual(list(swarm.asks(60)), [Ask(B, 3)])
        swarm.arrived(B, 3, 61)
        self.assertEqual(swarm.others(3), [A])
        # It is here: nobody is asked again, though A still owes it.
        self.assertEqual(list(swarm.asks(200)), [])

    @CALM
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["offered", "arrived", "refused", "missing", "lost", "learn", "asks"]),
                st.sampled_from([A, B, C]),
                st.integers(0, 19),
            ),
            max_size=80,
        )
    )
    def test_once(self, events: list[tuple[str, PeerName, int]]) -> None:
        """Whatever peers do, nothing is asked of two at once that is not late, nor what is here."""
        swarm = self.swarm(20)
        asked: dict[int, PeerName] = {}

        def answered(peer: PeerName, index: int) -> bool:
            return asked.pop(index) == peer if asked.get(index) == peer else False

        def lost(peer: PeerName, index: int) -> None:
            swarm.lost(peer)
            for number in [number for number, who in asked.items() if who == peer]:
                del asked[number]

        happen: dict[str, Callable[[PeerName, int], object]] = {
            "offered": lambda peer, index: swarm.offered(peer, index, 0),
            "arrived": lambda peer, index: answered(peer, index) and swarm.arrived(peer, index, 0),
            "refused": lambda peer, index: answered(peer, index) and swarm.refused(peer, index, 0),
            "missing": lambda peer, index: answered(peer, index) and swarm.missing(peer, index),
            "lost": lost,
            "learn": lambda peer, index: swarm.learn(peer, Bits(1 << index)),
            "asks": lambda peer, index: None,
        }
        for event, peer, index in events:
            happen[event](peer, index)
            for reply in [*swarm.replies(0), *(swarm.asks(QUIET) if event == "asks" else ())]:
                if isinstance(reply, Ask):
                    self.assertNotIn(reply.index, asked)
                    self.assertNotIn(reply.index, swarm.held)
                    asked[reply.index] = reply.peer
            self.assertLessEqual(set(swarm.expected), set(asked))
            self.assertLessEqual(len(asked), IN_FLIGHT)

    @CALM
    @given(st.integers(0, 2**32), st.lists(st.integers(0, 2**20 - 1), min_size=1, max_size=6))
    def test_ends(self, seed: int, holdings: list[int]) -> None:
        """Whatever the holders hold, all of it arrives, each piece once."""
        swarm = Swarm(20, Random(seed))
        self.assertEqual(list(swarm.asks(-QUIET)), [])
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

    @CALM
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


class ProvenanceTests(SynchronousTestCase):
    """Where the bytes came from."""

    def test_sum(self) -> None:
        """Useful bytes are counted by sender; what came twice or was wrong does not count among them."""
        provenance = Provenance()
        for size, origin in enumerate(Origin, 1):
            provenance = provenance.came(origin, size)
        provenance = provenance.came_twice(100).came_wrong("n9")
        self.assertEqual(provenance, Provenance(1, 2, 3, 4, 100, 1, ("n9",)))
        self.assertEqual(provenance.total, 10)
        self.assertIn("1 bytes from submitter", str(provenance))

    def test_spoilers(self) -> None:
        """Who sends wrong pieces is named once, and of very many only some."""
        provenance = Provenance()
        for number in [3, 3, *range(20)]:
            provenance = provenance.came_wrong(f"n{number}")
        self.assertEqual((provenance.wrong, len(provenance.spoilers)), (22, MOST_SPOILERS))
        self.assertIn("n3", provenance.spoilers)

    @given(st.lists(st.integers(0, 2**60), min_size=6, max_size=6), st.sets(names, max_size=MOST_SPOILERS))
    def test_text(self, numbers: list[int], spoilers: set[str]) -> None:
        """What is told can be read again."""
        provenance = Provenance(*numbers, tuple(sorted(spoilers)))  # type: ignore[arg-type] # six numbers
        self.assertEqual(Provenance.parse(provenance.encode()), provenance)

    def test_bad_text(self) -> None:
        """What nobody would tell is not read: other numbers or names, or more of them."""
        many = ",".join(f"n{number}" for number in range(MOST_SPOILERS + 1))
        for text in ("", "1 2 3 4 5 6", "1 2 3 4 5 -6 -", "1 2 3 4 5 6 7 -", f"1 2 3 4 5 6 {many}"):
            self.assertRaises(ValueError, Provenance.parse, text)
        for name in ("", ".n1", "n 1", "n1,", "x" * 64, "n1\n"):
            self.assertRaises(ValueError, Provenance.parse, f"1 2 3 4 5 6 {name}")


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

    def test_owed(self) -> None:
        """Who does not have something is to hear that it is there, once."""
        gossip = Gossip()
        news = [entry(1), entry(2)]
        self.assertFalse(gossip.lacks(A, news))
        gossip.linked(A, 1)
        self.assertTrue(gossip.lacks(A, news))
        self.assertFalse(gossip.lacks(A, news[:1]))
        self.assertTrue(gossip.owes(A, IdSet.of([1, 2])))
        self.assertFalse(gossip.owes(A, IdSet.of([1, 2])))
        self.assertFalse(gossip.lacks(A, news))
        gossip.knows(A, 3)
        self.assertFalse(gossip.owes(A, IdSet.of([3])))
