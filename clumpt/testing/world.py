"""
The clock, the dice and the diary of a simulated cluster, in one process and in virtual time.

A test of a cluster is written so::

    world = World(seed)
    network = Network(world)                        # clumpt.testing.net
    disks = {}                                      # what outlives a crash, by address

    def start(address):                             # builds a peer from its disk alone
        program(network.host(address).reactor, disks[address], world.random)

    def boot(address):
        network.host(address).boot()
        start(address)

    for address in disks:
        start(address)
    world.call_later(5.0, network.host("10.0.0.7").crash)    # a fault; no crash silences it
    world.call_later(9.0, boot, "10.0.0.7")
    world.run_until(lambda: agreed(disks), within=60.0)      # virtual seconds

L{clumpt.testing.weather} draws such faults from the seed; C{tests/test_world.py} has a whole example.
Production code is handed C{host.reactor} where it wants a reactor and C{world.random} where it wants
chance, and cannot tell.  Three rules keep a run repeatable:

  - what happens later to a host is scheduled with I{its} reactor (C{host.reactor}, read when it is needed:
    each boot makes a new one), so that it dies with the host; only faults are scheduled with the world;
  - no chance, clock, thread or process comes from elsewhere, and no set or C{id()} decides an order;
  - same seed, same L{World.fingerprint}; wires under TLS are the exception (OpenSSL has dice of its own).

An exception that nobody caught ends the run: L{World.run_until} raises with the seed, the time and the
diary's tail; L{World.errors} keeps it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from heapq import heapify, heappop, heappush
from itertools import count
from random import Random
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Living", "Timer", "World"]

# A run that takes more events than this is a storm, not a test.
BUDGET = 5_000_000
# Lines of the diary that are kept to be shown.
TAIL = 200
# Fewer dead timers than this are not worth a sweep of the heap.
SWEEP = 1000


class Living(Protocol):
    """Whoever owns timers; when it is no longer alive they never fire."""

    @property
    def alive(self) -> bool:
        """Is it still there?"""


@implementer(IDelayedCall)
class Timer:
    """One scheduled call."""

    __slots__ = ("_call", "_called", "_world", "owner", "ticket", "when")

    def __init__(self, world: World, owner: Living, when: float, call: Callable[[], object]) -> None:
        self._world = world
        self._call: Callable[[], object] | None = call
        self._called = False
        self.owner = owner
        self.when = when
        # The heap's only valid place for this timer.
        self.ticket = -1

    def active(self) -> bool:
        """Is it still to come?"""
        return self._call is not None

    def getTime(self) -> float:
        """The virtual second at which it is due."""
        return self.when

    def cancel(self) -> None:
        """Never call it."""
        self._check()
        self._call = None
        self._world.forget()

    def reset(self, secondsFromNow: float) -> None:
        """Call it C{secondsFromNow} from now instead."""
        self._move(self._world.now + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Call it C{secondsLater} later than planned."""
        self._move(self.when + secondsLater)

    def fire(self) -> None:
        """Make the call."""
        call, self._call, self._called = self._call, None, True
        if call is not None:
            call()

    def _check(self) -> None:
        if self._called:
            raise AlreadyCalled
        if self._call is None:
            raise AlreadyCancelled

    def _move(self, when: float) -> None:
        self._check()
        earlier, self.when = when < self.when, when
        # A later time is found out when the old one comes: time-outs are put off more often than they fire.
        if earlier:
            self._world.forget()
            self._world.push(self)


def _bind(call: Callable[..., object], args: tuple[Any, ...], kw: dict[str, Any]) -> Callable[[], object]:
    return (lambda: call(*args, **kw)) if args or kw else call


@define(eq=False)
class World:
    """
    One heap of timers, one L{Random}, one diary.

    @ivar seed: all that a run depends on.
    @ivar now: virtual seconds since the world began.
    @ivar random: the only source of chance.
    @ivar events: how many timers have fired.
    @ivar errors: what nobody caught; a run stops at the first.
    @ivar watchers: called after every event; what they raise ends the run.
    """

    seed: int
    budget: int = BUDGET
    now: float = field(default=0.0, init=False)
    events: int = field(default=0, init=False)
    random: Random = field(init=False)
    errors: list[Failure] = field(factory=list, init=False)
    watchers: list[Callable[[], None]] = field(factory=list, init=False)
    alive: bool = field(default=True, init=False)
    _heap: list[tuple[float, float, int, Timer]] = field(factory=list, init=False)
    _tickets: count[int] = field(factory=count, init=False)
    _dead: int = field(default=0, init=False)
    _running: bool = field(default=False, init=False)
    _diary: Any = field(factory=sha256, init=False)
    _tail: deque[str] = field(factory=lambda: deque(maxlen=TAIL), init=False)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)

    # The clock.

    def call_later(self, delay: float, call: Callable[..., object], *args: Any, **kw: Any) -> Timer:
        """Do something to the world C{delay} virtual seconds from now; no crash of a host silences it."""
        return self.schedule(self, self.now + delay, _bind(call, args, kw))

    def call_at(self, when: float, call: Callable[..., object], *args: Any) -> Timer:
        """The same, at the virtual second C{when}."""
        return self.schedule(self, when, _bind(call, args, {}))

    def schedule(self, owner: Living, when: float, call: Callable[[], object]) -> Timer:
        """Call C{call} at C{when}, unless C{owner} is dead by then."""
        timer = Timer(self, owner, when, call)
        self.push(timer)
        return timer

    def push(self, timer: Timer) -> None:
        """Give a timer its place in the heap; equal times come in an order drawn from the seed."""
        timer.ticket = ticket = next(self._tickets)
        heappush(self._heap, (timer.when, self.random.random(), ticket, timer))

    def forget(self) -> None:
        """Count one entry of the heap as dead, and sweep when most of them are."""
        self._dead += 1
        if self._dead > SWEEP and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[3].ticket == entry[2] and entry[3].active()]
            heapify(self._heap)
            self._dead = 0

    def pending(self, owner: Living) -> list[Timer]:
        """The timers that C{owner} is waiting for, soonest first."""
        mine = [entry for entry in self._heap if entry[3].owner is owner]
        live = [timer for _, _, ticket, timer in mine if timer.ticket == ticket and timer.active()]
        return sorted(live, key=lambda timer: (timer.when, timer.ticket))

    # Running.

    def run_until(self, condition: Callable[[], bool], within: float, every: float = 0.0) -> float:
        """
        Let time pass until C{condition} holds; returns the virtual second.

        @param within: virtual seconds after which it is a failure.
        @param every: virtual seconds between two looks at a costly condition; 0 looks after each event.
        """
        deadline = self.now + within
        if every > 0.0:
            while not (done := condition()) and self.now < deadline:
                self._pass(min(self.now + every, deadline), lambda: False)
        else:
            done = self._pass(deadline, condition) or condition()
        if not done:
            raise AssertionError(self._story(f"not so after {within:g} s"))
        return self.now

    def run_for(self, seconds: float) -> None:
        """Let C{seconds} of virtual time pass."""
        self._pass(self.now + seconds, lambda: False)

    def fault(self, failure: Failure) -> None:
        """Keep what nobody caught; the run ends after this event."""
        self.errors.append(failure)
        # Not the message: it may hold an address of memory, which differs from run to run.
        self.note("error", type(failure.value).__name__)

    def _pass(self, deadline: float, over: Callable[[], bool]) -> bool:
        if self._running:
            raise RuntimeError("this world runs already: a callback must not run it")
        self._running = True
        limit = self.events + self.budget
        try:
            while not over():
                timer = self._next(deadline)
                if timer is None:
                    self.now = deadline
                    return False
                self._step(timer)
                if self.events >= limit:
                    raise AssertionError(self._story(f"a storm: {self.budget} events"))
            return True
        finally:
            self._running = False

    def _next(self, deadline: float) -> Timer | None:
        while self._heap and self._heap[0][0] <= deadline:
            when, _, ticket, timer = heappop(self._heap)
            if timer.ticket != ticket or not timer.active():
                self._dead -= 1
            elif timer.when > when:
                self.push(timer)
            elif timer.owner.alive:
                return timer
        return None

    def _step(self, timer: Timer) -> None:
        self.now = timer.when
        self.events += 1
        try:
            timer.fire()
        except Exception:  # noqa: BLE001 - whatever it is, it is kept, and raised again below
            self.fault(Failure())
        if self.errors:
            raise AssertionError(self._story(self.errors[0].getTraceback())) from self.errors[0].value
        for watch in self.watchers:
            watch()

    # The diary.

    def note(self, *words: object) -> None:
        """Write a line of words that are the same in each run with this seed: no C{repr} of an object."""
        line = f"{self.now:.9f} {' '.join(map(str, words))}"
        self._diary.update(line.encode())
        self._tail.append(line)

    def tail(self) -> str:
        """The last lines of the diary."""
        return "\n".join(self._tail)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ as soon as two runs differ in lines, events or draws."""
        end = self._diary.copy()
        end.update(repr((self.now, self.events, self.random.getstate())).encode())
        return str(end.hexdigest()[:16])

    def _story(self, what: str) -> str:
        head = f"seed {self.seed}, second {self.now:.6f}, event {self.events}: {what}"
        return f"{head}\nThe end of the diary:\n{self.tail()}"
