"""The peers of a demonstration as processes of their own: C{clumptd} for each."""

from __future__ import annotations

import signal
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from clumpt.aio import deferred, sleep
from clumpt.apps.conf_change import each
from clumpt.errors import BadInput
from clumpt.interfaces import IDirectory
from clumpt.model import Entry, PeerName

#: Seconds that all may take to come up, between two looks whether they have, and to end.
PATIENCE, LOOK, GRACE = 120.0, 0.2, 3.0
#: Peers that start or stop at a time: all of them.
AT_ONCE = 1000


@define(eq=False)
class _Process(ProcessProtocol):
    """One peer; what it logs goes into a file."""

    ended: Deferred[None] = field(factory=Deferred, init=False)

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.ended.callback(None)

    @property
    def pid(self) -> int:
        """The id of the process."""
        # Any: of IProcessTransport; typed otherwise in ProcessProtocol.
        transport: Any = self.transport
        return int(transport.pid)

    def signal(self, number: int) -> None:
        """Send it a signal; does nothing if it is gone."""
        # Any: of IProcessTransport; typed otherwise in ProcessProtocol.
        transport: Any = self.transport
        try:
            transport.signalProcess(number)
        except ProcessExitedAlready:
            return


@define(eq=False)
class Processes:
    """
    Peers in processes.

    @ivar directory: tells that a peer is up, which is when it has reported.
    @ivar code: runs one, given its configuration as the last word.
    """

    _reactor: Any
    _directory: IDirectory
    _code: str = "from clumpt.apps.scripts import clumptd; clumptd()"
    running: dict[PeerName, _Process] = field(factory=dict, init=False)

    @deferred
    async def start(self, configs: Mapping[PeerName, Path]) -> None:
        """See L{clumpt.apps.demonstration.peers.Peers}."""
        for name, path in configs.items():
            self._start(name, path)
        until = self._reactor.seconds() + PATIENCE
        while missing := configs.keys() - (await self._directory.statuses(list(configs))).keys():
            ended = sorted(name for name in missing if self.running[name].ended.called)
            if ended or self._reactor.seconds() > until:
                name = ended[0] if ended else min(missing)
                raise BadInput(f"{name} did not come up: {_last_line(configs[name].with_suffix('.log'))}")
            await sleep(self._reactor, LOOK)

    def _start(self, name: PeerName, path: Path) -> None:
        process = self.running[name] = _Process()
        argv = (sys.executable, "-c", self._code, "--config", str(path))
        with Path("/dev/null").open() as nothing, path.with_suffix(".log").open("a") as log:
            descriptors: Any = {0: nothing.fileno(), 1: log.fileno(), 2: log.fileno()}
            self._reactor.spawnProcess(
                process, argv[0], argv, env=None, path=path.parent, childFDs=descriptors
            )

    def stop(self, names: Collection[PeerName] | None = None) -> Deferred[Any]:
        """See L{clumpt.apps.demonstration.peers.Peers}."""
        chosen = [self.running.pop(name) for name in list(self.running if names is None else names)]
        return each(chosen, self._stop, AT_ONCE)

    @deferred
    async def _stop(self, process: _Process) -> None:
        process.signal(signal.SIGTERM)
        # One that was stopped would not notice.
        process.signal(signal.SIGCONT)
        timer = self._reactor.callLater(GRACE, process.signal, signal.SIGKILL)
        await process.ended
        if timer.active():
            timer.cancel()

    def standing(self, entry: Entry) -> None:
        """See L{clumpt.apps.demonstration.peers.Peers}: only the directory can tell."""

    def sent(self) -> None:
        """See L{clumpt.apps.demonstration.peers.Peers}: nobody can tell."""


def _last_line(log: Path) -> str:
    return log.read_text(errors="replace").strip().rpartition("\n")[2]
