"""How the daemons of a simulated cluster come to life: each is built from its machine's disk alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from clumpt.apps.daemon import Node, Peer, build
from clumpt.config import Config, PeerSection
from clumpt.errors import StoreFull
from clumpt.model import PeerStatus
from clumpt.testing.invariants import check_kept, check_report, check_run
from clumpt.testing.keys import ISSUED
from clumpt.testing.machine import Machine
from clumpt.testing.memory_installer import MemoryInstaller
from clumpt.testing.office import NOTIFY, UPDATE
from clumpt.testing.site import MemorySite
from clumpt.testing.watch import Messenger, WatchedInstaller

if TYPE_CHECKING:
    from clumpt.testing.cluster import Cluster

__all__ = ["Lives"]

#: Seconds after which a daemon that could not start is started again.
RESTART = 5.0


@define(eq=False)
class Lives:
    """The daemons, one at a time on each machine, with eyes and ears where they touch the world."""

    cluster: Cluster

    def start(self, address: str) -> None:
        """Build the daemon of a machine that is up, from its disk alone; it has none in this life yet."""
        machine, reactor = self.cluster.machines[address], self.cluster.network.host(address).reactor
        if machine.peer is not None:
            raise RuntimeError(f"the daemon of {machine.name} runs already")
        config = Config(
            peer=PeerSection(
                name=machine.name,
                state=Path("/"),
                notify_port=NOTIFY,
                locality=self.cluster.locality,
                update_port=UPDATE,
                serve=self.cluster.serve,
                interval_jitter=0.2,
            ),
            directory=self.cluster.site.section,
            limits=self.cluster.limits,
        )
        node = Node(
            root=self.cluster.keys.root_envelope,
            reactor=reactor,
            random=self.cluster.world.random,
            wall=lambda: ISSUED + self.cluster.world.now,
            security=self.cluster.security,
            directory=lambda: self._messenger(machine, config, reactor),
            storage=machine.disk,
            journal=machine.open_journal(),
            installer=lambda roots: WatchedInstaller(
                MemoryInstaller(reactor, machine.installed, self.cluster.allowed, machine.disk.at),
                lambda entry, attempt, packages: check_run(self.cluster, machine, entry, attempt, packages),
                self.cluster.world.fault,
            ),
            in_thread=machine.worker(reactor, self.cluster.world.random),
        )
        check_kept(machine)
        building = build(config, node)
        building.addCallback(self._built, machine)
        building.addErrback(self._broken, machine, reactor)

    def _built(self, peer: Peer, machine: Machine) -> Deferred[None]:
        machine.peer = peer
        return peer.agent.start()

    def _broken(self, failure: Failure, machine: Machine, reactor: Any) -> None:
        """A daemon could not start, which nothing but its removal or a full disk should cause."""
        if not reactor.alive or machine.removed:
            return
        if failure.check(StoreFull) is None or machine.disk.limit is None:
            self.cluster.world.fault(failure)
        elif machine.peer is None:
            reactor.callLater(RESTART, self.start, machine.address)
        else:
            self.cluster.crash(machine.address)
            self.cluster.world.call_later(RESTART, self._revive, machine.address)

    def _revive(self, address: str) -> None:
        """The end of a storm may have done it before."""
        if not self.cluster.network.host(address).alive:
            self.cluster.boot(address)

    def _messenger(self, machine: Machine, config: Config, reactor: Any) -> Any:
        cluster, site, random = self.cluster, self.cluster.site, self.cluster.world.random

        def told(status: PeerStatus) -> None:
            machine.told = status

        return Messenger(
            site.view(machine.name, config, reactor),
            reactor,
            lambda: random.uniform(0.0, cluster.distance) if cluster.distance else 0.0,
            lambda: not (isinstance(site, MemorySite) and site.directory.server.down),
            lambda status: check_report(cluster, machine, status),
            cluster.world.fault,
            told,
        )
