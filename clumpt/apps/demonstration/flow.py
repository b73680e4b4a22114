"""The demonstration itself: packages are submitted, spread and installed (R79)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol

from attrs import define, field, frozen

from clumpt.aio import deferred
from clumpt.apps.demonstration import deployment, packages
from clumpt.apps.demonstration.bare_peers import BareInProcess, BareProcesses
from clumpt.apps.demonstration.cluster import Cluster
from clumpt.apps.demonstration.deployment import ALL, INTEL
from clumpt.apps.demonstration.figures import Figure
from clumpt.apps.demonstration.nursery import Nursery
from clumpt.apps.demonstration.paper import INTERVAL, Evaluation
from clumpt.apps.demonstration.peers import InProcess, Peers
from clumpt.apps.demonstration.processes import Processes
from clumpt.apps.demonstration.submitting import View, submit
from clumpt.apps.demonstration.summary import Result, Summary
from clumpt.model import GroupName, PeerName
from clumpt.pieces import Digest

#: What is made on the spot: name, version, bytes, and for whom.
SAMPLES: tuple[tuple[str, str, int, GroupName], ...] = (
    ("clumpt-demo-tools", "1.0", 64 * 1024, INTEL),
    ("clumpt-demo-hello", "1.0", 320 * 1024, ALL),
)


@frozen
class Wishes:
    """
    What a demonstration is to be like.

    @ivar files: the packages to submit, none for L{SAMPLES}.
    @ivar directory: C{embedded} or C{slapd}.
    @ivar within: seconds that one update may take.
    """

    peers: int = 20
    files: tuple[Path, ...] = ()
    directory: str = "embedded"
    processes: bool = False
    within: float = 120.0


class Show(Protocol):
    """Somebody who is told how it goes."""

    def step(self, text: str) -> None:
        """This is being done now."""

    def spread(self, view: View) -> None:
        """An update stands like this."""

    def ended(self, result: Result) -> None:
        """An update came to its end."""

    def close(self) -> None:
        """There is no more to show."""


def cluster(reactor: Any, wishes: Wishes, show: Show) -> Cluster:
    """The cluster that is wished for; nothing is begun yet."""
    return Cluster(reactor, wishes.directory, show.step)


@define(eq=False)
class Demonstration:
    """Real packages, installed for real, each into the private root of its peer."""

    _cluster: Cluster
    wishes: Wishes
    _show: Show
    _peers: Peers = field(init=False)
    _held: set[tuple[PeerName, Digest]] = field(factory=set, init=False)

    @deferred
    async def run(self) -> Summary:
        """Start all peers and submit everything, one after the other; fires with how it went."""
        await self._cluster.open()
        self._peers = self._runner()
        self._cluster.run_with(self._peers)
        await self._cluster.grow(deployment.nodes(self.wishes.peers))
        results = []
        for path, group in await self._cluster.in_thread(self._wanted):
            results.append(await self._submit(path, group))
        return Summary(self.wishes.peers, self.wishes.directory, tuple(results))

    def _runner(self) -> Peers:
        reactor = self._cluster.reactor
        if self.wishes.processes:
            return Processes(reactor, self._cluster.directory)
        nursery = Nursery(reactor, self._cluster.place.log)
        nursery.open()
        self._cluster.at_end(nursery.close)
        return InProcess(reactor, self._cluster.in_thread, nursery)

    def _wanted(self) -> list[tuple[Path, GroupName]]:
        """What to submit to whom: to one group, and to all."""
        files = self.wishes.files
        if files:
            return [(files[0], INTEL), *((file, ALL) for file in files)]
        folder = self._cluster.place.packages
        folder.mkdir()
        return [
            (packages.make(folder, name, version, SystemRandom().randbytes(size)), group)
            for name, version, size, group in SAMPLES
        ]

    async def _submit(self, path: Path, group: GroupName) -> Result:
        self._show.step(f"{path.name} for {group}")
        view = await submit(
            self._cluster.desk, self._peers, path, group, self.wishes.within, self._show.spread
        )
        result = Result.of(view, self._needed(view))
        self._show.ended(result)
        return result

    def _needed(self, view: View) -> int:
        """Bytes that the targets lacked before, all together."""
        needed = 0
        for package in view.entry.update.packages:
            for peer in view.plan.targets:
                if (peer.name, package.sha256) not in self._held:
                    needed += package.size
                    self._held.add((peer.name, package.sha256))
        return needed


@deferred
async def evaluate(cluster: Cluster, wishes: Wishes) -> Sequence[Figure]:
    """Replay the paper's evaluation on C{cluster}; fires with its figures (R79-R86)."""
    await cluster.open(INTERVAL, watched=False)
    reactor = cluster.reactor
    peers = BareProcesses(reactor, cluster.directory) if wishes.processes else BareInProcess(reactor)
    cluster.run_with(peers)
    nodes = deployment.nodes(wishes.peers)
    return await Evaluation(cluster, peers, nodes, SystemRandom()).run()
