"""
One process, from its start to the exit of its leader, within a deadline.

Used by the helper alone, which has nothing else to do meanwhile; the daemon
never waits here.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import define, frozen

#: Seconds between SIGTERM and SIGKILL.
GRACE = 10.0
_CHUNK = 64 * 1024
_TICK = 0.05
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@frozen
class Ended:
    """
    How a process ended.

    @ivar code: its exit status, negative for a signal.
    @ivar late: was it ended because its time was over?
    @ivar seconds: how long it ran.
    """

    code: int
    late: bool
    seconds: float


@define
class Tail:
    """The last C{limit} bytes of what goes in."""

    limit: int
    _kept: bytearray

    @classmethod
    def of(cls, limit: int) -> Tail:
        """An empty tail."""
        return cls(limit, bytearray())

    def add(self, data: bytes) -> None:
        """Take in C{data} and forget what is too old."""
        self._kept += data
        if len(self._kept) > 2 * self.limit:
            del self._kept[: -self.limit]

    def __bytes__(self) -> bytes:
        return bytes(self._kept[-self.limit :])


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    timeout: float,
    sink: Callable[[bytes], None],
    now: Callable[[], float],
    leader: Path,
    grace: float = GRACE,
    complaints: bool = True,
) -> Ended:
    """
    Run C{argv} in a session of its own, with nothing to read, and wait for its leader to exit.

    What is printed goes through a pipe, so that neither a flood nor a daemon left behind can fill the
    disk; who still holds the pipe after the leader's exit is not waited for.

    @param timeout: seconds until the group gets SIGTERM, and C{grace} later SIGKILL.
    @param sink: is given all that is printed, in chunks of at most 64 KiB.
    @param now: seconds on a clock that never jumps.
    @param complaints: does C{sink} get standard error, too?
    @param leader: the file in which the process puts down who it is, before it becomes the program.
    """
    began = now()
    process = subprocess.Popen(
        argv,
        env=dict(environment),
        cwd="/",
        umask=0o022,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if complaints else subprocess.DEVNULL,
        start_new_session=True,
        # Safe here: the helper has one thread.
        preexec_fn=lambda: _sign(leader),
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        late = _until_exit(process, pipe.fileno(), sink, now, (began + timeout, began + timeout + grace))
        _drain(pipe.fileno(), sink)
    if late:
        _kill(process.pid, signal.SIGKILL)
    leader.unlink(missing_ok=True)
    return Ended(process.returncode, late, now() - began)


def still_running(leader: Path) -> int:
    """The id of the process that signed C{leader}, 0 if it is gone."""
    try:
        signed = leader.read_text()
        pid = int(signed.split()[0])
        return pid if signed == _signature(pid) else 0
    except (OSError, ValueError, IndexError):
        # Not signed, or no such process: there is nobody.
        return 0


def end(pid: int) -> None:
    """Kill the whole group of a process that L{still_running} named."""
    _kill(pid, signal.SIGKILL)


def _until_exit(
    process: subprocess.Popen[bytes],
    pipe: int,
    sink: Callable[[bytes], None],
    now: Callable[[], float],
    deadlines: tuple[float, float],
) -> bool:
    """Feed C{sink} until the leader exits; True if it had to be ended."""
    signals = [(deadlines[0], signal.SIGTERM), (deadlines[1], signal.SIGKILL)]
    late = False
    while process.poll() is None:
        if signals and now() >= signals[0][0]:
            _kill(process.pid, signals.pop(0)[1])
            late = True
        if pipe >= 0 and select.select([pipe], [], [], _TICK)[0]:
            data = os.read(pipe, _CHUNK)
            sink(data)
            pipe = pipe if data else -1
        elif pipe < 0:
            # All have closed the pipe; the leader itself is about to exit, or works on in silence.
            select.select([], [], [], _TICK / 5)
    return late


def _drain(pipe: int, sink: Callable[[bytes], None]) -> None:
    """Take what a pipe holds now, but not what a daemon left behind goes on to print."""
    for _ in range(16):
        try:
            data = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            return
        sink(data)


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        # The whole group is gone already.
        return


def _sign(leader: Path) -> None:
    leader.write_text(_signature(os.getpid()))


def _signature(pid: int) -> str:
    """What names a process for good: its id, when it started (in ticks since boot), and the boot."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    # The name, in brackets, may hold anything, brackets and spaces included.
    state, *numbers = stat.rpartition(")")[2].split()
    if state in "ZX":
        raise ProcessLookupError(f"process {pid} is dead")
    return f"{pid} {numbers[18]} {_BOOT_ID.read_text().strip()}"
