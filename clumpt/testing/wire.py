"""
How bytes get from one host to another: L{Nic} gives them time, L{Flow} is one direction of one wire.

A segment is serialised on the sender's uplink, travels, is serialised on the receiver's downlink, and is
acknowledged when the far side's program took it.  A wire has a bounded number of bytes on the way, like TCP.
Where a cut, or a host without power, swallows segments or acknowledgements, the flow holds what TCP would
send again: it goes on some time after the fault has ended, or breaks when the sender's patience has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

from attrs import define, field
from twisted.internet.error import ConnectionLost

from clumpt.testing.world import Timer, World

if TYPE_CHECKING:
    from clumpt.testing.net import Network
    from clumpt.testing.transport import SimTransport

__all__ = ["Flow", "Mark", "Nic"]

# Seconds of sending that are booked ahead without an event; a change of rate comes late by as much.
AHEAD = 0.001
# Bytes of a segment that go into the diary's checksum.
CHECKED = 1024


@define(eq=False)
class Nic:
    """One direction of a host's network card: first come, first served, at a rate."""

    world: World
    _rate: float
    carried: int = field(default=0, init=False)
    _free: float = field(default=0.0, init=False)
    _queue: deque[tuple[int, Callable[[float], None]]] = field(factory=deque, init=False)
    _timer: Timer | None = field(default=None, init=False)

    @property
    def rate(self) -> float:
        """Bytes per second, above 0; may change while bytes are on their way."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if rate <= 0.0:
            raise ValueError("a card without a rate is a cut: use one")
        now, factor = self.world.now, self._rate / rate
        self._free = now + max(0.0, self._free - now) * factor
        if self._timer is not None:
            self._timer.reset((self._timer.getTime() - now) * factor)
        self._rate = rate

    def carry(self, size: int, then: Callable[[float], None]) -> None:
        """Call C{then} with a delay, after which (counted from that call) C{size} bytes have passed."""
        self.carried += size
        now = self.world.now
        free = max(self._free, now) + size / self._rate
        if not self._queue and free - now <= AHEAD:
            self._free = free
            then(free - now)
            return
        self._queue.append((size, then))
        if len(self._queue) == 1:
            self._start()

    def clear(self) -> None:
        """Forget what waits to be sent: the power went."""
        self._queue.clear()
        self._free = self.world.now
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        begin = max(self._free, self.world.now)
        self._timer = self.world.call_at(begin + self._queue[0][0] / self._rate, self._passed)

    def _passed(self) -> None:
        self._timer = None
        self._free = self.world.now
        _, then = self._queue.popleft()
        if self._queue:
            self._start()
        then(0.0)


class Mark(Enum):
    """What travels in order with the bytes, but is none."""

    OPEN = "open"
    END = "end"


@define(eq=False)
class Flow:
    """
    One direction of a wire.

    @ivar latency: seconds one way, without what faults add.
    @ivar dead: nothing that is on the way will arrive.
    """

    network: Network
    sender: SimTransport
    receiver: SimTransport
    latency: float
    dead: bool = field(default=False, init=False)
    _in_flight: int = field(default=0, init=False)
    _items: deque[bytes | Mark] = field(factory=deque, init=False)
    _latest: float = field(default=0.0, init=False)
    _acks: deque[tuple[float, int]] = field(factory=deque, init=False)
    _starved: bool = field(default=False, init=False)
    # What a black hole swallowed, and what will be sent again.
    _held: deque[int] = field(factory=deque, init=False)
    _unheard: int = field(default=0, init=False)
    _refusal_unheard: bool = field(default=False, init=False)
    _patience: Timer | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)

    # The sender's side.

    def room(self) -> int:
        """How many bytes may be put on the way now."""
        now = self.network.world.now
        while self._acks and self._acks[0][0] <= now:
            self._in_flight -= self._acks.popleft()[1]
        return self.network.window - self._in_flight

    def wait_for_room(self) -> None:
        """Tell the sender as soon as there may be more room."""
        if self._acks:
            self._starved = False
            self.network.world.call_at(self._acks[0][0], self.sender.writable)
        else:
            self._starved = True

    def send(self, item: bytes | Mark) -> None:
        """Put one segment, or a mark, on the way."""
        if self.dead:
            return
        size = len(item) if isinstance(item, bytes) else 0
        self._items.append(item)
        self._in_flight += size
        if self._local:
            self._sent(size, 0.0)
        else:
            self.sender.host.uplink.carry(size, partial(self._sent, size))

    def reset(self) -> None:
        """Break the wire: nothing more arrives but the news, and that only if nothing swallows it."""
        self.kill()
        self.network.world.call_later(self.latency, self._reset_arrives)

    def kill(self) -> None:
        """Nothing of this flow arrives any more."""
        self.dead = True
        self._items.clear()
        self._calm()

    # On the way.

    @property
    def _local(self) -> bool:
        return self.sender.host is self.receiver.host

    def _blocked(self) -> bool:
        return self.network.blocked(self.sender.host, self.receiver.host)

    def _blocked_back(self) -> bool:
        return self.network.blocked(self.receiver.host, self.sender.host)

    def _sent(self, size: int, delay: float) -> None:
        if self.dead:
            return
        network = self.network
        delay += self.latency * network.world.random.uniform(1.0, 1.1)
        slow = network.faults.slow(self.sender.host.address, self.receiver.host.address)
        if slow is not None:
            delay += slow.delay
        self._latest = max(self._latest, network.world.now + delay)
        if slow is not None:
            self._latest += size / slow.rate
        network.world.call_at(self._latest, self._arrive, size)

    def _arrive(self, size: int) -> None:
        if self.dead:
            return
        if self._held or self._blocked():
            self._held.append(size)
            self._worry()
        elif self._local:
            self._deliver()
        else:
            self.receiver.host.downlink.carry(size, self._received)

    def _received(self, delay: float) -> None:
        # The time of a few bytes is booked, but not worth an event.
        if delay < self.network.instant:
            self._deliver()
        else:
            self.network.world.call_later(delay, self._deliver)

    def _deliver(self) -> None:
        # Segments of one wire never overtake each other, in whatever order equal times are called.
        if self.dead:
            return
        item = self._items.popleft()
        if self.receiver.disconnected:
            self._refuse()
            return
        if isinstance(item, bytes):
            words: tuple[object, ...] = (len(item), crc32(item[:CHECKED]))
        else:
            words = (item.value,)
        self.network.world.note("rx", self.receiver.host.address, self.sender.host.address, *words)
        self.receiver.arrived(item)

    # Answers.

    def acknowledge(self, size: int) -> None:
        """The receiver took C{size} bytes."""
        if self.dead:
            return
        if self._blocked_back():
            self._unheard += size
            self._worry()
            return
        self._acks.append((self.network.world.now + self.latency, size))
        if self._starved:
            self.wait_for_room()

    def _refuse(self) -> None:
        """Nobody is there to take it; the sender is told, as by a kernel that knows of no such wire."""
        if self._blocked_back():
            self._refusal_unheard = True
            self._worry()
        else:
            self.network.world.call_later(self.latency, self._refused)

    def _refused(self) -> None:
        self.kill()
        self.sender.broken()

    def _reset_arrives(self) -> None:
        if not self._blocked():
            self.receiver.broken()

    # Black holes.

    def _worry(self) -> None:
        if self._patience is None:
            world = self.network.world
            self._since = world.now
            self._patience = world.call_later(self.network.patience, self._give_up)
            self.network.stalled[self] = None

    def _calm(self) -> None:
        self._held.clear()
        self._unheard = 0
        if self._patience is not None:
            if self._patience.active():
                self._patience.cancel()
            self._patience = None
            self.network.stalled.pop(self, None)

    def _give_up(self) -> None:
        self.kill()
        self.sender.broken(ConnectionLost("timed out"))

    def try_again(self) -> None:
        """A fault has ended: what was swallowed is sent again, the later the longer it lasted."""
        world = self.network.world
        pause = world.random.uniform(0.0, min(world.now - self._since, self.network.patience / 2))
        world.call_later(pause, self._again)

    def _again(self) -> None:
        if self._patience is None:
            return
        if not self._blocked_back():
            if self._refusal_unheard:
                self._refused()
                return
            if self._unheard:
                unheard, self._unheard = self._unheard, 0
                self.acknowledge(unheard)
        if not self._blocked():
            held, self._held = self._held, deque()
            for size in held:
                self._arrive(size)
        if not (self._held or self._unheard or self._refusal_unheard):
            self._calm()
