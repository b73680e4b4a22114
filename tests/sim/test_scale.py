"""
How fast and how far: many peers, growing clusters, and those that were away.

C{make test} has small clusters, C{make sim} has 1000 peers.
"""

import os
from random import Random

from clumpt.model import Action, Entry, Outcome, State, Update
from clumpt.testing.cluster import Cluster
from clumpt.testing.drill import apart
from clumpt.testing.invariants import check_at_rest, check_stopped
from clumpt.testing.memory_installer import Fate
from tests.sim.case import USUAL, ClusterTestCase

#: Is time given to it, as by C{make sim}?
FULL = int(os.environ.get("CLUMPT_SEEDS") or 0) >= USUAL
#: Peers, and seeds that are tried.
PEERS, SEEDS = (1000, range(20)) if FULL else (120, range(3))
#: Virtual seconds in which a push reaches everybody.
PUSH = 1.0


def at_once(update: Update, attempt: int, random: Random) -> Fate:
    """A run that takes no time, so that none is under way when a daemon is stopped."""
    return Fate(Outcome(State.DONE, 0), 0.0)


class ScaleTests(ClusterTestCase):
    """Clusters with N = 5, M = 2 and a ring through each group."""

    def order(self, cluster: Cluster) -> Entry:
        """Something small for everybody, told to one peer."""
        entry = cluster.sign("all", size=0, action=Action.REMOVE, targets=("something",))
        cluster.give(entry, [cluster.up[0].name])
        return entry

    def test_push(self) -> None:
        """All know an update by push alone within a second, before anybody synchronises (R32-R34)."""
        for seed in SEEDS:
            with apart():
                cluster = Cluster(seed, PEERS, interval=300.0, look=10.0)
                cluster.world.run_for(1.0)
                self.order(cluster)
                cluster.world.run_until(cluster.knows, within=PUSH - 0.5, every=0.01)
                cluster.close()

    def test_push_among_the_dead(self) -> None:
        """With three of ten peers down, all others know an update within three intervals (H13)."""
        for seed in SEEDS:
            with apart():
                cluster = Cluster(seed, PEERS, look=10.0)
                cluster.world.run_for(1.0)
                for address in cluster.world.random.sample(list(cluster.machines), PEERS * 3 // 10):
                    cluster.power_loss(address)
                cluster.world.run_for(1.0)
                self.order(cluster)
                cluster.world.run_until(cluster.knows, within=3 * cluster.interval, every=0.1)
                cluster.close()

    def test_growth(self) -> None:
        """Four peers become twenty while packages flow: all get everything, also what came before them."""
        with apart():
            cluster = Cluster(4, 4, interval=20.0)
            for size in (2000, 70_000) * 8:
                cluster.submitter.bring(cluster.sign("all", size), 60.0)
                cluster.world.run_for(2.0)
                cluster.office.add()
            work = 16 * 5.0
            cluster.world.run_until(cluster.agrees, within=3 * cluster.interval + work, every=0.1)
            check_at_rest(cluster)
            self.assertEqual(len(cluster.up), 20)
            cluster.close()

    def test_absent(self) -> None:
        """Five peers that were off during 50 submissions know all two intervals after they came back."""
        with apart():
            cluster = Cluster(5, 10, interval=20.0)
            cluster.world.run_for(2.0)
            absent = list(cluster.machines)[:5]
            for address in absent:
                cluster.power_loss(address)
            for _ in range(50):
                cluster.submitter.bring(cluster.sign("all", 2000), 60.0)
                cluster.world.run_for(1.0)
            for address in absent:
                cluster.boot(address)
            cluster.world.run_until(cluster.knows, within=2 * cluster.interval, every=0.1)
            cluster.world.run_until(cluster.agrees, within=50 * 5.0 + cluster.interval, every=1.0)
            check_at_rest(cluster)
            cluster.close()

    def test_clean_end(self) -> None:
        """A daemon that is stopped in the midst of its work leaves no timer, no wire and no port."""
        for moment in (0.0, 0.0005, 0.002, 0.01, 1.0, 10.0):
            with apart():
                cluster = Cluster(6, 5, plan=at_once, distance=0.1)
                cluster.world.run_for(1.0)
                cluster.submitter.deliver(cluster.sign("all", 200_000), 20.0)
                cluster.world.run_for(moment)
                stopping = [(machine, cluster.stop(machine.address)) for machine in cluster.up]
                for machine, stopped in stopping:
                    cluster.wait(stopped, within=30.0)
                    check_stopped(cluster, machine)
                cluster.close()
