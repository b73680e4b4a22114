"""A whole deployment on this machine, from nothing, and back to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol, TextIO

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import globalLogPublisher, textFileLogObserver
from twisted.python.failure import Failure

from clumpt.aio import deferred
from clumpt.apps.conf_env import Environment
from clumpt.apps.demonstration import deployment
from clumpt.apps.demonstration.deployment import Node
from clumpt.apps.demonstration.directories import serve
from clumpt.apps.demonstration.leftovers import end_runs
from clumpt.apps.demonstration.loopback import free_net
from clumpt.apps.demonstration.place import Place
from clumpt.apps.desk import Desk, real_desk
from clumpt.configfile import load
from clumpt.interfaces import IDirectory
from clumpt.model import PeerName


class Runner(Protocol):
    """Something that runs peers."""

    def start(self, configs: Mapping[PeerName, Path]) -> Deferred[Any]:
        """Start those with these configurations; fires when they are up."""

    def stop(self, names: Collection[PeerName] | None = None) -> Deferred[Any]:
        """Stop some, or all, that run; fires when they are down."""


@define(eq=False)
class Cluster:
    """
    Everything but the peers themselves; always L{close} it.

    @ivar say: is told what is being done.
    @ivar place: where it is; this and the others are there once L{open} has fired.
    """

    reactor: Any
    _directory: str
    say: Callable[[str], None]
    place: Place = field(init=False)
    env: Environment = field(init=False)
    desk: Desk = field(init=False)
    _runner: Runner = field(init=False)
    _closing: list[Callable[[], Any]] = field(factory=list, init=False)

    @property
    def directory(self) -> IDirectory:
        """The directory, as its administrator sees it."""
        return self.env.directory

    @deferred
    async def open(self, interval: float = 0.0, watched: bool = True) -> None:
        """
        Make the deployment and start its directory.

        @param interval: seconds between the peers' rounds of synchronisation, 0 for the usual ones.
        @param watched: does somebody look on?  Then the peers report sooner than they usually do.
        """
        random = SystemRandom()
        place = self.place = Place.make(free_net(random))
        self.at_end(place.remove)
        log = self._keep_log()
        self.say(f"a deployment in {place.folder}: authority, root of trust, keys")
        deployment.initialise(place, time.time(), f"{random.getrandbits(48):012x}", watched)
        self.say(f"the directory: {self._directory}, at {place.uris[0]}")
        await serve(self._directory, place, self.reactor, self.at_end)
        self.env = deployment.administrator(place, self.reactor, log)
        self.at_end(self.env.directory.close)
        await deployment.start(self.env, interval)
        self.desk = real_desk(load(place.config), self.reactor, log, log)
        self.at_end(self.desk.close)
        self.at_end(lambda: end_runs(place.folder, self.reactor))

    def _keep_log(self) -> TextIO:
        log = self.place.log.open("w", buffering=1)
        self.at_end(log.close)
        observer = textFileLogObserver(log)
        globalLogPublisher.addObserver(observer)
        self.at_end(lambda: globalLogPublisher.removeObserver(observer))
        return log

    def run_with(self, runner: Runner) -> None:
        """Run the peers with C{runner}; they are stopped at the end."""
        self._runner = runner
        self.at_end(runner.stop)

    @deferred
    async def grow(self, nodes: Sequence[Node]) -> None:
        """Add C{nodes} to the deployment, as clumptconf does, and start their peers (R85)."""
        self.say(f"{len(nodes)} nodes: certificates, memberships, neighbours")
        await deployment.enrol(self.env, self.place, nodes)
        self.say(f"{len(nodes)} peers start")
        await self._runner.start({node.name: self.place.config_of(node.name) for node in nodes})

    def in_thread(self, call: Callable[..., Any], *words: Any) -> Deferred[Any]:
        """Do slow work on the disk; fires with its result."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), call, *words)

    def at_end(self, call: Callable[[], Any]) -> None:
        """What is to be done at the end, the last one first; it may give a Deferred."""
        self._closing.append(call)

    @deferred
    async def close(self) -> None:
        """
        Stop everything and remove the folder; fires when nothing is left.

        What goes wrong keeps nothing else from being done; the first of it is what this fails with.
        """
        wrong: list[Failure] = []
        while self._closing:
            await maybeDeferred(self._closing.pop()).addErrback(wrong.append)
        if wrong:
            wrong[0].raiseException()
