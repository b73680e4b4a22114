"""
Clusters of 5 to 30 peers in storms: crashes, power losses, cuts, slow and lying
links, full and failing disks, directory outages and restores, hostile peers.

C{make sim SEEDS=1000} plays more seeds, C{CLUMPT_SEED=8123} one.
"""

from collections.abc import Callable

from clumpt.testing.drill import Drill, apart
from tests.sim.case import ClusterTestCase, seeds

#: The seeds are dealt to so many tests, which can be run side by side.
HANDS = 20


class StormTests(ClusterTestCase):
    """After every storm, all that must hold has held, and all agree in bounded time."""


def _hand(number: int) -> Callable[[StormTests], None]:
    def test(self: StormTests) -> None:
        """Whatever the weather, nothing false was run or told, and when it clears all agree (H13)."""
        self.play(seeds()[number::HANDS])

    return test


for _number in range(HANDS):
    setattr(StormTests, f"test_storm_{_number:02}", _hand(_number))


class RepeatTests(ClusterTestCase):
    """A seed is worth something only if it can be played again."""

    def fingerprint(self, seed: int) -> str:
        with apart():
            drill = Drill(seed)
            drill.play()
            return drill.cluster.world.fingerprint()

    def test_same_seed(self) -> None:
        """The same seed tells the same story, another one another."""
        self.assertEqual(self.fingerprint(3), self.fingerprint(3))
        self.assertNotEqual(self.fingerprint(3), self.fingerprint(11))
