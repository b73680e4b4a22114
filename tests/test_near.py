"""Where peers stand, and who brings what over from afar: L{clumpt.places} and L{clumpt.agent.near}."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.near import Near, duties
from clumpt.agent.offers import SPARED, Offers
from clumpt.agent.swarm import PATIENCE, QUIET, Ask, Decline, Swarm
from clumpt.model import Address, Peer, PeerName
from clumpt.pieces import Bits
from clumpt.places import Locality, place

ME, MATE, OTHER, AWAY, BEYOND = map(PeerName, ("me", "mate", "other", "away", "beyond"))
COUNT = 24
#: On a busy machine, too.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.sets(st.sampled_from([PeerName(f"n{number}") for number in range(12)]), min_size=1)


def where(peer: PeerName) -> str:
    """Two of them stand in another rack; of one nobody knows."""
    return "" if peer == OTHER else "there" if peer in (AWAY, BEYOND) else "here"


def near() -> Near:
    return Near(ME, where)


class PlaceTests(SynchronousTestCase):
    """Where a peer stands."""

    def at(self, *hosts: str, rack: str = "") -> Peer:
        return Peer(ME, tuple(Address(host, 1, 2) for host in hosts), frozenset(), b"", rack=rack)

    def test_rack(self) -> None:
        """By the directory; nobody knows where a peer stands of which it says nothing."""
        self.assertEqual(place(self.at("10.0.0.1", rack="r7"), Locality.RACK), "r7")
        self.assertEqual(place(self.at("10.0.0.1"), Locality.RACK), "")
        self.assertEqual(place(self.at("10.0.0.1", rack="r7"), Locality.NONE), "")

    def test_subnet(self) -> None:
        """By the first address; a host's name does not tell."""

        def subnet(*hosts: str) -> str:
            return place(self.at(*hosts, rack="r7"), Locality.SUBNET)

        self.assertEqual(subnet("10.0.0.1"), subnet("10.0.0.254", "10.9.9.9"))
        self.assertNotEqual(subnet("10.0.0.1"), subnet("10.0.1.1"))
        self.assertEqual(subnet("fd00::1:1"), subnet("fd00::2"))
        self.assertNotEqual(subnet("fd00:0:0:1::1"), subnet("fd00:0:0:2::1"))
        self.assertEqual((subnet("node1"), subnet()), ("", ""))


class DutyTests(SynchronousTestCase):
    """Who of those who know each other fetches a piece."""

    @CALM
    @given(NAMES)
    def test_one(self, names: set[PeerName]) -> None:
        """Of peers that all know each other each piece is fetched by exactly one."""
        masks = [duties(name, frozenset(names - {name}), COUNT) for name in sorted(names)]
        together = 0
        for mask in masks:
            self.assertEqual(together & mask, 0)
            together |= mask
        self.assertEqual(together, Bits.full(COUNT).value)

    @CALM
    @given(NAMES, NAMES)
    def test_fewer(self, names: set[PeerName], more: set[PeerName]) -> None:
        """Who knows fewer others fetches more, and never less: no piece is left to nobody."""
        few, fewer = (duties(ME, frozenset(known), COUNT) for known in (names, names | more))
        self.assertEqual(few & fewer, fewer)
        self.assertEqual(duties(ME, frozenset(), COUNT), Bits.full(COUNT).value)

    def test_unknown(self) -> None:
        """Nobody counts on a peer of which it is not known where it stands, such as a submitter."""
        self.assertEqual(
            near().unneeded([(OTHER, Bits.full(COUNT).value)], COUNT) & Bits.full(COUNT).value, 0
        )
        self.assertEqual(near().far(OTHER), "")
        self.assertEqual(Near(OTHER, where).far(AWAY), "")

    def test_there(self) -> None:
        """What a mate has need not be fetched, whoever's duty it was."""
        spared = near().unneeded([(MATE, 0b101), (AWAY, 0b1000)], COUNT)
        self.assertEqual(spared & 0b101, 0b101)
        self.assertEqual(spared & 0b1000, ~duties(ME, frozenset({MATE}), COUNT) & 0b1000)


class SwarmTests(SynchronousTestCase):
    """What is taken from afar."""

    def setUp(self) -> None:
        self.swarm = Swarm(COUNT, Random(1), near=near())
        self.duty = duties(ME, frozenset({MATE}), COUNT)
        self.mine = next(iter(Bits(self.duty)))
        self.theirs = next(iter(Bits(Bits.full(COUNT).value & ~self.duty)))
        self.swarm.learn(MATE, Bits())
        self.swarm.learn(AWAY, Bits.full(COUNT))
        # Fed until now.
        self.assertEqual(list(self.swarm.asks(10.0)), [])

    def offered(self, peer: PeerName, index: int, now: float) -> list[Ask | Decline]:
        self.swarm.offered(peer, index, now)
        return list(self.swarm.replies(now))

    def test_duty(self) -> None:
        """One's own pieces are taken, and those of a mate declined; from the mate all are taken."""
        self.assertEqual(self.offered(AWAY, self.mine, 10.0), [Ask(AWAY, self.mine)])
        [reply] = self.offered(AWAY, self.theirs, 10.0)
        self.assertIn(reply.index, Bits(self.duty) if isinstance(reply, Ask) else [self.theirs])
        self.assertEqual(self.offered(MATE, self.theirs, 10.0), [Ask(MATE, self.theirs)])

    def test_nothing_left(self) -> None:
        """When only others' duties are left, a far offer is declined."""
        self.swarm.held = Bits(self.duty & ~(1 << self.mine))
        self.assertEqual(self.offered(MATE, self.mine, 10.0), [Ask(MATE, self.mine)])
        self.assertEqual(self.offered(AWAY, self.theirs, 10.0), [Decline(AWAY, self.theirs)])

    def test_nothing_comes(self) -> None:
        """Unless nothing else is on its way: then it is taken."""
        self.swarm.held = Bits(self.duty)
        self.assertEqual(self.offered(AWAY, self.theirs, 10.0), [Ask(AWAY, self.theirs)])

    def test_starving(self) -> None:
        """Who gets nothing for a while takes what comes, from wherever, and asks for it."""
        self.swarm.held = Bits(self.duty)
        now = 10.1 + PATIENCE
        self.assertEqual(self.offered(AWAY, self.theirs, now), [Ask(AWAY, self.theirs)])
        self.assertTrue(all(ask.peer == AWAY for ask in self.swarm.asks(now + QUIET)))

    def test_nearest_first(self) -> None:
        """Who must ask by itself asks those who are near first."""
        self.swarm.learn(MATE, Bits.full(COUNT))
        self.swarm.learn(OTHER, Bits.full(COUNT))
        asked = [ask.peer for ask in self.swarm.asks(10.0 + QUIET)]
        self.assertEqual(set(asked[:4]), {MATE, OTHER})


class OffersTests(SynchronousTestCase):
    """What is offered to those who are far."""

    def setUp(self) -> None:
        self.offers = Offers(COUNT, Random(1), near=near())
        self.all = Bits.full(COUNT)

    def chosen(self) -> dict[PeerName, set[int]]:
        """Everything that is offered, and at once asked for."""
        found: dict[PeerName, set[int]] = {}
        while (offer := self.offers.choose(self.all, Bits(), (), 0.0)) is not None:
            peer, index = offer
            self.offers.asked(peer, index)
            found.setdefault(peer, set()).add(index)
        return found

    def test_once_each(self) -> None:
        """To peers that stand together elsewhere each piece is given once; to those here, as ever."""
        for peer in (AWAY, BEYOND, MATE):
            self.offers.saw(peer, Bits())
        found = self.chosen()
        self.assertEqual(found[AWAY] & found[BEYOND], set())
        self.assertEqual(found[AWAY] | found[BEYOND], set(range(COUNT)))
        self.assertEqual(found[MATE], set(range(COUNT)))

    def test_alone(self) -> None:
        """Who is alone elsewhere gets everything."""
        self.offers.saw(AWAY, Bits())
        self.assertEqual(self.chosen(), {AWAY: set(range(COUNT))})

    def test_gone(self) -> None:
        """What one was to fetch who is gone, the others are given."""
        self.offers.saw(AWAY, Bits())
        self.offers.saw(BEYOND, Bits())
        self.offers.lost(BEYOND)
        self.assertEqual(self.chosen(), {AWAY: set(range(COUNT))})

    def test_declined(self) -> None:
        """A far peer that declines one piece, as others are nearer, goes on being offered the rest."""
        for peer in (AWAY, BEYOND):
            self.offers.saw(peer, Bits())
        offer = self.offers.choose(self.all, Bits(), (), 0.0)
        assert offer is not None
        self.offers.declined(*offer, 0.0)
        given = self.chosen()
        self.assertEqual(given[AWAY] | given[BEYOND], set(range(COUNT)) - {offer[1]})
        self.assertEqual(self.offers.choose(self.all, Bits(), (), SPARED), offer)
