"""
What one simulated host believes is the reactor, and the host that outlives it.

L{SimReactor} is one life of a host's program: Twisted's endpoints, services, C{ClientService},
C{LoopingCall(clock=)} and TLS (C{TLSMemoryBIOFactory(clock=)}) run on it unmodified.  When the L{Host}
crashes, nothing of that life is ever called again; L{Host.boot} begins the next with a new reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorCore,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
)
from zope.interface import implementer

from clumpt.testing.dial import SimConnector, SimPort
from clumpt.testing.transport import SimTransport
from clumpt.testing.wire import Flow, Mark, Nic
from clumpt.testing.world import Timer, World

if TYPE_CHECKING:
    from clumpt.testing.net import Network

__all__ = ["Host", "SimReactor"]

# The ports a kernel gives to those who do not name one.
EPHEMERAL = range(32768, 61000)


@implementer(IReactorTCP, IReactorTime, IReactorCore, IReactorPluggableNameResolver)
@define(eq=False)
class SimReactor:
    """
    One life of a host's program.

    @ivar alive: False once the program is gone, for good.
    @ivar ports: what listens, by number.
    @ivar wires: the open ends here, in the order of their making.
    """

    host: Host
    world: World
    alive: bool = field(default=True, init=False)
    ports: dict[int, SimPort] = field(factory=dict, init=False)
    wires: dict[SimTransport, None] = field(factory=dict, init=False)
    nameResolver: Any = field(init=False)
    _triggers: dict[int, tuple[str, str, Callable[[], Any]]] = field(factory=dict, init=False)
    _names: count[int] = field(factory=count, init=False)

    def __attrs_post_init__(self) -> None:
        self.nameResolver = _Resolver(self)

    # IReactorTime

    def seconds(self) -> float:
        """The virtual second."""
        return self.world.now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Timer:
        """Call it C{delay} seconds from now, if this program still lives then."""
        if delay < 0:
            raise ValueError(f"{delay} seconds from now is in the past")
        call = partial(callable, *args, **kwargs) if args or kwargs else callable
        if not self.alive:
            return Timer(self.world, self, self.world.now + delay, call)
        return self.world.schedule(self, self.world.now + delay, call)

    def getDelayedCalls(self) -> Sequence[Timer]:
        """The pending timers of this program, soonest first."""
        return self.world.pending(self)

    # IReactorTCP

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> SimPort:
        """Listen on C{port}, 0 for any that is free."""
        number = port or next(number for number in EPHEMERAL if number not in self.ports)
        if number in self.ports:
            raise CannotListenError(interface, number, OSError("address in use"))
        if interface not in ("", "0.0.0.0", self.host.address):
            raise CannotListenError(interface, number, OSError("no such address on this host"))
        listening = SimPort(self, number, factory)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> SimConnector:
        """Dial C{host}: an address, or a name that the network knows."""
        connector = SimConnector(self, host, port, factory, timeout)
        connector.connect()
        return connector

    # IReactorPluggableNameResolver

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Use another resolver."""
        before, self.nameResolver = self.nameResolver, resolver
        return before  # type: ignore[no-any-return]  # zope's interfaces are Any here

    # IReactorCore

    @property
    def running(self) -> bool:
        """Is the program there?"""
        return self.alive

    def resolve(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:
        """Fires with the address of C{name}, at once."""
        return succeed(self.host.network.resolve(self.host, name))

    def callWhenRunning(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        """Call it at once: this reactor runs."""
        callable(*args, **kwargs)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> int:
        """Call it when the event comes; returns the name to remove it by."""
        name = next(self._names)
        self._triggers[name] = (phase, eventType, partial(callable, *args, **kwargs))
        return name

    def removeSystemEventTrigger(self, triggerID: int) -> None:
        """Forget a trigger; raises C{KeyError} if there is none."""
        del self._triggers[triggerID]

    def fireSystemEvent(self, eventType: str) -> None:
        """Call the triggers of an event: before (and wait for them), during, after."""
        waiting = DeferredList([maybeDeferred(call) for call in self._take("before", eventType)])
        waiting.addCallback(self._fire_rest, eventType)
        waiting.addErrback(self.world.fault)

    def stop(self) -> None:
        """End the program in good order."""
        self.addSystemEventTrigger("after", "shutdown", self.crash)
        self.fireSystemEvent("shutdown")

    def crash(self) -> None:
        """End the program at once; its kernel closes what was open."""
        if self.alive:
            self.host.end(lambda flow: flow.send(Mark.END))

    def run(self) -> None:
        """Nothing: the world runs."""
        raise NotImplementedError("the world runs its hosts")

    def iterate(self, delay: float = 0) -> None:
        """Nothing: the world runs."""
        raise NotImplementedError("the world runs its hosts")

    def _take(self, phase: str, event: str) -> list[Callable[[], Any]]:
        names = [name for name, (when, what, _) in self._triggers.items() if (when, what) == (phase, event)]
        return [self._triggers.pop(name)[2] for name in names]

    def _fire_rest(self, _: object, event: str) -> None:
        for call in self._take("during", event) + self._take("after", event):
            call()


@implementer(IHostResolution)
@define(eq=False)
class _Resolution:
    """A name that is looked up."""

    name: str

    def cancel(self) -> None:
        """Too late: it is found at once."""


@implementer(IHostnameResolver)
@define(eq=False)
class _Resolver:
    """Knows addresses, and the names that the network was told."""

    reactor: SimReactor

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> _Resolution:
        """Find one address, at once."""
        resolution = _Resolution(hostName)
        address = self.reactor.host.network.resolve(self.reactor.host, hostName)
        resolutionReceiver.resolutionBegan(resolution)
        resolutionReceiver.addressResolved(IPv4Address("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


@define(eq=False)
class Host:
    """
    One machine: it outlives its programs.

    @ivar address: its only address.
    @ivar uplink: what it sends with; C{uplink.rate} may be changed, C{uplink.carried} counts bytes.
    @ivar downlink: what it receives with.
    @ivar reactor: the life it is in, or the last one.
    @ivar silent: without power: it answers nothing, not even that nobody is there.
    """

    network: Network
    address: str
    uplink: Nic
    downlink: Nic
    reactor: SimReactor = field(init=False)
    silent: bool = field(default=False, init=False)
    boots: int = field(default=0, init=False)
    _ports: Any = field(factory=lambda: cycle(EPHEMERAL), init=False)

    def __attrs_post_init__(self) -> None:
        self.reactor = SimReactor(self, self.network.world)

    @property
    def alive(self) -> bool:
        """Does its program run?"""
        return self.reactor.alive

    def next_port(self) -> int:
        """A port for the near end of a wire."""
        return int(next(self._ports))

    def crash(self) -> None:
        """The program dies; chance decides for each wire whether its kernel ends or resets it."""
        self.end(self._end_or_reset)

    def power_off(self) -> None:
        """
        The machine goes dark: its wires stay half-open at their far ends and nothing is answered.

        What its disk loses is for the disk's owner to see to.
        """
        self.silent = True
        self.uplink.clear()
        self.end(Flow.kill)

    def boot(self) -> SimReactor:
        """Begin a new life, with nothing of the last but what is on disk; returns its reactor."""
        if self.alive:
            raise RuntimeError(f"{self.address} is up already")
        self.silent = False
        self.boots += 1
        self.reactor = SimReactor(self, self.network.world)
        self.network.world.note("boot", self.address)
        self.network.changed()
        return self.reactor

    def end(self, last: Callable[[Flow], None]) -> None:
        """End this life; C{last} is done to the outgoing flow of each wire."""
        if not self.alive:
            return
        self.network.world.note("dark" if self.silent else "dead", self.address)
        self.reactor.alive = False
        wires, self.reactor.wires, self.reactor.ports = self.reactor.wires, {}, {}
        for wire in wires:
            wire.die(last)

    def _end_or_reset(self, flow: Flow) -> None:
        if self.network.world.random.random() < 0.5:
            flow.reset()
        else:
            flow.send(Mark.END)
