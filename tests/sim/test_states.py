"""States and settings of a peer that its operators see: isolated (R77), serve = installed (R54)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from clumpt.hours import Hours
from clumpt.model import PeerName, State
from clumpt.provenance import Provenance
from clumpt.testing.cluster import Cluster
from clumpt.testing.drill import apart
from clumpt.testing.faults import isolate
from tests.sim.case import ClusterTestCase

#: Updates that do not fit the notifications of a new link.
MISSED = 600


class StateTests(ClusterTestCase):
    """Small clusters in fair weather."""

    def within(self, check: Callable[[Cluster], None], **words: object) -> None:
        """Do C{check} in a new world, of which nothing is left for other tests."""
        with apart():
            cluster = Cluster(1, 4, **words)  # type: ignore[arg-type]  # as the test says
            try:
                cluster.world.run_for(10)
                check(cluster)
            finally:
                cluster.close()

    def test_isolated(self) -> None:
        """Who reaches no member of its groups says so in the directory, and recovers by itself (R77)."""
        self.within(self.isolated)

    def isolated(self, cluster: Cluster) -> None:
        machine = cluster.up[0]

        def state() -> str:
            return cluster.statuses()[machine.name].state

        self.assertEqual(state(), "active")
        cut = cluster.network.partition(isolate(machine.address))
        cluster.world.run_until(lambda: state() == "isolated", within=300, every=1.0)
        cluster.network.mend(cut)
        cluster.world.run_until(lambda: bool(machine.agent._network.links()), within=200, every=1.0)
        # Well before the next round.
        cluster.world.run_until(lambda: state() == "active", within=5, every=1.0)

    def test_pull(self) -> None:
        """
        Who was cut off gets what it missed from its neighbours, without the directory (R50, H13).

        It is more than neighbours tell unasked when they link.
        """
        self.within(self.pull)

    def pull(self, cluster: Cluster) -> None:
        machine = cluster.up[0]
        entries = [cluster.sign(size=0) for _ in range(MISSED)]
        cluster.site.available(False)
        cut = cluster.network.partition(isolate(machine.address))
        cluster.up[1].agent.take([entry.envelope for entry in entries], PeerName("clumpt-submitter"))
        cluster.world.run_for(5)
        self.assertEqual(machine.agent.chain.head, 0)
        cluster.network.mend(cut)
        cluster.world.run_until(
            lambda: machine.agent.chain.head == MISSED, within=4 * cluster.interval, every=0.5
        )

    def test_forked(self) -> None:
        """Who was shown a second history tells the directory soon, even with nothing else to say."""
        self.within(self.forked)

    def forked(self, cluster: Cluster) -> None:
        machine, *others = cluster.up
        entry = cluster.sign(size=0)
        cluster.give(entry, [machine.name])
        cluster.world.run_until(cluster.agrees, within=5, every=0.5)

        def states() -> list[str]:
            told = cluster.statuses()
            return [told[one.name].state for one in (machine, *others)]

        self.assertEqual(states(), ["active"] * 4)
        # An alarm with a cause, for once.
        cluster.witness.leave()
        other = cluster.keys.submit_key.sign_update(evolve(entry.update, issued=entry.update.issued + 1))
        machine.agent.take([other.envelope], others[0].name)
        cluster.witness.listen()
        # Before it is next looked at whether all believe in one history.
        cluster.world.run_until(lambda: states() == ["forked"] + ["active"] * 3, within=3, every=0.1)

    def test_sources(self) -> None:
        """The directory is told from whom each package came, byte for byte; a restart takes nothing back."""
        self.within(self.sources)

    def sources(self, cluster: Cluster) -> None:
        entry = cluster.sign(size=500_000)
        package = entry.update.packages[0]
        cluster.submitter.deliver(entry, 20.0)
        cluster.world.run_until(cluster.agrees, within=60, every=0.5)
        cluster.world.run_for(5)

        def told() -> list[Provenance]:
            statuses = cluster.office.administer(lambda directory: directory.statuses(sources=True))
            return [dict(status.sources)[package.sha256] for status in statuses.values()]

        before = told()
        self.assertEqual([one.total for one in before], [500_000] * 4)
        self.assertGreaterEqual(sum(one.submitter for one in before), 500_000)
        self.assertGreater(sum(one.group for one in before), 0)
        for machine in list(cluster.up):
            cluster.crash(machine.address)
            cluster.boot(machine.address)
        cluster.sign(size=0)
        cluster.world.run_until(lambda: len(cluster.up) == 4, within=60, every=1.0)
        cluster.world.run_for(60)
        self.assertEqual(told(), before)

    def test_reloaded(self) -> None:
        """New limits, and the hours at which they hold, are taken without a restart (R7)."""
        self.within(self.reloaded)

    def reloaded(self, cluster: Cluster) -> None:
        agent = cluster.up[0].agent
        hours = Hours.parse("00:00-12:00 1k, 12:00-24:00 1k")
        agent.behave(evolve(agent.manners, upload=7, upload_hours=hours, download_hours=hours, fanout=3))
        now = cluster.world.now
        for bucket in (agent.server.uplink.rate, agent.fetcher.download):
            bucket.take(4096, now)
            self.assertAlmostEqual(bucket.take(1024, now), 4.0)
        self.assertEqual((agent.server.uplink.rate.rate, agent.server.uplink.fanout), (7, 3))

    def test_serve_installed(self) -> None:
        """With serve = installed nobody passes a package on before it is installed there (R54)."""
        self.within(self.serve_installed, serve="installed")

    def serve_installed(self, cluster: Cluster) -> None:
        entry = cluster.sign(size=200_000)
        first = cluster.up[0]
        cluster.give(entry, [first.name])

        def check() -> None:
            for machine in cluster.up:
                agent = machine.agent
                if sum(agent.server.sent.values()) and agent.agenda.states.get(1) is not State.DONE:
                    raise AssertionError(f"{machine.name} serves what it has not installed")

        cluster.world.watchers.append(check)
        cluster.world.run_until(cluster.agrees, within=200, every=0.5)
        self.assertTrue(any(machine.agent.server.sent for machine in cluster.up))
