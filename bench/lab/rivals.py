"""Other ways to bring a file to many hosts: from one server, by multicast, and along a chain."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from bench.lab.contest import Contestant, Course
from bench.lab.processes import WAITING, Gate, Process, wait_until

#: Seconds for a server to listen, and for clients to come to the gate.
START, SETTLE = 10.0, 0.5
_CHAIN = Path(__file__).with_name("chain.py")

_NGINX = """\
daemon off; master_process off; worker_processes 1;
pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3;
  uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
  server {{ listen {address}:{port}; root {root}; }}
}}
"""

_RSYNCD = """\
use chroot = no
uid = root
gid = root
max connections = 0
address = {address}
port = {port}
pid file = {place}/rsyncd.pid
[race]
path = {root}
"""


class Pulling(Contestant):
    """One client for each peer, all released at the same moment; a peer has finished when its client ends."""

    port = 8730

    def __init__(self, course: Course) -> None:
        super().__init__(course)
        self.gate = Gate()
        self.clients: dict[int, Process] = {}

    @property
    def source(self) -> str:
        """The address of the source."""
        return self.course.lab.hosts[0].address

    def server(self) -> Sequence[str]:
        """The words that start the server."""
        raise NotImplementedError

    def client(self, peer: int) -> Sequence[str]:
        """The words that start a client."""
        raise NotImplementedError

    def prepare(self) -> None:
        """See L{Contestant}."""
        course = self.course
        server = course.processes.start(course.lab.hosts[0], self.server(), "server")
        wait_until(lambda: self._is_ready(server), START, f"the server of {self.name}")
        for peer in course.running:
            words = [*WAITING, *self.client(peer)]
            self.clients[peer] = course.processes.start(
                course.lab.hosts[peer], words, f"client-{peer}", peer, stdin=self.gate.stdin
            )
        time.sleep(SETTLE)

    def _is_ready(self, server: Process) -> bool:
        server.check()
        return server.listens(self.port)

    def go(self) -> float:
        """See L{Contestant}."""
        began = time.time()
        self.gate.open()
        return began

    def finished(self, peer: int) -> float | None:
        """See L{Contestant}."""
        client = self.clients[peer]
        client.check()
        return client.ended


class Http(Pulling):
    """nginx at the source, and curl at every peer."""

    name = "http"
    needs: ClassVar[Mapping[str, str]] = {"nginx": "nginx-light", "curl": "curl"}

    def server(self) -> Sequence[str]:
        """See L{Pulling}."""
        place, root = self.course.place(0), self.course.file.path.parent
        text = _NGINX.format(place=place, address=self.source, port=self.port, root=root)
        (place / "nginx.conf").write_text(text)
        return ["nginx", "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")]

    def client(self, peer: int) -> Sequence[str]:
        """See L{Pulling}."""
        url = f"http://{self.source}:{self.port}/{self.course.file.path.name}"
        return ["curl", "-sSf", "-o", str(self.result(peer)), url]


class Rsync(Pulling):
    """rsync as a daemon at the source, and rsync at every peer, whole files only."""

    name = "rsync"
    needs: ClassVar[Mapping[str, str]] = {"rsync": "rsync"}

    def server(self) -> Sequence[str]:
        """See L{Pulling}."""
        place, root = self.course.place(0), self.course.file.path.parent
        text = _RSYNCD.format(place=place, address=self.source, port=self.port, root=root)
        (place / "rsyncd.conf").write_text(text)
        return ["rsync", "--daemon", "--no-detach", f"--config={place / 'rsyncd.conf'}"]

    def client(self, peer: int) -> Sequence[str]:
        """See L{Pulling}."""
        url = f"rsync://{self.source}:{self.port}/race/{self.course.file.path.name}"
        return ["rsync", "--whole-file", "--inplace", url, str(self.result(peer))]


class Udpcast(Pulling):
    """udpcast: multicast at nine tenths of the rate; the receivers wait before the race begins."""

    name = "udpcast"
    needs: ClassVar[Mapping[str, str]] = {"udp-sender": "udpcast", "udp-receiver": "udpcast"}

    def prepare(self) -> None:
        """See L{Contestant}."""
        rendezvous = ("--mcast-rdv-address", "239.77.0.1")
        for peer in self.course.running:
            words = ["udp-receiver", "--nokbd", "--nosync", "-i", "eth0", *rendezvous]
            self.clients[peer] = self.course.processes.start(
                self.course.lab.hosts[peer], [*words, "-f", str(self.result(peer))], f"client-{peer}", peer
            )
        time.sleep(SETTLE)

    def go(self) -> float:
        """See L{Contestant}."""
        course = self.course
        words = ["udp-sender", "--nokbd", "-i", "eth0", "-f", str(course.file.path), "--full-duplex"]
        words += ["--min-receivers", str(len(course.running)), "--nopointopoint"]
        words += ["--mcast-rdv-address", "239.77.0.1", "--mcast-data-address", "239.77.0.2"]
        if course.setting.rate:
            words += ["--max-bitrate", f"{round(900 * course.setting.rate)}k"]
        began = time.time()
        course.processes.start(course.lab.hosts[0], words, "sender")
        return began


class Chain(Pulling):
    """Peers in a row over plain sockets, connected before the race: a yardstick, nothing to use."""

    name = "chain"

    def prepare(self) -> None:
        """See L{Contestant}."""
        course = self.course
        hosts, peers = course.lab.hosts, [0, *course.running]
        program = [sys.executable, "-S", str(_CHAIN)]
        words = [*program, self.source, str(self.port), str(course.file.path)]
        processes = [course.processes.start(hosts[0], words, "server", stdin=self.gate.stdin)]
        for before, peer in zip(peers, peers[1:], strict=False):
            more = [str(self.result(peer)), str(course.file.size), hosts[before].address]
            words = [*program, hosts[peer].address, str(self.port), *more]
            words.append("last" if peer == peers[-1] else "more")
            self.clients[peer] = course.processes.start(hosts[peer], words, f"client-{peer}", peer)
            processes.append(self.clients[peer])
        for process in processes:
            wait_until(
                lambda one=process: "connected" in one.log.read_text(), START, f"{process.role} in the chain"
            )
