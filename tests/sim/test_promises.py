"""Single misfortunes, one at a time: what storms find only now and then."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from clumpt.agent.sources import Sources
from clumpt.agent.sync import DIRECTORY
from clumpt.config import LimitsSection
from clumpt.model import Action, Interrupted, Outcome, PeerName, State, Update
from clumpt.testing.cluster import Cluster
from clumpt.testing.drill import apart
from clumpt.testing.invariants import check_at_rest, check_stopped
from clumpt.testing.liars import Mute
from clumpt.testing.machine import Machine
from clumpt.testing.memory_installer import Fate
from tests.sim.case import ClusterTestCase


def slow(update: Update, attempt: int, random: Random) -> Fate:
    """A run that succeeds after ten seconds, and changes the node at some moment before."""
    return Fate(Outcome(State.DONE, 0, "", 10.0), 10.0)


@contextmanager
def a_cluster(**words: Any) -> Iterator[Cluster]:
    """Four peers that are linked, in fair weather."""
    with apart():
        cluster = Cluster(2, 4, **words)
        try:
            cluster.world.run_for(3.0)
            yield cluster
        finally:
            cluster.close()


class DiskTests(ClusterTestCase):
    """Disks that are full, and power that fails."""

    def test_full_disk(self) -> None:
        """What is not on disk is not reported; when there is room again, the peer catches up by itself."""
        with a_cluster() as cluster:
            machine = cluster.up[0]
            machine.disk.limit = machine.disk.used + 10
            for _ in range(3):
                cluster.give(cluster.sign(size=200), [cluster.up[1].name])
                cluster.world.run_for(10.0)
            # Something is reported with the next synchronisation, though nothing was taken.
            reported = machine.told
            cluster.world.run_for(1.5 * cluster.interval)
            assert machine.told is not None
            self.assertIsNot(machine.told, reported)
            self.assertEqual((machine.told.head, machine.told.settled), (0, 0))
            machine.disk.limit = None
            cluster.world.run_until(cluster.agrees, within=2 * cluster.interval + 20.0, every=0.5)
            check_at_rest(cluster)

    def cut_off(self, cluster: Cluster, interrupted: Interrupted) -> Machine:
        """A peer whose power failed while it ran update 1; it is back, and has had time to go on."""
        machine = cluster.up[0]
        cluster.give(cluster.sign(size=200, interrupted=interrupted), [machine.name])
        cluster.world.run_until(lambda: bool(machine.installed.runs), within=1.0)
        cluster.world.run_for(5.0)
        cluster.power_loss(machine.address)
        cluster.world.run_for(1.0)
        cluster.boot(machine.address)
        cluster.world.run_for(30.0)
        return machine

    def test_hold(self) -> None:
        """Nobody knows how it ended: it is held, and said to be; a retry settles it (I6)."""
        with a_cluster(plan=slow) as cluster:
            machine = self.cut_off(cluster, Interrupted.HOLD)
            self.assertIs(machine.agent.agenda.states[1], State.HELD)
            assert machine.told is not None
            self.assertEqual((machine.told.settled, machine.told.failures[0].state), (0, State.HELD))
            first = cluster.keys.entries[0].update
            cluster.give(cluster.sign(packages=first.packages, retries=1), [machine.name])
            cluster.world.run_until(cluster.agrees, within=60.0, every=0.5)
            self.assertIs(machine.agent.agenda.states[1], State.SKIPPED)
            check_at_rest(cluster)

    def test_rerun(self) -> None:
        """It is run once more, and not again (I6)."""
        with a_cluster(plan=slow) as cluster:
            machine = self.cut_off(cluster, Interrupted.RERUN)
            self.assertEqual([ran.cut for ran in machine.installed.runs], [True, False])
            cluster.world.run_until(cluster.agrees, within=60.0, every=0.5)
            check_at_rest(cluster)

    def test_flipped_bit(self) -> None:
        """A package that a disk changed is not run but fetched again."""
        with a_cluster(plan=slow) as cluster:
            machine = cluster.up[0]
            cluster.give(cluster.sign(size=200), [machine.name])
            cluster.give(cluster.sign(size=200), [machine.name])
            cluster.world.run_for(5.0)
            machine.suspect = True
            second = cluster.keys.entries[1].update.packages[0].sha256
            path = machine.agent.repository.path(second)
            machine.disk.bit_flip(path.relative_to("/memory").as_posix())
            cluster.world.run_until(cluster.agrees, within=60.0, every=0.5)
            self.assertEqual(machine.read(second), cluster.contents[second])

    def test_found_when_given(self) -> None:
        """One that is found to be changed when others ask for it is fetched again, and soon (H11)."""
        with a_cluster() as cluster:
            machine = cluster.up[0]
            cluster.give(cluster.sign(size=200), [machine.name])
            cluster.world.run_until(cluster.agrees, within=60.0, every=0.5)
            machine.suspect = True
            package = cluster.keys.entries[0].update.packages[0]
            path = machine.agent.repository.path(package.sha256)
            machine.disk.bit_flip(path.relative_to("/memory").as_posix())
            self.assertIsNone(machine.agent.repository.read(package, 0))
            cluster.world.run_for(1.0)
            self.assertEqual(machine.read(package.sha256), cluster.contents[package.sha256])


class QuietTests(ClusterTestCase):
    """When there is nothing to do, nothing is done."""

    def test_quiet(self) -> None:
        """A package that became unwanted half-way is soon offered no more (L4)."""
        with a_cluster(limits=LimitsSection(upload=20_000)) as cluster:
            cluster.give(cluster.sign(size=200_000), [cluster.up[0].name])
            cluster.world.run_for(2.0)
            withdrawal = cluster.sign(size=0, action=Action.WITHDRAW, withdraws=(1,))
            cluster.give(withdrawal, [cluster.up[0].name])
            cluster.world.run_until(cluster.agrees, within=60.0, every=0.5)
            cluster.world.run_for(300.0)
            before = cluster.world.events
            cluster.world.run_for(cluster.interval)
            self.assertLess(cluster.world.events - before, 120 * len(cluster.up))

    def test_stopped(self) -> None:
        """A daemon that waits for peers that do not answer, or are busy, leaves nothing when it stops."""
        with a_cluster(vices=(Mute, Mute), limits=LimitsSection(upload=20_000)) as cluster:
            first, *others = cluster.up
            cluster.give(cluster.sign(size=400_000), [first.name])
            waiting = [machine for machine in others if self.waits(cluster, machine)]
            self.assertTrue(waiting)
            for machine in cluster.up:
                cluster.wait(cluster.stop(machine.address), within=30.0)
                check_stopped(cluster, machine)

    def waits(self, cluster: Cluster, machine: Machine) -> bool:
        """Is there a moment from now on in which it pauses, as somebody was busy?"""
        fetcher = machine.agent.fetcher
        try:
            cluster.world.run_until(
                lambda: any(timer.active() for timer in fetcher._pauses._timers), within=5.0
            )
        except AssertionError:
            return False
        return True


class NeighbourTests(ClusterTestCase):
    """Peers whose neighbours are dead."""

    def test_others(self) -> None:
        """Who can reach no neighbour asks any other member of its groups, and is not isolated (R76)."""
        with apart():
            cluster = Cluster(3, 14, interval=10.0)
            cluster.world.run_for(3.0)
            machine = cluster.up[0]
            near = set(cluster.enrolled[machine.name].neighbours)
            near |= {peer.name for peer in cluster.enrolled.values() if machine.name in peer.neighbours}
            self.assertLess(len(near), 13)
            for other in cluster.up[1:]:
                if other.name in near:
                    cluster.power_loss(other.address)
            cluster.world.run_for(120.0)
            self.assertTrue(machine.agent._network.links())
            assert machine.told is not None
            self.assertEqual(machine.told.state, "active")
            cluster.close()


class NewsTests(ClusterTestCase):
    """When others hear of an update."""

    def test_from_the_directory(self) -> None:
        """What a submitter told is passed on at once, what the directory told a moment later."""
        for sender, at_once in ((PeerName("desk"), 4), (DIRECTORY, 1)):
            with a_cluster() as cluster:
                first = cluster.up[0].agent
                first.take([cluster.sign().envelope], sender)
                cluster.world.run_for(0.1)
                self.assertEqual(sum(machine.agent.chain.head for machine in cluster.up), at_once)
                cluster.world.run_until(cluster.knows, within=2.0)


class BackupTests(ClusterTestCase):
    """A directory that is set back (R13)."""

    def test_generations(self) -> None:
        """An old membership does not come back with an old backup, and not with a restart either (I7)."""
        with a_cluster(groups={"gpu": 0.0}, interval=10.0) as cluster:
            backup = cluster.site.backup()
            machine = cluster.up[0]
            cluster.office.regroup(machine, ["gpu"])
            cluster.world.run_for(15.0)
            self.assertIn("gpu", machine.agent.roster.groups)
            cluster.office.set_back(backup)
            cluster.world.run_for(15.0)
            self.assertIn("gpu", machine.agent.roster.groups)
            cluster.crash(machine.address)
            cluster.boot(machine.address)
            cluster.world.run_for(15.0)
            self.assertIn("gpu", machine.agent.roster.groups)


class MistakeTests(ClusterTestCase):
    """A mistake of our own, where nobody waits for what is done."""

    def test_told(self) -> None:
        """It is logged at once, not when the garbage is collected: a peer that stands still says why."""
        with a_cluster() as cluster:
            self.patch(Sources, "keep", lambda sources, told: 1 / 0)
            cluster.give(cluster.sign(size=200), [cluster.up[0].name])
            with self.assertRaisesRegex(AssertionError, "ZeroDivisionError"):
                cluster.world.run_for(10.0)
