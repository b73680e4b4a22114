"""Hosts to race on: network namespaces whose links are limited, or addresses of the loopback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen

#: Bytes in the headers of a packet: Ethernet, IP, and TCP with time stamps.
HEADERS = 14 + 20 + 32

#: Bytes that TCP hands to a link at once, at most, as to a card that cuts them into packets by itself.  What
#: is larger than the bucket is cut by tbf, and then every 1500 bytes take a timer and soft interrupts on each
#: way: that is more work than all the peers do, on the processors that the peers share.
WHOLE = 16 * 1024

_PREFIX = "clumpt-race"


@frozen
class Host:
    """
    One machine.

    @ivar enter: the words before a command that is to run there.
    """

    name: str
    address: str
    enter: tuple[str, ...] = ()


@frozen
class Traffic:
    """
    Bytes that one host has sent and received, without the headers of packets.

    So an empty acknowledgement counts for nothing; what TCP sends again counts again.
    """

    sent: int
    received: int

    def since(self, before: Traffic) -> Traffic:
        """What came after C{before}."""
        return Traffic(self.sent - before.sent, self.received - before.received)


class Lab(Protocol):
    """
    Hosts that reach each other.

    @ivar hosts: the source of the file, number 0, and the peers.
    @ivar office: a further host, without limits, for what is not raced: a directory, a tracker.
    """

    hosts: Sequence[Host]
    office: Host

    def traffic(self) -> Mapping[int, Traffic]:
        """The traffic of each host by its number; empty if it cannot be told."""

    def slow(self, host: int, rate: float) -> None:
        """From now on the link of C{host} carries C{rate} Mbit/s."""

    def cut(self, host: int) -> None:
        """Nothing reaches C{host} any more, and nothing comes from it, not even that it is gone."""

    def mend(self) -> None:
        """All links are again as they were in the beginning."""

    def close(self) -> None:
        """Take everything down."""


class Loopback:
    """Addresses of the loopback: nothing is limited or counted, and nobody need be root."""

    def __init__(self, peers: int) -> None:
        # Runs beside each other keep out of each other's way.
        network = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
        self.hosts: Sequence[Host] = [
            Host(f"host{number}", f"{network}.{number + 1}") for number in range(peers + 1)
        ]
        self.office = Host("office", f"{network}.{peers + 2}")

    def traffic(self) -> Mapping[int, Traffic]:
        """See L{Lab}."""
        return {}

    def slow(self, host: int, rate: float) -> None:
        """See L{Lab}."""
        raise ValueError("the loopback has no links to limit")

    def cut(self, host: int) -> None:
        """See L{Lab}."""
        raise ValueError("the loopback has no links to cut")

    def mend(self) -> None:
        """See L{Lab}."""

    def close(self) -> None:
        """See L{Lab}."""


class Namespaces:
    """
    A network namespace for each host, all plugged into one bridge in a namespace of its own.

    Every link has a token bucket (tbf) at both ends, so that it is limited each way.  The machine's own
    network is not touched.  Needs root, and ip and tc of iproute2.
    """

    def __init__(self, peers: int, rate: float) -> None:
        sweep()
        self._rate = rate
        self._base = f"{_PREFIX}.{os.getpid()}"
        self._switch = f"{self._base}.switch"
        self._made: list[str] = []
        self._ports: dict[str, int] = {}
        try:
            self._make(self._switch)
            _batch("ip", self._switch, ["link add br0 type bridge", "link set br0 up"])
            self.hosts: Sequence[Host] = [
                self._plug(number, f"host{number}", rate) for number in range(peers + 1)
            ]
            self.office = self._plug(peers + 1, "office", 0)
        except BaseException:
            self.close()
            raise

    def _make(self, name: str) -> None:
        _run("ip", "netns", "add", name)
        self._made.append(name)

    def _plug(self, number: int, name: str, rate: float) -> Host:
        space, port = f"{self._base}.{name}", f"p{number}"
        host = Host(
            name,
            f"10.77.{number // 250}.{number % 250 + 1}",
            # If this process is killed, so is everything that it started.
            ("setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{space}"),
        )
        self._make(space)
        self._ports[port] = number
        _batch("ip", self._switch, [f"link add {port} type veth peer name eth0 netns {space}"])
        _batch("ip", self._switch, [f"link set {port} master br0 up"])
        up = ["link set lo up", f"address add {host.address}/16 dev eth0", "link set eth0 up"]
        _batch("ip", space, [*up, "route add 224.0.0.0/4 dev eth0"])
        if rate:
            self._limit(number, space, rate)
        return host

    def _limit(self, number: int, space: str, rate: float) -> None:
        bucket = f"root tbf rate {round(rate * 1e6)}bit burst 32kb limit"
        _batch("ip", space, [f"link set dev eth0 gso_max_size {WHOLE}"])
        _batch("ip", self._switch, [f"link set dev p{number} gso_max_size {WHOLE}"])
        _batch("tc", space, [f"qdisc replace dev eth0 {bucket} 1mb"])
        _batch("tc", self._switch, [f"qdisc replace dev p{number} {bucket} 256kb"])

    def slow(self, host: int, rate: float) -> None:
        """See L{Lab}."""
        self._limit(host, f"{self._base}.host{host}", rate)

    def cut(self, host: int) -> None:
        """See L{Lab}."""
        _batch("ip", self._switch, [f"link set p{host} down"])

    def mend(self) -> None:
        """See L{Lab}."""
        for number in range(len(self.hosts)):
            _batch("ip", self._switch, [f"link set p{number} up"])
            if self._rate:
                self.slow(number, self._rate)

    def traffic(self) -> Mapping[int, Traffic]:
        """See L{Lab}; counted where the hosts are plugged in."""
        told = _run("nsenter", f"--net=/run/netns/{self._switch}", "cat", "/proc/net/dev")
        counted = {}
        for line in told.splitlines()[2:]:
            port, _, numbers = line.partition(":")
            if (number := self._ports.get(port.strip())) is not None:
                columns = [int(word) for word in numbers.split()]
                sent, received = columns[0] - HEADERS * columns[1], columns[8] - HEADERS * columns[9]
                counted[number] = Traffic(sent, received)
        return counted

    def close(self) -> None:
        """See L{Lab}."""
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        self._made.clear()


def sweep() -> None:
    """Take down what a race left behind that was killed."""
    for line in _run("ip", "netns", "list").splitlines():
        name = line.split()[0] if line.strip() else ""
        if name.startswith(f"{_PREFIX}.") and not Path(f"/proc/{name.split('.')[1]}").exists():
            _run("ip", "netns", "delete", name)


def _run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _batch(tool: str, space: str, lines: Sequence[str]) -> None:
    for line in lines:
        _run(tool, "-n", space, *line.split())
