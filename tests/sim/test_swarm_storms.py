"""
Swarms with slow cards, dead peers, peers that die on the way, and liars.

C{make sim SEEDS=1000} plays more seeds, C{CLUMPT_SEED=31} one.
"""

from collections.abc import Callable

from tests.sim.case import SEEDS, ClusterTestCase, seeds
from tests.sim.swarm_storm import SwarmStorm

#: Seeds that are played if nothing is said.
USUAL = 12
#: The seeds are dealt to so many tests, which can be run side by side.
HANDS = 4
_KNOWN = SEEDS.with_name("swarm_seeds.txt")


class SwarmStormTests(ClusterTestCase):
    """Whatever happens on the way, all that live have the package in the end."""


def _hand(number: int) -> Callable[[SwarmStormTests], None]:
    def test(self: SwarmStormTests) -> None:
        """All live peers have the right bytes in bounded time, and hardly anything came twice (R84, L3)."""
        self.play(seeds(USUAL, _KNOWN)[number::HANDS], SwarmStorm)

    return test


for _number in range(HANDS):
    setattr(SwarmStormTests, f"test_swarms_{_number}", _hand(_number))
