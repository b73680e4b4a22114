"""Processes of a race: started on their hosts, measured, and ended by their ids."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from attrs import define, field

from bench.lab.hosts import Host

#: Ticks of CPU in a second, as the kernel counts them.
TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds that a process may take to end by itself.
GRACE = 5.0
#: The priority of a race on a machine with other work, as nice(1) has it.
URGENT = -15
ROOT = Path(__file__).resolve().parent.parent.parent


@define(eq=False)
class Process:
    """
    One process.

    @ivar peer: the number of the host that it serves as a peer, None for what is not a peer's.
    @ivar descriptor: can be read as soon as it has ended (pidfd_open(2)); closed when that is noticed.
    @ivar peak: the most bytes that were seen resident.
    """

    popen: subprocess.Popen[Any]
    role: str
    peer: int | None
    log: Path
    descriptor: int
    cpu: float = 0.0
    peak: int = 0
    ended: float | None = None

    @property
    def running(self) -> bool:
        """Has it not ended?"""
        return self.popen.returncode is None

    def forget_peak(self) -> None:
        """Let the peak be that of what follows."""
        self.peak = 0
        Path(f"/proc/{self.popen.pid}/clear_refs").write_text("5")

    def poll(self) -> bool:
        """Has it ended?"""
        if self.running and os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            self.ended = time.time()
            # Until it is waited for, the kernel remembers what it used.
            self.cpu = _cpu(self.popen.pid)
            self.wait()
        return not self.running

    def wait(self, seconds: float | None = None) -> None:
        """Return when it has ended; raises C{subprocess.TimeoutExpired} after so many seconds."""
        self.popen.wait(seconds)
        os.close(self.descriptor)

    def look(self) -> None:
        """Measure, and note whether it has ended."""
        if not self.poll():
            self.cpu = _cpu(self.popen.pid)
            self.peak = max(self.peak, memory(self.popen.pid, "VmHWM"))

    def check(self) -> None:
        """Raise OSError, with its last words, if it has failed."""
        if self.poll() and self.popen.returncode:
            words = self.log.read_text(errors="replace")[-2000:]
            raise OSError(f"{self.role} ended with {self.popen.returncode}: {words}")

    def listens(self, port: int) -> bool:
        """Does anything on its host listen at C{port}, over TCP?"""
        lines = Path(f"/proc/{self.popen.pid}/net/tcp").read_text().splitlines()[1:]
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


@define(eq=False)
class Gate:
    """
    Holds processes until it is opened, all at the same moment.

    They wait for the end of their stdin.
    """

    _ends: list[int] = field(factory=lambda: list(os.pipe()))

    @property
    def stdin(self) -> int:
        """The descriptor for those who wait."""
        return self._ends[0]

    def open(self) -> None:
        """Let them go; does nothing the second time."""
        while self._ends:
            os.close(self._ends.pop())


#: Words before a command that is to wait at a gate.
WAITING = ("sh", "-c", 'read go; exec "$@" </dev/null', "sh")


def _cpu(pid: int) -> float:
    """Seconds of CPU of a process, and of those children that it waited for."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / TICKS


def memory(pid: int, what: str) -> int:
    """Bytes by the name that they have in /proc/PID/status; 0 if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:")), 0)


@define(eq=False)
class Processes:
    """All processes of one race; whoever makes it closes it."""

    folder: Path
    _all: list[Process] = field(factory=list, init=False)

    def __iter__(self) -> Iterator[Process]:
        return iter(self._all)

    def start(
        self,
        host: Host,
        words: Sequence[str],
        role: str,
        peer: int | None = None,
        cwd: Path | None = None,
        stdin: int | IO[Any] = subprocess.DEVNULL,
    ) -> Process:
        """Start the command C{words} on C{host}; what it prints goes to a log in the folder."""
        log = self.folder / f"{role}.log"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*host.enter, *words],
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.folder,
                env=environment,
                start_new_session=True,
            )
        process = Process(popen, role, peer, log, os.pidfd_open(popen.pid))
        self._all.append(process)
        return process

    def hurry(self) -> None:
        """From now on what runs here goes before all other work of this machine, which may be shared."""
        for pid in (os.getpid(), *(process.popen.pid for process in self._all if not process.poll())):
            os.setpriority(os.PRIO_PROCESS, pid, URGENT)
            group = Path(f"/proc/{pid}/autogroup")
            if group.exists():
                # Where the kernel groups by session, priority counts only among groups.
                group.write_text(str(URGENT))

    def kill(self, peer: int) -> None:
        """End all processes of a peer without warning."""
        for process in self._all:
            if process.peer == peer and not process.poll():
                process.popen.kill()

    def rest(self, seconds: float) -> None:
        """Wait so long, or until one of them ends."""
        running = {process.descriptor: process for process in self._all if process.running}
        ends = select.poll()
        for descriptor in running:
            ends.register(descriptor, select.POLLIN)
        for descriptor, _ in ends.poll(max(0.0, seconds) * 1000):
            running[descriptor].poll()

    def look(self) -> None:
        """Measure all."""
        for process in self._all:
            process.look()

    def close(self) -> None:
        """End all; those that do not within L{GRACE} seconds are killed."""
        left = [process for process in self._all if not process.poll()]
        for process in left:
            process.popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for process in left:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.wait()


def wait_until(done: Any, seconds: float, what: str, pause: float = 0.05) -> None:
    """Return as soon as C{done()} is true; raises TimeoutError that names C{what}."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
