"""From nothing to a cluster that installs, and back to nothing (R79)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol, TextIO

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import globalLogPublisher, textFileLogObserver

from clumpt.aio import deferred
from clumpt.apps.conf_env import Environment
from clumpt.apps.demonstration import deployment, packages
from clumpt.apps.demonstration.deployment import ALL, INTEL, Node
from clumpt.apps.demonstration.directories import serve
from clumpt.apps.demonstration.leftovers import end_runs
from clumpt.apps.demonstration.loopback import free_net
from clumpt.apps.demonstration.nursery import Nursery
from clumpt.apps.demonstration.peers import InProcess, Peers
from clumpt.apps.demonstration.place import Place
from clumpt.apps.demonstration.processes import Processes
from clumpt.apps.demonstration.submitting import View, submit
from clumpt.apps.demonstration.summary import Result, Summary
from clumpt.apps.desk import Desk, real_desk
from clumpt.configfile import load
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


@define(eq=False)
class Demonstration:
    """A cluster on this machine; always L{close} it."""

    _reactor: Any
    wishes: Wishes
    _show: Show
    place: Place = field(init=False)
    nodes: Sequence[Node] = field(init=False)
    peers: Peers = field(init=False)
    desk: Desk = field(init=False)
    env: Environment = field(init=False)
    _log: TextIO = field(init=False)
    _closing: list[Callable[[], Any]] = field(factory=list, init=False)
    _held: set[tuple[PeerName, Digest]] = field(factory=set, init=False)

    @deferred
    async def open(self) -> None:
        """Make the deployment and start directory and peers; fires when all are up."""
        random = SystemRandom()
        place = self.place = Place.make(free_net(random))
        self._closing.append(place.remove)
        self._log = place.log.open("w", buffering=1)
        self._closing.append(self._log.close)
        observer = textFileLogObserver(self._log)
        globalLogPublisher.addObserver(observer)
        self._closing.append(lambda: globalLogPublisher.removeObserver(observer))
        self._show.step(f"a deployment in {place.folder}: authority, root of trust, keys")
        deployment.initialise(place, time.time(), f"{random.getrandbits(48):012x}")
        self._show.step(f"the directory: {self.wishes.directory}, at {place.uris[0]}")
        await serve(self.wishes.directory, place, self._reactor, self._closing.append)
        self.env = deployment.administrator(place, self._reactor, self._log)
        self._closing.append(self.env.directory.close)
        await deployment.start(self.env)
        self._closing.append(lambda: end_runs(place.folder, self._reactor))
        self.peers = self._runner()
        self._closing.append(self.peers.stop)
        await self.grow(deployment.nodes(self.wishes.peers))
        self.desk = real_desk(load(place.config), self._reactor, self._log, self._log)
        self._closing.append(self.desk.close)

    def _runner(self) -> Peers:
        if self.wishes.processes:
            return Processes(self._reactor, self.env.directory)
        nursery = Nursery(self._reactor)
        nursery.open()
        self._closing.append(nursery.close)
        return InProcess(self._reactor, self._in_thread, nursery)

    @deferred
    async def grow(self, nodes: Sequence[Node]) -> None:
        """Add C{nodes} to the deployment and start them (R85)."""
        self._show.step(f"{len(nodes)} nodes: certificates, memberships, neighbours")
        await deployment.enrol(self.env, self.place, nodes)
        self._show.step(f"{len(nodes)} peers start")
        await self.peers.start({node.name: self.place.config_of(node.name) for node in nodes})

    @deferred
    async def run(self) -> Summary:
        """Submit everything, one after the other; fires with how it went."""
        results = []
        for path, group in await self._in_thread(self._wanted):
            results.append(await self.submit(path, group))
        return Summary(self.wishes.peers, self.wishes.directory, tuple(results))

    def _wanted(self) -> list[tuple[Path, GroupName]]:
        """What to submit to whom: to one group, and to all."""
        files = self.wishes.files
        if files:
            return [(files[0], INTEL), *((file, ALL) for file in files)]
        self.place.packages.mkdir()
        return [
            (packages.make(self.place.packages, name, version, size, SystemRandom()), group)
            for name, version, size, group in SAMPLES
        ]

    @deferred
    async def submit(self, path: Path, group: GroupName) -> Result:
        """Submit one package to one group, and wait for its end; fires with how it went."""
        self._show.step(f"{path.name} for {group}")
        view = await submit(self.desk, self.peers, path, group, self.wishes.within, self._show.spread)
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

    def _in_thread(self, call: Callable[..., Any], *words: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call, *words)

    @deferred
    async def close(self) -> None:
        """Stop everything and remove the folder; fires when nothing is left."""
        while self._closing:
            await _maybe(self._closing.pop())


@deferred
async def _maybe(call: Callable[[], Any]) -> None:
    result = call()
    if isinstance(result, Deferred):
        await result
