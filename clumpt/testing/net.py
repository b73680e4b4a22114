"""
The network between simulated hosts: who is there, how far apart, how fast, and what is broken.

Wires are ordered and bounded.  Latency is drawn for each direction of each wire; writes are coalesced and
cut as chance will have it.  Each host's card has a rate for each direction, shared by all its wires in the
order of sending.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.abstract import isIPAddress

from clumpt.testing.faults import Cut, Faults, Slow, between, one_way
from clumpt.testing.reactor import Host
from clumpt.testing.transport import SimTransport
from clumpt.testing.wire import Flow, Nic
from clumpt.testing.world import World

__all__ = ["Network"]

# One gigabit, in bytes per second.
RATE = 125e6
# Seconds one way, least and most, as within a machine room.
LATENCY = (0.0001, 0.0005)
# The most that one read gives, as Twisted reads.
SEGMENT = 65536
# Seconds between two programs of one host.
LOOPBACK = 0.00002


@define(eq=False)
class Network:
    """
    All hosts, and what is between them.

    @ivar rate: bytes per second of a new host's card.
    @ivar latency: seconds one way, least and most.
    @ivar fragments: the share of segments that are cut somewhere for no reason (0 to 1).
    @ivar window: the most bytes of one wire on their way, unacknowledged.
    @ivar patience: seconds after which a wire breaks on which nothing is acknowledged.
    @ivar instant: seconds too short to be worth an event.
    @ivar hosts: by address.
    @ivar names: addresses, by host name.
    @ivar stalled: the flows that a fault holds up.
    """

    world: World
    rate: float = RATE
    latency: tuple[float, float] = LATENCY
    fragments: float = 0.1
    window: int = 256 * 1024
    patience: float = 60.0
    instant: float = 20e-6
    hosts: dict[str, Host] = field(factory=dict, init=False)
    names: dict[str, str] = field(factory=dict, init=False)
    faults: Faults = field(factory=Faults, init=False)
    stalled: dict[Flow, None] = field(factory=dict, init=False)

    # Hosts.

    def host(self, address: str, rate: float | None = None) -> Host:
        """The host at C{address} (IPv4); a new one is up, and sends and receives at C{rate} bytes/s."""
        if address not in self.hosts:
            if not isIPAddress(address):
                raise ValueError(f"{address} is not an IPv4 address")
            up, down = (Nic(self.world, rate or self.rate) for _ in range(2))
            self.hosts[address] = Host(self, address, up, down)
        return self.hosts[address]

    def resolve(self, asking: Host, name: str) -> str:
        """The address that C{name} stands for; an unknown name is its own address, where nobody is."""
        return asking.address if name in ("127.0.0.1", "localhost") else self.names.get(name, name)

    # Faults.

    def cut(self, a: str, b: str, direction: str = "both") -> int:
        """
        Let nothing through between two hosts; returns the number to L{mend} it by.

        @param direction: C{both}, or C{one} for a cut from C{a} to C{b} only.
        """
        return self.partition(between(a, b) if direction == "both" else one_way(a, b))

    def partition(self, cut: Cut) -> int:
        """Put any cut (L{clumpt.testing.faults}) in force; returns the number to L{mend} it by."""
        number = self.faults.cut(cut)
        self.world.note("cut", number)
        return number

    def mend(self, number: int) -> None:
        """End one cut."""
        self.faults.mend(number)
        self.world.note("mend", number)
        self.changed()

    def slow_down(self, a: str, b: str, slow: Slow | None) -> None:
        """Make a link slow in both directions, or good again with None."""
        self.faults.slow_down(a, b, slow)

    def heal(self) -> None:
        """End all cuts and make all links good; hosts stay as they are."""
        self.faults.heal()
        self.world.note("heal")
        self.changed()

    def changed(self) -> None:
        """Something may get through again: let what is held up try."""
        for flow in list(self.stalled):
            flow.try_again()

    def blocked(self, source: Host, target: Host) -> bool:
        """Does nothing get from C{source} to C{target} now?"""
        return source.silent or target.silent or self.faults.cuts(source.address, target.address)

    # Wires.

    def flight(self) -> float:
        """Seconds that a packet takes."""
        return self.world.random.uniform(*self.latency)

    def segment(self, most: int) -> int:
        """How many of at most C{most} bytes travel together: at least one."""
        most = min(most, SEGMENT)
        cut = self.world.random.random() < self.fragments
        return self.world.random.randint(1, most) if cut else most

    def join(self, near: SimTransport, far: SimTransport) -> None:
        """Put a wire between two ends."""
        local = near.host is far.host
        near.out = far.into = Flow(self, near, far, LOOPBACK if local else self.flight())
        far.out = near.into = Flow(self, far, near, LOOPBACK if local else self.flight())
        self.world.note("open", *(f"{end.getHost().host}:{end.getHost().port}" for end in (near, far)))
