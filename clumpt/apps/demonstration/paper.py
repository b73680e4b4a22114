"""
The evaluation of the paper, replayed (R79-R86).

Twenty peers in two clusters, packages of 2 to 20 KB, 20 % told first.  The
package manager is left out, but for the time it takes: what the paper timed is
how updates spread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from random import Random
from shutil import rmtree

from attrs import define, field, frozen

from clumpt.aio import deferred, sleep
from clumpt.apps.demonstration import packages
from clumpt.apps.demonstration.bare_peers import Measured
from clumpt.apps.demonstration.cluster import Cluster
from clumpt.apps.demonstration.deployment import ALL, Node
from clumpt.apps.demonstration.figures import Figure
from clumpt.apps.submitting import Submitter, make_plan
from clumpt.apps.verbs.install import offer
from clumpt.errors import BadInput
from clumpt.install.packages import read_package
from clumpt.model import Action, PeerName, Seq
from clumpt.order import Order
from clumpt.store.offered import Offered

#: Bytes in the paper's packages (R82), and peers at first (R85).
LEAST, MOST, FIRST = 2_000, 20_000, 4
#: Seconds between the rounds of synchronisation.
INTERVAL = 30.0
#: Seconds after which something is given up, and between two looks.
PATIENCE, LOOK = 60.0, 0.005


@frozen
class Extent:
    """
    How much is done.

    @ivar table: updates in the table when a peer comes that has nothing (R81).
    @ivar joining: those of them that are submitted while peers join (R85).
    @ivar off: peers that are off or silent, C{during} so many updates, or C{silent} (R83, R84).
    """

    table: int = 223
    joining: int = 20
    off: int = 5
    during: int = 50
    silent: int = 20


@frozen
class Told:
    """One update that was submitted: its seq, and when the first peer was notified, since the epoch."""

    seq: Seq
    at: float


@define(eq=False)
class Evaluation:
    """Does everything once."""

    _cluster: Cluster
    _peers: Measured
    _nodes: Sequence[Node]
    _random: Random
    _extent: Extent = Extent()
    _made: Iterator[Path] = field(init=False)

    @_made.default
    def _packages(self) -> Iterator[Path]:
        folder = self._cluster.place.packages
        folder.mkdir()
        number = 0
        while True:
            number += 1
            size = self._random.randint(LEAST, MOST)
            yield packages.tar(folder, f"paper-{number}", "1.0", self._random.randbytes(size))

    @property
    def _names(self) -> list[PeerName]:
        return [node.name for node in self._nodes]

    @deferred
    async def run(self) -> Sequence[Figure]:
        """Everything, in an order in which nothing need be done twice."""
        growth = await self._grow()
        spread = await self._spread()
        late = await self._late()
        silent = await self._silent(max(spread.values))
        back = await self._back()
        return (late, spread, silent, back, growth)

    async def _grow(self) -> Figure:
        """From a few peers to all, while updates are submitted (R85)."""
        first = [*self._nodes[: FIRST // 2], *self._nodes[-FIRST // 2 :]]
        rest = [node for node in self._nodes if node not in first]
        await self._cluster.grow(first)
        self._cluster.say(f"{FIRST} peers grow to {len(self._nodes)}, while updates flow")
        joining = self._join(rest)
        for _ in range(self._extent.joining):
            await self._submit()
        await joining
        began = time.time()
        await self._agreed(self._names)
        return Figure(
            f"{FIRST} peers grow to {len(self._nodes)}: all agree after the last came",
            "R85",
            "they join, synchronise and take part",
            2 * INTERVAL,
            (time.time() - began,),
        )

    @deferred
    async def _join(self, rest: Sequence[Node]) -> None:
        half = len(rest) // 2
        for some in (rest[:half], rest[half:]):
            await self._cluster.grow(some)

    async def _spread(self) -> Figure:
        """Many packages, one after the other, to all (R82)."""
        count = self._extent.table - self._extent.joining
        self._cluster.say(f"{count} packages, each to all {len(self._nodes)} peers")
        values = [await self._reach(self._names) for _ in range(count)]
        return Figure(
            f"a package to all {len(self._nodes)}, from the first notification",
            "R82",
            "never over 10 s",
            10.0,
            tuple(values),
            (0.1, 0.5),
        )

    async def _late(self) -> Figure:
        """Half of the peers come without anything (R80, R81)."""
        late = self._random.sample(self._names, len(self._nodes) // 2)
        self._cluster.say(f"{len(late)} peers start with nothing, {self._extent.table} updates behind")
        await self._peers.stop(late)
        for name in late:
            rmtree(self._cluster.place.state_of(name))
        await self._start(late)
        await self._until(lambda: all(len(self._peers.times(name)) > self._extent.table for name in late))
        values = []
        for name in late:
            times = self._peers.times(name)
            values.append(max(times.values()) - times[0])
        return Figure(
            f"a peer starts and synchronises, {self._extent.table} updates behind",
            "R81",
            "mean 2.4 s, never over 7 s",
            7.0,
            tuple(values),
            (1.0, 2.0),
            "mean",
        )

    async def _silent(self, worst: float) -> Figure:
        """Some peers are there and do not answer (R84)."""
        silent = self._random.sample(self._names, self._extent.off)
        others = [name for name in self._names if name not in silent]
        count = self._extent.silent
        self._cluster.say(f"{len(silent)} peers do not answer any more; {count} packages to the others")
        await self._peers.silence(silent)
        values = [await self._reach(others) for _ in range(count)]
        await self._peers.wake(silent)
        await self._agreed(self._names)
        return Figure(
            f"the same with {self._extent.off} of them silent, to the others",
            "R84",
            "slower, by TCP time-outs",
            10.0,
            tuple(values),
            (2 * worst, 2 * worst),
        )

    async def _back(self) -> Figure:
        """Some peers are off while much is submitted, and come back (R83, R86)."""
        off = self._random.sample(self._names, self._extent.off)
        self._cluster.say(
            f"{self._extent.off} peers are off during {self._extent.during} submissions, and come back"
        )
        await self._peers.stop(off)
        for _ in range(self._extent.during):
            await self._submit()
        began = time.time()
        await self._start(off)
        await self._agreed(self._names)
        return Figure(
            f"{len(off)} peers come back that were off during {self._extent.during} updates: all agree",
            "R83, R86",
            "always back to one state",
            2 * INTERVAL,
            (time.time() - began,),
        )

    async def _start(self, names: Collection[PeerName]) -> None:
        await self._peers.start({name: self._cluster.place.config_of(name) for name in names})

    async def _reach(self, names: Sequence[PeerName]) -> float:
        """Submit a package; seconds from the first notification until all these hold it."""
        told = await self._submit()
        await self._until(lambda: all(told.seq in self._peers.times(name) for name in names))
        return max(self._peers.times(name)[told.seq] for name in names) - told.at

    async def _submit(self) -> Told:
        """Submit one package to all, as C{clumpt install} does."""
        desk, path = self._cluster.desk, next(self._made)
        metadata = read_package(path)
        offered = Offered()
        packages = await offer(desk, offered, [path], [metadata])
        order = Order(frozenset([ALL]), Action.INSTALL, metadata.installer, packages)
        submitter = Submitter(desk, await make_plan(desk, order), offered)
        try:
            await submitter.open()
            entry = await submitter.register()
            await submitter.seed(entry, PATIENCE)
            if submitter.began is None:
                raise BadInput("no peer could be notified")
            return Told(entry.seq, time.time() - (desk.reactor.seconds() - submitter.began))
        finally:
            await submitter.close()

    async def _agreed(self, names: Sequence[PeerName]) -> None:
        """Wait until all these have done everything, by what the directory says (R86)."""
        directory = self._cluster.directory
        until = self._cluster.reactor.seconds() + PATIENCE
        head = await directory.head()
        while True:
            statuses = await directory.statuses(names)
            if all(name in statuses and statuses[name].settled == head for name in names):
                return
            if self._cluster.reactor.seconds() > until:
                behind = sorted(name for name in names if statuses[name].settled < head)
                raise BadInput(f"the peers do not agree after {PATIENCE:g} s; behind are {', '.join(behind)}")
            await sleep(self._cluster.reactor, 10 * LOOK)

    async def _until(self, done: Callable[[], bool]) -> None:
        until = self._cluster.reactor.seconds() + PATIENCE
        while not done():
            if self._cluster.reactor.seconds() > until:
                raise BadInput(f"an update did not reach all peers in {PATIENCE:g} s")
            await sleep(self._cluster.reactor, LOOK)
