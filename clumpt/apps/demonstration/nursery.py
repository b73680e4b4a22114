"""
Install helpers without the time that an interpreter takes to start.

Twenty nodes on one machine start their helpers at the same moment.  So a
process that has read all of the helper's code already makes a copy of itself
for each: the copy does what C{clumpt-install-helper} does, in its own session.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessProtocol, IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.aio import deferred
from clumpt.apps import install_helper

#: The longest request, and the descriptors that come with it.
_LONGEST, _DESCRIPTORS = 65536, 3
#: Where the process in the nursery is asked.
_SOCKET = 3
#: Seconds between two looks whether a child has ended.
_LOOK = 0.01


@define(eq=False)
class _Children(ProcessProtocol):
    """The nursery, seen from here: it says in lines which child ended how."""

    ended: Deferred[None] = field(factory=Deferred, init=False)
    waiting: dict[int, Any] = field(factory=dict, init=False)
    _said: bytes = field(default=b"", init=False)

    def outReceived(self, data: bytes) -> None:
        """Children have ended."""
        *lines, self._said = (self._said + data).split(b"\n")
        for line in lines:
            number, status = map(int, line.split())
            self._tell(number, os.waitstatus_to_exitcode(status), status)

    def _tell(self, number: int, code: int, status: int) -> None:
        child = self.waiting.pop(number)
        ended = ProcessTerminated(None, -code, status) if code < 0 else ProcessTerminated(code, None, status)
        reason = Failure(ProcessDone(status) if code == 0 else ended)
        child.processExited(reason)
        child.processEnded(reason)

    def processEnded(self, reason: Failure) -> None:
        """The nursery itself is gone, and with it whoever could tell of the children."""
        for number in list(self.waiting):
            self._tell(number, -signal.SIGKILL, signal.SIGKILL)
        self.ended.callback(None)


@implementer(IReactorProcess)
@define(eq=False)
class Nursery:
    """
    Starts helpers, and nothing else.

    @ivar log: where mistakes of the process go: our own stderr may have to end before it does.
    """

    _reactor: IReactorProcess
    _log: Path
    _children: _Children = field(factory=_Children, init=False)
    _asking: socket.socket | None = field(default=None, init=False)
    _number: int = field(default=0, init=False)

    def open(self) -> None:
        """Start the process that the helpers are copies of."""
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = (sys.executable, "-c", f"from {__name__} import main; main()")
        with theirs, self._log.open("a") as log:
            descriptors: Any = {0: "w", 1: "r", 2: log.fileno(), _SOCKET: theirs.fileno()}
            self._reactor.spawnProcess(self._children, argv[0], argv, env=None, childFDs=descriptors)

    def spawnProcess(
        self,
        processProtocol: IProcessProtocol,
        executable: Any,
        args: Sequence[Any] = (),
        env: Mapping[Any, Any] | None = None,
        path: Any = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: Any = False,
        childFDs: Mapping[int, Any] | None = None,
    ) -> Any:
        """Start the helper for the job that the last of C{args} names; raises OSError."""
        assert self._asking is not None, "open comes first"
        self._number += 1
        self._children.waiting[self._number] = processProtocol
        request = json.dumps([self._number, str(args[-1])]).encode()
        descriptors = [(childFDs or {})[number] for number in range(_DESCRIPTORS)]
        socket.send_fds(self._asking, [request], descriptors)

    @deferred
    async def close(self) -> None:
        """End the process and the helpers that are at work; fires when it is gone."""
        if self._asking is not None:
            self._asking.close()
            await self._children.ended


def main() -> None:
    """Make copies of this process until nobody is there to ask for them; then end them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = socket.socket(fileno=_SOCKET)
    numbers: dict[int, int] = {}
    while True:
        if select.select([asked], [], [], _LOOK if numbers else None)[0]:
            request, descriptors, _, _ = socket.recv_fds(asked, _LONGEST, _DESCRIPTORS)
            if not request:
                break
            number, job = json.loads(request)
            if not (pid := os.fork()):
                _become_helper(asked, Path(job), descriptors)
            numbers[pid] = number
            for descriptor in descriptors:
                os.close(descriptor)
        _tell_ended(numbers)
    for pid in numbers:
        os.kill(pid, signal.SIGKILL)


def _tell_ended(numbers: dict[int, int]) -> None:
    while numbers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        os.write(1, b"%d %d\n" % (numbers.pop(pid), status))


def _become_helper(asked: socket.socket, job: Path, descriptors: Sequence[int]) -> None:
    """Go on as C{clumpt-install-helper}; never returns."""
    asked.close()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir("/")
    status = 1
    try:
        status = install_helper.main([str(job)])
    finally:
        sys.stderr.flush()
        os._exit(status)
