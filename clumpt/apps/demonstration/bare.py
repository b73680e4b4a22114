"""
Peers that do everything but run the package manager, and note when they hold what.

The paper measures how fast updates spread (section 7), and twenty package
managers on one machine would be all that is measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.agent.agent import Agent
from clumpt.aio import deferred, sleep
from clumpt.apps.daemon import Node, Peer, build, real_node
from clumpt.apps.oneshot import nowhere, steady
from clumpt.config import INSTALLERS
from clumpt.configfile import load
from clumpt.interfaces import IInstaller
from clumpt.model import Entry, Outcome, Seq, State

#: Seconds that an install takes here: less than with any package manager, but not nothing.
INSTALL = 0.02
#: Seconds between two looks at a peer that starts, and how long it is looked at.
TICK, WATCHED = 0.01, 30.0
#: Where a peer in a process of its own notes what it holds: beside its configuration.
TIMELINE = "timeline"


@define(eq=False)
class Recorder:
    """
    Notes when this peer holds the packages of each update, verified and durable.

    @ivar wall: seconds since the epoch.
    @ivar note: called once for each seq, and with 0 at the start, and with the time.
    """

    _clock: IReactorTime
    _wall: Callable[[], float]
    _note: Callable[[Seq, float], None]
    _seen: set[Seq] = field(factory=set, init=False)
    _until: float = field(default=0.0, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def equip(self, node: Node) -> Node:
        """C{node} without a package manager."""
        return evolve(node, installer=lambda roots: NoInstaller(self, self._clock))

    def begin(self) -> None:
        """The peer's own work begins."""
        self.holds(0)

    def holds(self, seq: Seq) -> None:
        """The peer holds all packages of C{seq}."""
        if seq not in self._seen:
            self._seen.add(seq)
            self._note(seq, self._wall())

    def watch(self, agent: Agent) -> None:
        """Look closely for a while: a peer that starts takes in many at a time."""
        self._until = self._clock.seconds() + WATCHED
        self._look(agent)

    def _look(self, agent: Agent) -> None:
        for seq in agent.agenda.concerning().keys() - self._seen:
            if agent.agenda.states[seq] is not State.KNOWN:
                self.holds(seq)
        if self._clock.seconds() < self._until:
            self._timer = self._clock.callLater(TICK, self._look, agent)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


@implementer(IInstaller)
@define(eq=False)
class NoInstaller:
    """
    Says that everything is installed, after L{INSTALL} seconds.

    Said at once, it would be said for all that waits in one turn of the reactor: no peer that installs
    anything does that.
    """

    _recorder: Recorder
    _clock: IReactorTime
    allowed: frozenset[str] = frozenset(INSTALLERS)

    @deferred
    async def run(self, entry: Entry, attempt: int, packages: Sequence[Path]) -> Outcome:
        """See L{IInstaller}."""
        self._recorder.holds(entry.seq)
        await sleep(self._clock, INSTALL)
        return Outcome(State.DONE, 0)

    def output(self, seq: Seq) -> bytes:
        """See L{IInstaller}."""
        return b""


@define(eq=False)
class Timeline:
    """
    What a peer in a process of its own notes.

    Only what is new is read at each look: whoever looks often must not be what is measured.

    @ivar times: when it got each update, and for 0 when it began, in seconds since the epoch.
    """

    _file: Path
    times: dict[Seq, float] = field(factory=dict, init=False)
    _read: int = field(default=0, init=False)

    @classmethod
    def beside(cls, config: Path) -> Timeline:
        """That of the peer with the configuration C{config}; there is none yet."""
        file = config.with_name(TIMELINE)
        file.unlink(missing_ok=True)
        return cls(file)

    def look(self) -> dict[Seq, float]:
        """The times until now."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._read)
                lines, _, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return self.times
        if lines:
            self._read += len(lines) + 1
            self.times.update(map(json.loads, lines.splitlines()))
        return self.times


@deferred
async def run(path: Path, reactor: Any, recorder: Recorder) -> Peer:
    """Start the peer with the configuration C{path}; fires when it is up."""
    recorder.begin()
    config, pool = load(path), reactor.getThreadPool()
    node = real_node(config, reactor, lambda call, *words: deferToThreadPool(reactor, pool, call, *words))
    peer = await build(config, recorder.equip(node))
    recorder.watch(peer.agent)
    await peer.agent.start()
    return peer


def main() -> None:
    """Run the peer with the configuration that is named on the command line, in the foreground."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    path = Path(sys.argv[-1])
    steady(reactor)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.__stderr__ or nowhere())])
    notes = path.with_name(TIMELINE).open("w", buffering=1)
    recorder = Recorder(reactor, time.time, lambda *noted: print(json.dumps(noted), file=notes))

    def up(peer: Peer) -> None:
        reactor.addSystemEventTrigger("before", "shutdown", peer.stop)

    def failed(failure: Failure) -> None:
        Logger().failure("cannot start", failure)
        reactor.stop()

    reactor.callWhenRunning(lambda: run(path, reactor, recorder).addCallbacks(up, failed))
    reactor.run()
