"""A demonstration that is left running: in a process of its own, which tells when it is ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from clumpt.aio import deferred

#: The variable that tells the process in the background where to report.
REPORT = "CLUMPT_DEMO_REPORT"
_DESCRIPTOR = 3


def command(script: str, *words: str) -> tuple[str, ...]:
    """What runs a console script with the interpreter of this process, wherever it is installed."""
    return (sys.executable, "-c", f"from clumpt.apps.scripts import {script}; {script}()", *words)


@define(eq=False)
class _Started(ProcessProtocol):
    """
    The process, seen from the one that started it.

    @ivar ready: fires with the exit status that it reports, or has.
    """

    ready: Deferred[int] = field(factory=Deferred, init=False)
    ended: Deferred[None] = field(factory=Deferred, init=False)
    _said: bytes = field(default=b"", init=False)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It reports its status: all is up, and it stays."""
        self._said += data
        if self._said.endswith(b"\n") and not self.ready.called:
            self.ready.callback(int(self._said))

    def processEnded(self, reason: Failure) -> None:
        """It did not stay."""
        ended = reason.value
        assert isinstance(ended, ProcessDone | ProcessTerminated)
        if not self.ready.called:
            code = ended.exitCode
            self.ready.callback(128 + int(ended.signal or 0) if code is None else code)
        self.ended.callback(None)


@deferred
async def leave_running(reactor: Any, words: Sequence[str], environment: Mapping[str, str]) -> int:
    """
    Run C{clumpt} with C{words} in the background, with our stdout and stderr until it is ready.

    Fires with the exit status that it reports.  Cancelled, it ends the process first.
    """
    started = _Started()
    argv = command("clumpt", *words)
    env = {**environment, REPORT: str(_DESCRIPTOR)}
    with Path(os.devnull).open() as nothing:
        descriptors: Any = {0: nothing.fileno(), 1: 1, 2: 2, _DESCRIPTOR: "r"}
        reactor.spawnProcess(started, argv[0], argv, env=env, path=None, childFDs=descriptors)
    try:
        return await started.ready
    except CancelledError:
        # Any: of IProcessTransport; typed otherwise in ProcessProtocol.
        transport: Any = started.transport
        transport.signalProcess("TERM")
        await started.ended
        raise


def stay(status: int, report: str, log: Path) -> None:
    """Report C{status} to whoever started this process, and be heard no more."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with log.open("a") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    with open(int(report), "w") as told:
        told.write(f"{status}\n")
