"""The peers of the paper's evaluation, in this process or in their own; some can be made silent."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as Line

from clumpt.aio import deferred
from clumpt.apps.conf_change import each
from clumpt.apps.daemon import Peer
from clumpt.apps.demonstration.bare import Recorder, Timeline, run
from clumpt.apps.demonstration.cluster import Runner
from clumpt.apps.demonstration.peers import AT_ONCE
from clumpt.apps.demonstration.processes import Processes
from clumpt.configfile import load
from clumpt.interfaces import IDirectory
from clumpt.model import PeerName, Seq

Configs = Mapping[PeerName, Path]


class Measured(Runner, Protocol):
    """Peers that note when they hold what."""

    def times(self, name: PeerName) -> Mapping[Seq, float]:
        """When a peer got each update, and for 0 when it began to work, in seconds since the epoch."""

    def silence(self, names: Collection[PeerName]) -> Deferred[Any]:
        """Make some dead for the others, in the worst way: who calls them gets no answer at all."""

    def wake(self, names: Collection[PeerName]) -> Deferred[Any]:
        """Bring them back."""


@define(eq=False)
class BareInProcess:
    """See L{Measured}: all in this process."""

    _reactor: Any
    _paths: dict[PeerName, Path] = field(factory=dict, init=False)
    _running: dict[PeerName, tuple[Peer, Recorder]] = field(factory=dict, init=False)
    _times: dict[PeerName, dict[Seq, float]] = field(factory=dict, init=False)
    _mute: dict[PeerName, list[Any]] = field(factory=dict, init=False)

    def start(self, configs: Configs) -> Deferred[Any]:
        """See L{Measured}."""
        return each(list(configs.items()), self._start, AT_ONCE)

    @deferred
    async def _start(self, named: tuple[PeerName, Path]) -> None:
        name, self._paths[named[0]] = named
        times: dict[Seq, float] = {}
        self._times[name] = times
        recorder = Recorder(self._reactor, time.time, times.__setitem__)
        peer = await run(self._paths[name], self._reactor, recorder)
        self._running[name] = peer, recorder

    @deferred
    async def stop(self, names: Collection[PeerName] | None = None) -> None:
        """See L{Measured}."""
        await each(list(self._mute if names is None else []), self._speak, AT_ONCE)
        chosen = [self._running.pop(name) for name in list(self._running if names is None else names)]
        for _, recorder in chosen:
            recorder.stop()
        await each(chosen, lambda running: running[0].stop(), AT_ONCE)

    def times(self, name: PeerName) -> Mapping[Seq, float]:
        """See L{Measured}."""
        return self._times.get(name, {})

    @deferred
    async def silence(self, names: Collection[PeerName]) -> None:
        """See L{Measured}."""
        await self.stop(names)
        for name in names:
            peer = load(self._paths[name]).peer
            self._mute[name] = [
                await TCP4ServerEndpoint(self._reactor, port, interface=peer.listen).listen(
                    Factory.forProtocol(Line)
                )
                for port in (peer.notify_port, peer.update_port)
            ]

    @deferred
    async def wake(self, names: Collection[PeerName]) -> None:
        """See L{Measured}."""
        await each(list(names), self._speak, AT_ONCE)
        await self.start({name: self._paths[name] for name in names})

    @deferred
    async def _speak(self, name: PeerName) -> None:
        for port in self._mute.pop(name):
            await maybeDeferred(port.stopListening)


@define(eq=False)
class BareProcesses:
    """See L{Measured}: each a process of its own."""

    _reactor: Any
    _directory: IDirectory
    _processes: Processes = field(init=False)
    _timelines: dict[PeerName, Timeline] = field(factory=dict, init=False)

    @_processes.default
    def _runners(self) -> Processes:
        return Processes(
            self._reactor, self._directory, "from clumpt.apps.demonstration.bare import main; main()"
        )

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [process.pid for process in self._processes.running.values()]

    def start(self, configs: Configs) -> Deferred[Any]:
        """See L{Measured}."""
        for name, path in configs.items():
            # What is noted there is of an earlier life.
            self._timelines[name] = Timeline.beside(path)
        return self._processes.start(configs)

    def stop(self, names: Collection[PeerName] | None = None) -> Deferred[Any]:
        """See L{Measured}."""
        return self._processes.stop(names)

    def times(self, name: PeerName) -> Mapping[Seq, float]:
        """See L{Measured}."""
        return self._timelines[name].look() if name in self._timelines else {}

    @deferred
    async def silence(self, names: Collection[PeerName]) -> None:
        """See L{Measured}."""
        for name in names:
            self._processes.running[name].signal(signal.SIGSTOP)

    @deferred
    async def wake(self, names: Collection[PeerName]) -> None:
        """See L{Measured}."""
        for name in names:
            self._processes.running[name].signal(signal.SIGCONT)
