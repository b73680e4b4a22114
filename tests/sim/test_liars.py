"""Peers that do harm, in good weather: nobody is held up for long, and who can be named is named (L3)."""

from clumpt.config import LimitsSection
from clumpt.testing.cluster import Cluster
from clumpt.testing.drill import apart
from clumpt.testing.invariants import check_at_rest
from clumpt.testing.liars import (
    Babbler,
    Braggart,
    Flooder,
    Forger,
    Mute,
    Poisoner,
    Pretender,
    Vice,
)
from tests.sim.case import ClusterTestCase

#: Seconds that three small updates may take: requests that nobody answers are given up after 30.
BOUND = 120.0
#: So slow that there is time to do harm meanwhile.
SLOW = LimitsSection(upload=50_000)


class LiarTests(ClusterTestCase):
    """Five honest peers, and two that are not."""

    def harm(self, kind: type[Vice], seed: int = 17) -> Cluster:
        """Three updates among such liars."""
        with apart():
            cluster = Cluster(seed, 5, limits=SLOW, vices=(kind, kind))
            try:
                cluster.world.run_for(3.0)
                for size in (200, 70_000, 200_000):
                    cluster.submitter.deliver(cluster.sign("all", size), 20.0)
                    cluster.world.run_for(1.0)
                cluster.world.run_until(cluster.agrees, within=BOUND, every=0.5)
                check_at_rest(cluster)
                told = [came for peer in cluster.up for _, came in peer.agent.status().sources]
                self.wrong = sum(came.wrong for came in told)
            finally:
                cluster.close()
        return cluster

    def assert_named(self, cluster: Cluster, least: int = 2) -> None:
        """Somebody told the operator of so many of them, by name or address."""
        accused = cluster.witness.accused
        named = [liar for liar in cluster.liars.values() if accused[liar.name] + accused[liar.address]]
        self.assertGreaterEqual(len(named), least)

    def test_useless(self) -> None:
        """A peer that has nothing and gives nothing does not matter."""
        self.harm(Vice)

    def test_forged(self) -> None:
        """Updates that were not signed, or for another deployment, go nowhere; who sent them is named."""
        self.assert_named(self.harm(Forger))

    def test_poisoned(self) -> None:
        """Wrong bytes never get into a repository; who was asked and gave them is named."""
        self.assert_named(self.harm(Poisoner, seed=22), least=1)
        self.assertGreater(self.wrong, 0, "nobody took anything from them: try another seed")

    def test_mute(self) -> None:
        """Who promises everything and gives nothing costs a time-out."""
        self.harm(Mute)

    def test_braggart(self) -> None:
        """Who promises updates that there are not is asked in vain, now and then."""
        self.harm(Braggart)

    def test_flood(self) -> None:
        """Who says and asks too much takes nothing from the others; what breaks the rules is named."""
        self.assert_named(self.harm(Flooder))

    def test_rubbish(self) -> None:
        """Rubbish on a connection ends it."""
        self.assert_named(self.harm(Babbler))

    def test_pretender(self) -> None:
        """With the membership of somebody else, or an invented one, there is no link."""
        self.assert_named(self.harm(Pretender))
