"""
Peers in virtual time that decide with the real code (L{Uplink} with its L{Offers}, and L{Swarm}), without
the protocols below, so that 10,000 of them fit one process.

What costs time on a wire costs it here: every message, small or large, is serialised on the sender's card,
travels, and is serialised on the receiver's card, first come, first served, behind all else that uses these
cards.  Its first bytes arrive while the last ones are still to be sent, as on wires of packets.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field

from bench.lab.clock import Clock
from clumpt.agent.holdings import AT_LEAST, SELDOM, TOGETHER
from clumpt.agent.news import SOON
from clumpt.agent.pushed import Pushed
from clumpt.agent.rate import Bucket
from clumpt.agent.ring import EAGER
from clumpt.agent.swarm import Ask, Swarm
from clumpt.agent.uplink import Uplink
from clumpt.model import Package, PeerName
from clumpt.pieces import Bits, Digest, Round
from clumpt.trees import Branch

#: Seconds for which news of pieces are gathered.
TELL = 0.4
#: Pieces that are told of sooner.
NEWS = 16
#: Bytes around a small message: TCP, IP and Ethernet headers, a TLS record.
AROUND = 66 + 22
#: Bytes of a small message, of an entry, of a piece's head.
SMALL, ENTRY, HEAD = 46, 1500, 9
#: Bytes of a name in a branch, and of a handshake, each way; seconds that both ends take for it, and how
#: often something goes one way before the link is there.
NAME, HANDSHAKE, WORK, WAYS = 4, 3000, 0.01, 6
#: Seconds after which another peer is tried in place of one that does not answer.
PATIENCE = 0.5
#: Bytes that a kernel and a transport take before a link is full.
ROOM = 320 * 1024


@define(eq=False)
class Side:
    """One peer's end of a link: L{ILink} as far as pieces need it."""

    here: Node
    there: Node
    back: Side = field(init=False)
    bits: int = 0
    #: What came here that was not told yet, and when it was told last.
    untold: int = 0
    told_at: float = 0.0
    queued: int = 0
    heard: float = 0.0

    @property
    def peer(self) -> PeerName:
        """Who is there."""
        return self.there.name

    @property
    def full(self) -> bool:
        """Is there no room?"""
        return self.queued > ROOM

    def send(self, size: int, call: Callable[..., object], *args: Any) -> None:
        """Let C{call} happen there, once C{size} bytes are there."""
        here, there, clock = self.here, self.there, self.here.clock
        if here.dead or there.dead:
            return
        self.queued += size
        size += AROUND if size < 1400 else 0
        begin = max(here.free, clock.now)
        here.free = begin + size / here.rate
        here.carried += size
        here.said += 1
        clock.at(begin + here.latency, self._came, here.free + here.latency, size, call, args)

    def _came(self, end: float, size: int, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        """The first bytes come, the last ones at C{end}, if they need not wait."""
        there, clock = self.there, self.there.clock
        there.taken = max(there.taken, clock.now) + size / there.rate
        clock.at(max(there.taken, end), self._taken, size, call, args)

    def _taken(self, size: int, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        was_full, clock = self.full, self.here.clock
        self.queued = max(0, self.queued - size)
        if not (self.here.dead or self.there.dead):
            self.back.heard = clock.now
            call(*args)
            if was_full and not self.full:
                self.here.uplink.go_on()

    def offer(self, digest: Digest, index: int) -> None:
        """See L{ILink}."""
        self.send(SMALL, self.there.offered, self.back, index)

    def decline(self, index: int) -> None:
        """See L{ILink}."""
        self.send(SMALL, self.there.uplink.declined, self.here.name, self.here.package.sha256, index)

    def fed(self, digest: Digest, index: int, data: bytes) -> None:
        """See L{ILink}."""
        length = self.here.package.pieces.length(index)
        self.send(HEAD + length, self.there.fed, self.back, index, length)

    def have(self, held: int, coming: int) -> None:
        """See L{ILink}."""
        self.untold, self.told_at = 0, self.here.clock.now
        indices = held.bit_count() + coming.bit_count()
        self.send(SMALL + 2 * indices, self.there.saw, self.back, held, coming)


@define(eq=False)
class Node:
    """One peer, or the submitter."""

    clock: Clock
    random: Random
    name: PeerName
    package: Package
    rate: float
    latency: float
    source: bool = False
    dead: bool = False
    free: float = 0.0
    taken: float = 0.0
    carried: int = 0
    said: int = 0
    done: float = 0.0
    knows: bool = False
    ready: bool = False
    links: dict[PeerName, Side] = field(factory=dict)
    swarm: Swarm = field(init=False)
    uplink: Uplink = field(init=False)
    hear: Bits = field(init=False)
    received: int = 0
    news: int = 0
    telling: bool = False
    #: All peers, once they are linked along trees.
    others: dict[PeerName, Node] = field(factory=dict)
    branches: dict[int, Branch] = field(factory=dict)
    pushed: Pushed = field(init=False)

    def __attrs_post_init__(self) -> None:
        pieces = self.package.pieces.count
        held = Bits.full(pieces) if self.source else Bits()
        self.swarm = Swarm(pieces, self.random, held)
        self.ready = self.knows = self.source
        self.uplink = Uplink(
            self.clock,
            self.random,
            Bucket(0),
            self.source,
            lambda: self.links,
            lambda _: self.swarm.held,
            lambda _: self.swarm.expected,
            lambda peer, package, index: b"",
        )
        self.pushed = Pushed(pieces)
        self.uplink.feeder.push.grow = lambda _, branch: self.grow(branch)
        self.uplink.feeder.push.comes = lambda _: bool(self.pushed.above) and not self.swarm.complete

    # The trees.

    def grow(self, branch: Branch) -> None:
        """Let the first of a branch know what is below it, once it is linked."""
        there = self.others[branch.first]
        if there.dead:
            if (rest := branch.beheaded()) is not None:
                self.clock.callLater(PATIENCE, self.grow, rest)
        elif branch.first in self.links:
            self._linked(branch)
        else:
            self.clock.callLater(WAYS * self.latency + WORK, self._linked, branch)

    def _linked(self, branch: Branch) -> None:
        there = self.others[branch.first]
        if branch.first not in self.links:
            join(self, there)
            for side in (self.links[branch.first], there.links[self.name]):
                side.send(HANDSHAKE, lambda: None)
        side = self.links[branch.first]
        side.send(ENTRY, there.notified, side.back)
        side.send(SMALL + NAME * len(branch.names), there.branched, side.back, branch)
        side.send(SMALL + self.package.pieces.count // 8, there.saw, side.back, self.swarm.held.value)
        self.uplink.feeder.push.adopt(self.package, branch)

    def branched(self, side: Side, branch: Branch) -> None:
        """See L{IPeerEvents}."""
        former = self.pushed.turn(branch.tree, side.peer, self.clock.now)
        if former in self.links:
            there = self.links[former].there
            self.links[former].send(SMALL, there.heard, self.name, Round.ENOUGH)
        told, self.branches[branch.tree] = self.branches.get(branch.tree), branch
        self._want()
        for below in branch.below() if branch != told else ():
            self.grow(below)

    def _want(self) -> None:
        """Ask those above to push what comes."""
        if self.ready:
            for peer in self.pushed.above:
                if peer not in self.pushed.asked:
                    self.pushed.asked.add(peer)
                    side = self.links[peer]
                    side.send(SMALL + self.package.pieces.count // 8, side.there.saw, side.back, 0)
                    side.send(SMALL, side.there.heard, self.name, Round.WANTED)

    def heard(self, peer: PeerName, word: Round) -> None:
        """See L{IPeerEvents}."""
        self.uplink.goes_round(peer, self.package.sha256, word)

    def fed(self, side: Side, index: int, length: int) -> None:
        """See L{IPeerEvents}."""
        self.pushed.came(index, self.clock.now)
        self.came(side, index, length)

    # The entry spreads, then everybody says what he holds.

    def notified(self, side: Side) -> None:
        """The entry came over C{side}."""
        if self.knows:
            return
        self.knows = True
        others = [other for other in self.links.values() if other is not side and not other.there.source]
        for other in self.random.sample(others, min(EAGER, len(others))):
            other.send(ENTRY, other.there.notified, other.back)
        self.clock.callLater(SOON, self._remind)
        for other in self.links.values():
            if other is not side:
                other.send(SMALL + self.package.pieces.count // 8, other.there.saw, other.back, 0)
        side.send(SMALL, self._give_hashes, side)

    def _remind(self) -> None:
        """Who lacks the entry asks for it, once it hears how much there is to know."""
        for other in self.links.values():
            if not (other.there.knows or other.there.source):
                other.send(ENTRY, other.there.notified, other.back)

    def _give_hashes(self, side: Side) -> None:
        there = side.there
        if not there.ready:
            there.clock.callLater(0.001, self._give_hashes, side)
            return
        side.back.send(32 * self.package.pieces.count, self._hashes, side)

    def _hashes(self, side: Side) -> None:
        self.ready = True
        for other in self.links.values():
            other.send(
                SMALL + self.package.pieces.count // 8, other.there.saw, other.back, self.swarm.held.value
            )
        self._want()

    def saw(self, side: Side, bits: int, coming: int = 0) -> None:
        """The far side of C{side} holds these, and those are on their way to it."""
        side.bits |= bits
        if not self.source:
            self.swarm.learn(side.peer, Bits(side.bits))
        self.uplink.saw(side.peer, self.package, Bits(bits), Bits(coming))

    # Pieces.

    def offered(self, side: Side, index: int) -> None:
        """See L{IPeerEvents}."""
        if self.ready and index not in self.swarm.comes:
            self.swarm.offered(side.peer, index, self.clock.now)
            self.reply()
        else:
            side.decline(index)

    def reply(self) -> None:
        """Answer the offers that can be answered."""
        for reply in self.swarm.replies(self.clock.now):
            side = self.links[reply.peer]
            if isinstance(reply, Ask):
                self._ask(side, reply)
            else:
                side.decline(reply.index)
        self.uplink.go_on()

    def _ask(self, side: Side, ask: Ask) -> None:
        side.send(SMALL, side.there.wanted, side.back, ask.index)

    def wanted(self, side: Side, index: int) -> None:
        """See L{IPeerEvents}."""
        length = self.package.pieces.length(index)
        answer = self.uplink.ask(side.peer, self.package, index, lambda: b"")
        answer.addCallback(lambda _: side.send(HEAD + length, side.there.came, side.back, index, length))

    def came(self, side: Side, index: int, length: int) -> None:
        """A piece came."""
        self.received += length
        new = index not in self.swarm.held
        self.swarm.arrived(side.peer, index, self.clock.now)
        self.reply()
        if new:
            for other in self.links.values():
                other.untold |= 1 << index
            self._acknowledge(side)
            self.news += 1
            if self.swarm.complete:
                self.tell(0.0)
            elif self.news >= NEWS:
                self.tell(TELL)
            if not self.telling:
                self.telling = True
                self.clock.callLater(TELL, self.tell_in_time)
            self.uplink.arrived(self.package, index)
        if self.swarm.complete and not self.done:
            self.done = self.clock.now
        self.pump()

    def _acknowledge(self, side: Side) -> None:
        if side.peer not in self.pushed.above:
            self.have(side)
            return
        for peer in self.pushed.above:
            above = self.links[peer]
            if above.untold.bit_count() >= TOGETHER or self.clock.now - above.told_at >= AT_LEAST:
                self.have(above)

    def have(self, side: Side) -> None:
        """Tell what came, and what is to come."""
        side.have(side.untold, self.swarm.expected.value & ~self.swarm.held.value)

    def tell_in_time(self) -> None:
        """Some may have been told nothing for a while."""
        self.telling = False
        self.tell(TELL)
        if any(other.untold for other in self.links.values()):
            self.telling = True
            self.clock.callLater(TELL, self.tell_in_time)

    def tell(self, since: float) -> None:
        """Tell the others what came, if they were told nothing for so long."""
        self.news, often = 0, SELDOM if self.pushed.above else 1
        for other in self.links.values():
            long_ago = self.clock.now - since * often
            due = other.told_at <= long_ago or other.untold.bit_count() >= NEWS * often
            if other.untold and due:
                self.have(other)

    def pump(self) -> None:
        """Ask for what nobody offers."""
        self.swarm.comes = self.pushed.comes(self.swarm.held, self.clock.now)
        if self.ready and not self.source:
            for ask in self.swarm.asks(self.clock.now):
                self._ask(self.links[ask.peer], ask)

    def look(self) -> None:
        """Look again and again."""
        if not (self.done or self.dead):
            self.pump()
            self.clock.callLater(0.5, self.look)


def join(a: Node, b: Node) -> None:
    """Open a link."""
    if b.name not in a.links and a is not b:
        one, two = Side(a, b), Side(b, a)
        one.back, two.back = two, one
        a.links[b.name], b.links[a.name] = one, two
