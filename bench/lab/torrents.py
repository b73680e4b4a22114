"""BitTorrent as a rival: aria2, and libtorrent as it comes and tuned for a local network."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from bench.lab.contest import Contestant, Course
from bench.lab.processes import WAITING, Gate, Process, wait_until

_HERE = Path(__file__).parent
#: The Python that has the bindings of libtorrent.
SYSTEM_PYTHON = "/usr/bin/python3"
TRACKER, PORT = 6969, 6881
#: Seconds for a tracker and the source to be there, and for clients to come to the gate.
START, SETTLE = 15.0, 2.0
#: From this size on, pieces of 512 KiB instead of 256 KiB.
LARGE = 50_000_000


class Torrent(Contestant):
    """The source seeds; a tracker runs on a host without limits; clients write down when they finish."""

    client_waits: ClassVar[bool] = False

    def __init__(self, course: Course) -> None:
        super().__init__(course)
        self.gate = Gate()
        self.torrent = course.folder / "race.torrent"
        self.clients: dict[int, Process] = {}

    def node(self, host: int) -> Sequence[str]:
        """The words that start what runs on C{host}."""
        raise NotImplementedError

    def done(self, peer: int) -> Path:
        """The file in which a peer writes down the time at which it had finished."""
        return self.course.place(peer) / "done"

    def prepare(self) -> None:
        """See L{Contestant}."""
        course, hosts, office = self.course, self.course.lab.hosts, self.course.lab.office
        announce = f"http://{office.address}:{TRACKER}/announce"
        size = "19" if course.file.size >= LARGE else "18"
        words = ["mktorrent", "-l", size, "-a", announce, "-o", str(self.torrent), str(course.file.path)]
        subprocess.run(words, check=True, capture_output=True)
        (course.place(0) / course.file.path.name).symlink_to(course.file.path)
        words = [sys.executable, "-S", str(_HERE / "tracker.py"), office.address, str(TRACKER)]
        self._ready(course.processes.start(office, words, "tracker"), TRACKER)
        self._ready(course.processes.start(hosts[0], self.node(0), "source"), PORT)
        for peer in course.running:
            words = [*(() if self.client_waits else WAITING), *self.node(peer)]
            self.clients[peer] = course.processes.start(
                hosts[peer], words, f"client-{peer}", peer, stdin=self.gate.stdin
            )
        time.sleep(SETTLE + 0.1 * len(course.running))

    def _ready(self, process: Process, port: int) -> None:
        def listens() -> bool:
            process.check()
            return process.listens(port)

        wait_until(listens, START, f"{process.role} of {self.name}")

    def go(self) -> float:
        """See L{Contestant}."""
        began = time.time()
        self.gate.open()
        return began

    def finished(self, peer: int) -> float | None:
        """See L{Contestant}."""
        self.clients[peer].check()
        try:
            return float(self.done(peer).read_text())
        except FileNotFoundError:
            return None


class Aria2(Torrent):
    """aria2 as a BitTorrent client, started when the race begins, with local peer discovery."""

    name = "aria2"
    needs: ClassVar[Mapping[str, str]] = {"aria2c": "aria2", "mktorrent": "mktorrent"}

    def node(self, host: int) -> Sequence[str]:
        """See L{Torrent}."""
        place = self.course.place(host)
        words = ["aria2c", "--no-conf", f"--dir={place}", "--seed-ratio=0.0", f"--listen-port={PORT}"]
        words += ["--enable-dht=false", "--enable-dht6=false", "--disable-ipv6=true", "--bt-max-peers=0"]
        words += ["--bt-enable-lpd=true", "--bt-lpd-interface=eth0", "--bt-request-peer-speed-limit=100M"]
        words += [
            "--file-allocation=none",
            "--summary-interval=0",
            "--console-log-level=warn",
            "--quiet=true",
        ]
        if host:
            words.append(f"--on-bt-download-complete={self._hook(host)}")
        else:
            words += ["--check-integrity=false", "--bt-seed-unverified=true", "--allow-overwrite=true"]
        return [*words, str(self.torrent)]

    def _hook(self, peer: int) -> Path:
        hook, done = self.course.place(peer) / "hook", self.done(peer)
        hook.write_text(f"#!/bin/sh\ndate +%s.%N > {done}.new && mv {done}.new {done}\n")
        hook.chmod(0o755)
        return hook


class Libtorrent(Torrent):
    """libtorrent with its defaults: sessions run before the race, and all addresses are told."""

    name = "libtorrent"
    needs: ClassVar[Mapping[str, str]] = {
        "mktorrent": "mktorrent",
        "/usr/share/doc/python3-libtorrent": "python3-libtorrent",
    }
    client_waits = True
    mode: ClassVar[str] = "default"

    def node(self, host: int) -> Sequence[str]:
        """See L{Torrent}."""
        hosts = self.course.lab.hosts
        others = [hosts[other].address for other in (0, *self.course.running) if other != host]
        place = self.course.place(host)
        words = [SYSTEM_PYTHON, str(_HERE / "libtorrent_node.py"), str(self.torrent), str(place)]
        return [*words, str(self.done(host)), self.mode, *(others if host else ())]


class LibtorrentTuned(Libtorrent):
    """The same, without uTP, with more slots, faster retries and larger buffers."""

    name = "libtorrent-tuned"
    mode = "tuned"
