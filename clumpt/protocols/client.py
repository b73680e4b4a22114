"""The network: listening, dialling, and keeping links open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, succeed
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.aio import deferred
from clumpt.errors import PeerUnreachable, ProtocolError, Untrusted
from clumpt.interfaces import ILink, INetwork, IPeerEvents, ISecurity
from clumpt.model import Address, PeerName
from clumpt.protocols.alarm import Alarm
from clumpt.protocols.calling import Caller
from clumpt.protocols.keeping import Keeper
from clumpt.protocols.limits import Limits
from clumpt.protocols.link import Link
from clumpt.protocols.listening import Listener
from clumpt.protocols.meeting import Pair, Verdict, judge
from clumpt.protocols.messages import VERSIONS, Hello
from clumpt.protocols.pulse import Pulses
from clumpt.protocols.reception import Reception
from clumpt.protocols.wires import Complaints, Wires


@define(eq=False)
class _Dialling:
    """
    A peer that is being dialled.

    @ivar work: the dialling itself, None once it is over.
    @ivar waiters: for whom it is done, beside the keeper.
    """

    work: Deferred[None] | None = None
    waiters: list[Deferred[ILink]] = field(factory=list)

    def cancel(self) -> None:
        """There is no need to dial any more."""
        if self.work is not None:
            self.work.cancel()


@implementer(INetwork)
class Network:
    """
    The links of one peer; no two of them lead to the same peer, or the same running tool.

    @ivar ports: where this peer listens (notification, update), None if it does not; the real ports once
        L{start} has fired.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        random: Random,
        security: ISecurity,
        name: PeerName,
        host: str = "",
        ports: tuple[int, int] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """
        @param reactor: to listen and to dial with.
        @param clock: the same reactor, to wait with.
        @param name: this peer's own name.
        @param host: the address to listen at, empty for all.
        @param ports: the ports to listen at (notification, update), 0 for any free one; None not to listen.
        """
        self.name = name
        self.ports = ports
        self._limits = limits or Limits()
        self._clock = clock
        self._random = random
        self._wires = Wires(clock, security, self._limits, Complaints(clock))
        self._reception = Reception(self._wires, self._arrived)
        self._caller = Caller(reactor, self._wires, self._greeting, self._check)
        self._listener = Listener(reactor, self._wires, self._reception)
        self._host = host
        self._slots = DeferredSemaphore(self._limits.calls)
        self._sweeper = Alarm(clock)
        self._links: dict[PeerName, Link] = {}
        #: Those that are open, as they were after so many changes of lines.
        self._usable: Mapping[PeerName, ILink] = {}
        self._seen = -1
        self._dialling: dict[PeerName, _Dialling] = {}
        self._parked: dict[PeerName, Pair] = {}
        self._kept: dict[PeerName, Keeper] = {}
        self._stopping = False
        #: What all our calls begin with.
        self._run = random.getrandbits(32)
        self._pulses = Pulses(clock, self._limits)
        self._events: IPeerEvents

    @property
    def refused(self) -> int:
        """How often somebody was hung up on for breaking the rules."""
        return self._wires.complaints.count

    # What the agent asks.

    @deferred
    async def start(self, events: IPeerEvents) -> None:
        """Listen; see L{INetwork}."""
        self._events = events
        if self.ports is not None:
            self.ports = await self._listener.start(self._host, self.ports)
        self._sweeper.set(self._limits.idle, self._sweep)

    def keep(self, peers: Mapping[PeerName, Sequence[Address]]) -> None:
        """Stay linked to these; see L{INetwork}."""
        for peer in [peer for peer in self._kept if peer not in peers]:
            self._kept.pop(peer).stop()
            self._dial_no_more(peer)
        for peer, addresses in peers.items():
            keeper = self._kept.get(peer)
            if peer == self.name or (keeper is not None and keeper.addresses == addresses):
                continue
            if keeper is not None:
                keeper.stop()
            self._kept[peer] = self._keeper(peer, addresses)
            self._kept[peer].now()

    def links(self) -> Mapping[PeerName, ILink]:
        """The open links; see L{INetwork}."""
        if self._seen != self._wires.open.changes:
            # Asked whenever a piece comes or goes.
            self._seen = self._wires.open.changes
            self._usable = {peer: link for peer, link in self._links.items() if link.open}
        return self._usable

    def dial(self, peer: PeerName, addresses: Sequence[Address]) -> Deferred[ILink]:
        """The link to C{peer}; see L{INetwork}."""
        link = self._links.get(peer)
        if link is not None and link.open:
            return succeed(link)
        waiter: Deferred[ILink] = Deferred(lambda _: self._not_wanted(peer, waiter))
        self._begin(peer, addresses, [waiter])
        return waiter

    @deferred
    async def stop(self) -> None:
        """Close everything; see L{INetwork}."""
        self._stopping = True
        self._sweeper.stop()
        self.keep({})
        for dialling in list(self._dialling.values()):
            dialling.cancel()
        await self._listener.stop()
        await self._wires.open.close("this peer stops")

    # Dialling.

    def _keeper(self, peer: PeerName, addresses: Sequence[Address]) -> Keeper:
        def dial() -> None:
            link = self._links.get(peer)
            if link is None or not link.open:
                self._begin(peer, addresses, [])

        return Keeper(self._limits, self._random, Alarm(self._clock), dial, addresses)

    def _begin(self, peer: PeerName, addresses: Sequence[Address], waiters: list[Deferred[ILink]]) -> None:
        """Dial C{peer}, unless that is being done, on behalf of C{waiters}."""
        dialling = self._dialling.get(peer)
        if dialling is not None:
            dialling.waiters.extend(waiters)
            return
        dialling = self._dialling[peer] = _Dialling(None, waiters)
        work = self._work(peer, addresses, dialling)
        work.addErrback(self._mistaken, peer, dialling)
        if not work.called:
            dialling.work = work

    @deferred
    async def _work(self, peer: PeerName, addresses: Sequence[Address], dialling: _Dialling) -> None:
        try:
            pair = await self._call(peer, addresses)
        except (PeerUnreachable, CancelledError) as wrong:
            dialling.work = None
            self._not_reached(peer, dialling, str(wrong) or "given up")
        else:
            dialling.work = None
            self._establish(pair, True)

    async def _call(self, peer: PeerName, addresses: Sequence[Address]) -> Pair:
        if self._stopping or len(self._links) >= self._limits.links:
            raise PeerUnreachable("there are too many links already, or this peer stops")
        await self._slots.acquire()
        try:
            return await self._caller.dial(peer, addresses)
        finally:
            self._slots.release()

    def _not_reached(self, peer: PeerName, dialling: _Dialling, why: str) -> None:
        if self._dialling.get(peer) is not dialling:
            return
        parked = self._parked.pop(peer, None)
        if parked is not None and not any(line.ended for line in parked.lines):
            self._take(parked)
            return
        del self._dialling[peer]
        if peer in self._kept:
            self._kept[peer].failed()
        for waiter in dialling.waiters:
            waiter.errback(PeerUnreachable(why))

    def _mistaken(self, failure: Failure, peer: PeerName, dialling: _Dialling) -> None:
        self.log.failure("cannot dial {peer}", failure, peer=peer)
        self._not_reached(peer, dialling, "a mistake on this side")

    def _not_wanted(self, peer: PeerName, waiter: Deferred[ILink]) -> None:
        dialling = self._dialling.get(peer)
        if dialling is not None and waiter in dialling.waiters:
            dialling.waiters.remove(waiter)
            self._dial_no_more(peer)

    def _dial_no_more(self, peer: PeerName) -> None:
        dialling = self._dialling.get(peer)
        if dialling is not None and not dialling.waiters and peer not in self._kept:
            dialling.cancel()

    # Links come and go.

    def _greeting(self, call: str = "") -> Hello:
        deployment, head, top, member = self._events.hello()
        call = call or f"{self._run:08x}{self._random.getrandbits(32):08x}"
        return Hello(VERSIONS, deployment, head, top, member, call)

    def _check(self, pair: Pair) -> None:
        ours, theirs = self._events.hello()[0], pair.hello.deployment
        if theirs != ours:
            raise Untrusted(f"it belongs to deployment {theirs}, we to {ours}")
        if pair.notify.peer == self.name:
            raise Untrusted("it shows a certificate of our own name")
        self._events.admit(pair.notify.peer, pair.notify.fingerprint, pair.hello.member)

    def _arrived(self, pair: Pair) -> None:
        self._check(pair)
        peer = pair.peer
        link = self._links.get(peer)
        ours = link.dialled if link is not None and link.open else None
        room = not self._stopping and len(self._links) < self._limits.links
        match judge(self.name, peer, ours, peer in self._dialling, room):
            case Verdict.TAKE | Verdict.REPLACE:
                self._take(pair)
            case Verdict.PARK:
                if peer in self._parked:
                    self._parked[peer].abort("it called again")
                self._parked[peer] = pair
            case Verdict.DOUBT:
                pair.close("there is a link already")
                self._links[peer].doubt()
            case Verdict.REFUSE:
                raise ProtocolError("there is no room for another link")

    def _take(self, pair: Pair) -> None:
        """Answer a call that came in: from now on there is a link."""
        self._reception.linked(pair)
        answer = self._greeting(pair.hello.call)
        for line in pair.lines:
            line.send(answer)
        self._establish(pair, False)

    def _establish(self, pair: Pair, dialled: bool) -> None:
        peer, hello = pair.peer, pair.hello
        if peer in self._links:
            self._links[peer].end("a newer link took its place")
        dialling = self._dialling.pop(peer, None) or _Dialling()
        dialling.cancel()
        if peer in self._parked:
            self._parked.pop(peer).close("our own call came through")
        link = self._links[peer] = Link(self._wires, self._pulses, self._events, pair, dialled, self._ended)
        self._wires.open.changes += 1
        if peer in self._kept:
            self._kept[peer].linked()
        self.log.info("linked to {peer}, which {how}", peer=peer, how="was dialled" if dialled else "called")
        self._events.linked(link, hello.head_seq, hello.top)
        link.begin()
        for waiter in dialling.waiters:
            waiter.callback(link)

    def _ended(self, link: Link, why: str) -> None:
        self.log.info("the link to {peer} ended: {why}", peer=link.peer, why=why)
        del self._links[link.peer]
        self._wires.open.changes += 1
        self._events.unlinked(link)
        if link.peer in self._kept and link.peer not in self._links:
            self._kept[link.peer].unlinked(self._clock.seconds() - link.made)

    def _sweep(self) -> None:
        """Close what was dialled once and is not used any more."""
        for peer, link in list(self._links.items()):
            if link.dialled and peer not in self._kept and link.idle(self._limits.idle):
                link.close()
        self._sweeper.set(self._limits.idle / 4, self._sweep)
