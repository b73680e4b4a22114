"""Clumpt as a contestant: real daemons, enrolled, running and linked before the race begins."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import ClassVar

from attrs import frozen

from bench.lab.contest import Contestant, Course
from bench.lab.office import configuration, name_of, state
from bench.lab.processes import Gate, Process, wait_until

_DAEMON = "from clumpt.apps.scripts import clumptd; clumptd()"
_LINKED = re.compile(r"linked to (\S+), which")
#: Seconds for all daemons to start and to be linked, and for each of them.
START, START_EACH = 30.0, 3.0
#: Seconds after which a daemon that was linked is at rest: its first round of synchronisation is over.
REST = 3.0


@frozen
class Shape:
    """
    How a cluster is knit.

    @ivar neighbours: N, how many peers each peer knows (R74).
    @ivar initial: percentage of the peers that the submitter tells (R62).
    """

    neighbours: int = 5
    initial: int = 20


class Clumpt(Contestant):
    """
    Daemons on all peers' hosts; the race begins when the submitter begins to dial.

    A peer has finished when the package has its final name in the repository: it is whole then, verified
    and durable.  Nothing is installed, as the rivals install nothing either.
    """

    name = "clumpt"
    shape: ClassVar[Shape] = Shape()
    links: ClassVar[bool] = False
    #: Python that the daemons run first.
    before: ClassVar[str] = ""

    def __init__(self, course: Course) -> None:
        super().__init__(course)
        self._cluster = course.folder / "cluster"
        self._daemons: dict[int, Process] = {}
        self._gate = Gate()

    def prepare(self) -> None:
        """See L{Contestant}."""
        course, lab = self.course, self.course.lab
        self._cluster.mkdir()
        (self._cluster / "state").mkdir()
        words = [sys.executable, "-m", "bench.lab.office", str(self._plan())]
        self._wait_for("ready", course.processes.start(lab.office, words, "office"), self._patience)
        for peer in course.running:
            self._daemons[peer] = self._start(peer)
        for peer, daemon in self._daemons.items():
            wait_until(
                lambda p=peer, d=daemon: self._is_linked(p, d), self._patience, f"links of peer {peer}"
            )
        # The submitter registers what it is about to tell: nobody is to find that in the directory before.
        time.sleep(REST)
        self._submitter = self._prepare_submitter()

    @property
    def _patience(self) -> float:
        return START + START_EACH * self.course.setting.peers

    def _plan(self) -> Path:
        hosts, path = self.course.lab.hosts, self._cluster / "plan.json"
        plan = {
            "folder": str(self._cluster),
            "office": self.course.lab.office.address,
            "source": hosts[0].address,
            "peers": [host.address for host in hosts[1:]],
            "neighbours": self.shape.neighbours,
            "initial": self.shape.initial,
        }
        path.write_text(json.dumps(plan))
        return path

    def _start(self, peer: int) -> Process:
        place = self.course.place(peer)
        config = configuration(self._cluster, name_of(peer))
        words = [sys.executable, "-c", self.before + _DAEMON, "--config", str(config)]
        return self.course.processes.start(
            self.course.lab.hosts[peer], words, f"clumptd-{peer}", peer, cwd=place
        )

    def _is_linked(self, peer: int, daemon: Process) -> bool:
        daemon.check()
        text = daemon.log.read_text()
        wanted = json.loads((self._cluster / "neighbours.json").read_text())[name_of(peer)]
        there = {name_of(other) for other in self.course.running}
        return "is up" in text and there.intersection(wanted) <= set(_LINKED.findall(text))

    def _prepare_submitter(self) -> Process:
        files = [configuration(self._cluster), self.course.file.path]
        words = [sys.executable, "-m", "bench.lab.submitter", *map(str, files)]
        submitter = self.course.processes.start(
            self.course.lab.hosts[0],
            [*words, "open"] if self.links else words,
            "submitter",
            stdin=self._gate.stdin,
        )
        self._wait_for("ready", submitter, self._patience)
        return submitter

    def _wait_for(self, word: str, process: Process, seconds: float, pause: float = 0.05) -> str:
        def said() -> bool:
            process.check()
            return word in process.log.read_text()

        wait_until(said, seconds, f"{word} of {process.role}", pause)
        return process.log.read_text()

    def go(self) -> float:
        """See L{Contestant}."""
        self._gate.open()
        said = self._wait_for("began", self._submitter, START, 0.001)
        return float(said.partition("began ")[2].split()[0])

    def result(self, peer: int) -> Path:
        """See L{Contestant}."""
        digest = self.course.file.sha256
        return state(self._cluster, name_of(peer)) / "repo" / digest[:2] / digest

    def finished(self, peer: int) -> float | None:
        """See L{Contestant}; the file got its name when its inode was changed last."""
        self._daemons[peer].check()
        try:
            return self.result(peer).stat().st_ctime
        except FileNotFoundError:
            return None


class ClumptOpen(Clumpt):
    """The same, with the submitter linked to the peers before the race begins."""

    name = "clumpt-open"
    links = True
