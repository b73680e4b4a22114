"""One run of one contestant, and what is measured of it."""

from __future__ import annotations

import hashlib
import statistics
import time
from pathlib import Path
from typing import Any

from attrs import define, field

from bench.lab.contest import Contestant, Course
from bench.lab.hosts import Traffic
from bench.lab.processes import TICKS, Process, memory

#: Seconds between looks at who has the file, if nothing ends, and between measurements of memory and CPU:
#: looking is work, too, and on the same processors.
LOOK, MEASURE = 0.05, 0.25


@define(eq=False)
class Run:
    """
    One run.

    @ivar times: seconds from the start until a peer had the file, by peer.
    @ivar wrong: peers whose file is not the file.
    @ivar cpu: seconds of all processes; C{cpu_peers} of each peer.
    @ivar idle, peak: bytes resident in a peer, before the start and at most.
    @ivar busy: part of the machine's CPU that was in use; C{elsewhere}: by none of these processes.
    """

    name: str
    course: Course
    began: float = 0.0
    times: dict[int, float] = field(factory=dict)
    wrong: list[int] = field(factory=list)
    traffic: dict[int, Traffic] = field(factory=dict)
    cpu: float = 0.0
    cpu_peers: list[float] = field(factory=list)
    idle: int = 0
    peak: int = 0
    busy: float = 0.0
    elsewhere: float = 0.0
    trouble: str = ""

    @property
    def whole(self) -> bool:
        """Has everybody who must the right file?"""
        return not self.trouble and not self.wrong and set(self.course.counted) <= set(self.times)

    def facts(self) -> dict[str, Any]:
        """The run as one flat line."""
        setting, counted, size = self.course.setting, self.course.counted, self.course.file.size
        times = sorted(self.times[peer] for peer in counted if peer in self.times)
        last = times[-1] if self.whole else None
        gigabytes = len(counted) * size / 1e9
        received = sum(self.traffic[peer].received for peer in counted) if self.traffic else None
        fluid = setting.fluid
        return {
            "contestant": self.name,
            "setting": str(setting),
            "peers": setting.peers,
            "size": size,
            "rate": setting.rate,
            "fault": self.course.fault.kind,
            "ok": self.whole,
            "trouble": self.trouble,
            "wrong": self.wrong,
            "all": _rounded(last, 4),
            "fluid": _rounded(fluid, 4),
            "ratio": _rounded(last / fluid, 3) if last and fluid else None,
            "first": _rounded(times[0], 4) if times else None,
            "seed": _rounded(self.traffic[0].sent / size, 3) if self.traffic else None,
            "excess": _rounded(received / size / len(counted) - 1, 4) if received is not None else None,
            "cpu": _rounded(self.cpu, 2),
            "cpu_per_gb": _rounded(self.cpu / gigabytes, 2),
            "cpu_peer_per_gb": _rounded(statistics.median(self.cpu_peers or [0.0]) / size * 1e9, 2),
            "memory_idle": _rounded(self.idle / 1e6, 1),
            "memory_peak": _rounded(self.peak / 1e6, 1),
            "busy": _rounded(self.busy, 2),
            "urgent": self.course.urgent,
            "elsewhere": _rounded(self.elsewhere, 2),
            "times": [_rounded(time, 3) for time in times],
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.began)),
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def race(kind: type[Contestant], course: Course, seconds: float) -> Run:
    """One run of one contestant, for at most so many seconds; everything it started is ended."""
    run = Run(kind.name, course)
    fault = course.fault
    try:
        for peer in fault.peers:
            if fault.kind == "dead":
                course.lab.cut(peer)
            elif fault.kind == "slow":
                course.lab.slow(peer, course.setting.rate / 10)
        contestant = kind(course)
        contestant.prepare()
        _measured(contestant, course, run, seconds)
        run.wrong = [peer for peer in run.times if _hash(contestant.result(peer)) != course.file.sha256]
    except (OSError, TimeoutError) as wrong:
        run.trouble = str(wrong)
    finally:
        course.processes.close()
        if fault.peers:
            course.lab.mend()
    return run


def _measured(contestant: Contestant, course: Course, run: Run, seconds: float) -> None:
    processes = course.processes
    processes.look()
    peers = [process for process in processes if process.peer in course.counted and process.running]
    run.idle = max((memory(process.popen.pid, "VmRSS") for process in peers), default=0)
    before, cpu, machine = course.lab.traffic(), _cpu(processes), _machine()
    for process in peers:
        process.forget_peak()
    course.file.warm(course.setting.peers + 1)
    if course.urgent:
        processes.hurry()
    run.began = contestant.go()
    _watch(contestant, course, run, seconds)
    after = course.lab.traffic()
    processes.look()
    used = {process: seconds - cpu.get(process, 0.0) for process, seconds in _cpu(processes).items()}
    run.cpu = sum(used.values())
    run.cpu_peers = [used[process] for process in used if process.peer in course.counted]
    run.peak = max((process.peak for process in used if process.peer in course.counted), default=0)
    busy, total = (now - then for now, then in zip(_machine(), machine, strict=True))
    run.busy = busy / max(total, 1)
    run.elsewhere = max(0.0, run.busy - run.cpu * TICKS / max(total, 1))
    run.traffic = {number: after[number].since(before[number]) for number in after}


def _watch(contestant: Contestant, course: Course, run: Run, seconds: float) -> None:
    left = set(course.counted)
    started = time.monotonic()
    measure = 0.0
    # Half of what all could have at best: nobody has finished then.
    kill = (course.setting.fluid or 0.0) / 2 if course.fault.kind == "killed" else None
    while left:
        for peer in sorted(left):
            if (when := contestant.finished(peer)) is not None:
                run.times[peer] = when - run.began
                left.discard(peer)
        now = time.monotonic() - started
        if now > seconds:
            run.trouble = f"{len(left)} peers have not finished within {seconds:g} s: {sorted(left)}"
            return
        if kill is not None and now >= kill:
            for peer in course.fault.peers:
                course.lab.cut(peer)
                course.processes.kill(peer)
            kill = None
        if now > measure:
            course.processes.look()
            measure = now + MEASURE
        course.processes.rest(LOOK if kill is None else min(LOOK, kill - now))


def _cpu(processes: Any) -> dict[Process, float]:
    return {process: process.cpu for process in processes}


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
