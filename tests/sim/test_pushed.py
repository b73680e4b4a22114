"""How fast a package spreads along two trees, among many peers, and what faults cost there."""

from __future__ import annotations

from clumpt.agent.feeds import Feeds
from clumpt.agent.uplink import SILENT
from tests.sim.case import ClusterTestCase
from tests.sim.swarm_case import Swarm

#: Peers, bytes, and Mbit/s.  By offers alone that takes 1.32 times the fluid limit.
CASE = (40, 5_000_000, 20.0)


class PushedTests(ClusterTestCase):
    """A package of five megabytes, forty peers."""

    def test_all_up(self) -> None:
        """All get it soon; nothing comes twice, and one copy leaves the submitter."""
        swarm = Swarm(*CASE).run()
        self.assertEqual(len(swarm.finished), 40)
        self.assertLess(swarm.ratio, 1.25)
        self.assertLess(swarm.submitted, 1.05)
        self.assertLess(swarm.duplicates, 0.001)

    def test_dead(self) -> None:
        """Where a quarter is off, others take their places."""
        swarm = Swarm(*CASE).run(before=lambda swarm: swarm.kill(0.25))
        self.assertEqual(len(swarm.finished), 30)
        self.assertLess(swarm.ratio, 1.3 * 1.25)
        self.assertLess(swarm.submitted, 1.3)

    def test_killed(self) -> None:
        """Likewise if they are killed half-way."""
        swarm = Swarm(*CASE).run(halfway=lambda swarm: swarm.kill(0.25))
        self.assertEqual(len(swarm.finished), 30)
        self.assertLess(swarm.ratio, 1.3 * 1.25)
        self.assertLess(swarm.submitted, 1.3)
        self.assertLess(swarm.duplicates, 0.02)

    def test_dark(self) -> None:
        """If they lose power, nobody waits until it is known that their links are dead."""
        swarm = Swarm(*CASE).run(halfway=lambda swarm: swarm.kill(0.25, dark=True))
        self.assertEqual(len(swarm.finished), 30)
        self.assertLess(max(swarm.finished.values()), 1.25 * swarm.fluid + 4 * SILENT)
        self.assertLess(swarm.duplicates, 0.1)

    def test_slow(self) -> None:
        """A slow card keeps those waiting who are below it, which may be all, but only for a moment."""
        slow: list[str] = []
        swarm = Swarm(*CASE).run(before=lambda swarm: slow.append(swarm.slow(0.1)))
        others = sorted(at for name, at in swarm.finished.items() if name not in slow)
        self.assertLess(others[len(others) // 2], 1.8 * swarm.fluid)
        self.assertLess(others[-1], 1.25 * swarm.fluid + 2.0)

    def test_modest(self) -> None:
        """
        Who does not pass on as fast as things come stands nowhere, and gets it all the same.

        As thirty and the submitter have to give it to forty, this takes 1.29 times the fluid limit at least.
        Measured, with four seeds: 1.62 to 1.70, who stands nowhere as soon as the others.
        """
        swarm = Swarm(*CASE)

        def limit(swarm: Swarm) -> None:
            for machine in swarm.cluster.up[::4]:
                feeds: Feeds = machine.agent.fetcher.feeds
                feeds.modest = True

        swarm.run(before=limit)
        self.assertEqual(len(swarm.finished), 40)
        self.assertLess(swarm.ratio, 1.85)
