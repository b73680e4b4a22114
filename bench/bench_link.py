"""
Throughput of one link over loopback: pieces from one process to another.

  python -m bench.bench_link [--clear] [--piece BYTES] [--total MEGABYTES] [--depth REQUESTS]

Prints MB/s and the CPU seconds per GB of either side.  SHA-256 of each piece
is taken by the receiver, as the agent does.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from twisted.internet import reactor
from zope.interface import implementer

from clumpt.aio import deferred
from clumpt.interfaces import IPeerEvents
from clumpt.model import Address, PeerName
from clumpt.pieces import digest_of
from clumpt.protocols.client import Network
from clumpt.protocols.tls import ClearSecurity, TlsSecurity
from tests.certificates import Authority

DIGEST = digest_of(b"a package")


@implementer(IPeerEvents)
class Server:
    """Holds one piece, and gives it away."""

    def __init__(self, size: int) -> None:
        self.data = os.urandom(size)

    def hello(self) -> Any:
        return "bench", 0, DIGEST, b""

    def admit(self, *_: object) -> None:
        pass

    linked = unlinked = drained = admit

    def piece_wanted(self, *_: object) -> bytes:
        return self.data


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@deferred
async def fetch(network: Network, address: Address, options: argparse.Namespace) -> None:
    link = await network.dial(PeerName("server"), [address])
    count = options.total * 1_000_000 // options.piece
    asked = done = 0
    started, before = monotonic(), cpu()

    def ask() -> None:
        nonlocal asked
        if asked < count:
            asked += 1
            link.piece(DIGEST, asked % 1024, options.piece).addCallback(got)

    def got(data: bytes) -> None:
        nonlocal done
        sha256(data).digest()
        done += 1
        if done == count:
            report()
        ask()

    def report() -> None:
        seconds, gigabytes = monotonic() - started, count * options.piece / 1e9
        print(f"{gigabytes * 1000 / seconds:.0f} MB/s, receiver {(cpu() - before) / gigabytes:.2f} CPU-s/GB")
        network.stop().addCallback(lambda _: reactor.stop())

    for _ in range(options.depth):
        ask()


def network_of(me: str, folder: Path, options: argparse.Namespace, ports: tuple[int, int] | None) -> Network:
    far = (PeerName("server" if me == "client" else "client"), DIGEST)
    security: Any = ClearSecurity(lambda _: far)
    if not options.clear:
        files = [folder / name for name in ("ca.pem", f"{me}.pem", f"{me}.key")]
        security = TlsSecurity(reactor, *files)
    return Network(reactor, reactor, Random(), security, PeerName(me), "127.0.0.1", ports)


def serve(options: argparse.Namespace) -> None:
    network = network_of("server", Path(options.serve), options, (0, 0))
    network.start(Server(options.piece))
    print(*network.ports, flush=True)
    before = cpu()
    reactor.run()
    spent = (cpu() - before) / options.total * 1000
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"sender {spent:.2f} CPU-s/GB, at most {memory:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clear", action="store_true")
    parser.add_argument("--piece", type=int, default=256 * 1024)
    parser.add_argument("--total", type=int, default=2000)
    parser.add_argument("--depth", type=int, default=16)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        authority.path.rename(folder / "ca.pem")
        for peer in ("server", "client"):
            files = authority.issue(peer)
            files.certificate.rename(folder / f"{peer}.pem")
            files.key.rename(folder / f"{peer}.key")
        command = [sys.executable, "-m", "bench.bench_link", "--serve", name, *sys.argv[1:]]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            notify, update = map(int, server.stdout.readline().split())
            network = network_of("client", folder, options, None)
            network.start(Server(0))
            reactor.callWhenRunning(fetch, network, Address("127.0.0.1", notify, update), options)
            reactor.run()
            server.terminate()
            print(server.stdout.read().decode(), end="")


if __name__ == "__main__":
    main()
