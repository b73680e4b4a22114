"""What every contestant of a race does, and one run of one of them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from attrs import define, frozen

from bench.lab.hosts import Lab
from bench.lab.processes import Processes
from bench.lab.setting import Setting


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

    def warm(self, copies: int) -> None:
        """
        Have the machine provide the memory for so many copies.

        Where it is virtual, memory that was not used for a while is fetched from its host page by page,
        which takes some five times as long as to write to it.
        """
        chunk = bytes(1 << 20)
        with tempfile.TemporaryFile(dir=self.path.parent) as file:
            for _ in range(copies * self.size // len(chunk) + 1):
                file.write(chunk)


@frozen
class Fault:
    """
    What goes wrong in a run.

    @ivar kind: C{dead}: these peers are off from the beginning; C{killed}: they lose power when the others
        could have half of the file; C{slow}: their links carry a tenth; empty for nothing.
    """

    kind: str = ""
    peers: frozenset[int] = frozenset()

    @classmethod
    def plan(cls, kind: str, count: int) -> Fault:
        """A quarter of C{count} peers, spread evenly; one for C{slow}."""
        if not kind:
            return cls()
        hit = [count // 2] if kind == "slow" else range(4, count + 1, 4)
        return cls(kind, frozenset(hit))


@define(eq=False)
class Course:
    """
    What a contestant is given for one run: hosts, file, and an empty folder.

    @ivar fault: a contestant starts nothing on the hosts of C{dead} peers.
    @ivar urgent: while the race runs, other work of the machine waits.
    """

    lab: Lab
    setting: Setting
    file: File
    folder: Path
    processes: Processes
    fault: Fault = Fault()
    urgent: bool = False

    @property
    def running(self) -> list[int]:
        """The numbers of the peers that are there in the beginning."""
        dead = self.fault.peers if self.fault.kind == "dead" else ()
        return [peer for peer in range(1, self.setting.peers + 1) if peer not in dead]

    @property
    def counted(self) -> list[int]:
        """The numbers of the peers that must get the file."""
        return [peer for peer in range(1, self.setting.peers + 1) if peer not in self.fault.peers]

    def place(self, host: int) -> Path:
        """The folder of one host."""
        place = self.folder / f"host{host}"
        place.mkdir(exist_ok=True)
        return place


class Contestant:
    """
    One way to bring a file to many hosts.

    @cvar name: what it is called in results.
    @cvar needs: programs that it needs, and the Debian packages that have them.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[Mapping[str, str]] = {}

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
