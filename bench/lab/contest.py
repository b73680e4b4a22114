"""What every contestant of a race does, and one run of one of them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from attrs import define, field, frozen

from bench.lab.hosts import Lab, Traffic
from bench.lab.processes import Processes, memory
from bench.lab.setting import Setting

#: Seconds between looks at who has the file.
LOOK = 0.002
#: Seconds between measurements of memory and CPU meanwhile.
MEASURE = 0.25


@frozen
class File:
    """The file that is raced with."""

    path: Path
    size: int
    sha256: str

    @classmethod
    def make(cls, path: Path, size: int) -> File:
        """C{size} bytes of chance in a new file."""
        hashed = hashlib.sha256()
        with path.open("wb") as file:
            for begin in range(0, size, 1 << 20):
                chunk = os.urandom(min(1 << 20, size - begin))
                hashed.update(chunk)
                file.write(chunk)
        return cls(path, size, hashed.hexdigest())


@define(eq=False)
class Course:
    """What a contestant is given for one run: hosts, file, and an empty folder."""

    lab: Lab
    setting: Setting
    file: File
    folder: Path
    processes: Processes

    @property
    def peers(self) -> range:
        """The numbers of those who want the file."""
        return range(1, self.setting.peers + 1)

    def place(self, peer: int) -> Path:
        """The folder of one host."""
        return self.folder / f"host{peer}"


class Contestant:
    """
    One way to bring a file to many hosts.

    @cvar name: what it is called in results.
    @cvar commands: programs that it needs.
    """

    name: ClassVar[str] = ""
    commands: ClassVar[Sequence[str]] = ()

    def __init__(self, course: Course) -> None:
        self.course = course

    def prepare(self) -> None:
        """Start all that is running before the race; returns when it is ready."""

    def go(self) -> float:
        """Begin; returns the time at which the race began."""
        raise NotImplementedError

    def result(self, peer: int) -> Path:
        """Where the file will be at C{peer}."""
        return self.course.place(peer) / self.course.file.path.name

    def finished(self, peer: int) -> float | None:
        """The time at which C{peer} had the whole file, None if it has not."""
        raise NotImplementedError


@define(eq=False)
class Run:
    """
    One run.

    @ivar times: seconds from the start until a peer had the file, by peer.
    @ivar wrong: peers whose file is not the file.
    @ivar busy: part of the machine's CPU that was in use.
    """

    contestant: str
    setting: Setting
    file: File
    began: float = 0.0
    times: dict[int, float] = field(factory=dict)
    wrong: list[int] = field(factory=list)
    traffic: dict[int, Traffic] = field(factory=dict)
    cpu: float = 0.0
    idle_memory: int = 0
    peak_memory: int = 0
    busy: float = 0.0
    trouble: str = ""
    absent: list[int] = field(factory=list)

    @property
    def expected(self) -> list[int]:
        """Who should get it."""
        return [peer for peer in range(1, self.setting.peers + 1) if peer not in self.absent]

    @property
    def whole(self) -> bool:
        """Has everybody the right file?"""
        return not self.trouble and not self.wrong and set(self.expected) <= set(self.times)

    def facts(self) -> dict[str, Any]:
        """The run as one flat line of numbers."""
        count, size = len(self.expected), self.file.size
        times = sorted(self.times[peer] for peer in self.expected if peer in self.times)
        last = times[-1] if self.whole else None
        fluid = self.setting.fluid
        received = sum(self.traffic[peer].received for peer in self.expected) if self.traffic else None
        return {
            "contestant": self.contestant,
            "setting": str(self.setting),
            "peers": self.setting.peers,
            "size": size,
            "rate": self.setting.rate,
            "ok": self.whole,
            "trouble": self.trouble,
            "wrong": self.wrong,
            "all": _rounded(last, 4),
            "fluid": _rounded(fluid, 4),
            "ratio": _rounded(last / fluid, 3) if last and fluid else None,
            "first": _rounded(times[0], 4) if times else None,
            "seed": _rounded(self.traffic[0].sent / size, 3) if self.traffic else None,
            "excess": _rounded(received / size / count - 1, 4) if received is not None else None,
            "cpu": _rounded(self.cpu, 2),
            "cpu_per_gb": _rounded(self.cpu / (count * size / 1e9), 2),
            "memory_idle": _rounded(self.idle_memory / 1e6, 1),
            "memory_peak": _rounded(self.peak_memory / 1e6, 1),
            "busy": _rounded(self.busy, 2),
            "times": [_rounded(time, 3) for time in times],
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.began)),
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def race(kind: type[Contestant], course: Course, seconds: float) -> Run:
    """One run of one contestant, for at most so many seconds; everything it started is ended."""
    run = Run(kind.name, course.setting, course.file)
    try:
        contestant = kind(course)
        contestant.prepare()
        _measured(contestant, course, run, seconds)
    except (OSError, TimeoutError) as wrong:
        run.trouble = str(wrong)
    finally:
        course.processes.close()
    run.wrong = [peer for peer in run.times if _hash(contestant.result(peer)) != course.file.sha256]
    return run


def _measured(contestant: Contestant, course: Course, run: Run, seconds: float) -> None:
    processes = course.processes
    processes.look()
    peers = [process for process in processes if process.peer is not None and process.running]
    run.idle_memory = max((memory(process.popen.pid, "VmRSS") for process in peers), default=0)
    before, cpu, machine = course.lab.traffic(), _cpu(processes), _machine()
    for process in peers:
        process.forget_peak()
    run.began = contestant.go()
    _watch(contestant, course, run, seconds)
    after = course.lab.traffic()
    processes.look()
    run.cpu = _cpu(processes) - cpu
    run.peak_memory = max((process.peak for process in processes if process.peer is not None), default=0)
    busy, total = (now - then for now, then in zip(_machine(), machine, strict=True))
    run.busy = busy / max(total, 1)
    run.traffic = {number: after[number].since(before[number]) for number in after}


def _watch(contestant: Contestant, course: Course, run: Run, seconds: float) -> None:
    left = set(course.peers)
    deadline = time.monotonic() + seconds
    measure = 0.0
    while left:
        for peer in sorted(left):
            if (when := contestant.finished(peer)) is not None:
                run.times[peer] = when - run.began
                left.discard(peer)
        if time.monotonic() > deadline:
            run.trouble = f"{len(left)} peers have not finished within {seconds:g} s: {sorted(left)}"
            return
        if time.monotonic() > measure:
            course.processes.look()
            measure = time.monotonic() + MEASURE
        time.sleep(LOOK)


def _cpu(processes: Processes) -> float:
    return sum(process.cpu for process in processes)


def _machine() -> tuple[int, int]:
    """Ticks of CPU of the whole machine: in use, and all."""
    words = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = words[3] + words[4]
    return sum(words) - idle, sum(words)


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
