"""
Who is asked for which piece of one package: pure decisions.

Holders offer pieces (L{clumpt.agent.offers}), and what is useful is taken, as
long as not too much is on its way.  Where nothing is offered for a while, and
for packages of one piece, this peer asks by itself: the rarest useful piece,
of a holder that has least to do for us.  No piece is asked of two peers at
once, unless the first has kept us waiting much longer than pieces take.  A
peer that sent a wrong piece is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from attrs import define, field, frozen

from clumpt.agent.near import Near
from clumpt.model import PeerName
from clumpt.pieces import NONE, Bits

#: Pieces asked of one peer at a time without an offer: one on the wire, one that waits for its turn.
PER_PEER = 2
#: Pieces asked of all peers together: enough that one always comes, few enough that none waits for long.
IN_FLIGHT = 12
#: Offers that wait here until there is room; more are declined, so that they are made to others.
KEPT = 6
#: Seconds after which an offer that waits is declined.
STALE = 0.2
#: A piece is late, and asked of somebody else too, after this many times the usual wait ...
LATE = 6.0
#: ... but never before this many seconds.
LATE_AT_LEAST = 0.3
#: Seconds between looks for pieces that are late.
LOOK = 0.05
#: After so many seconds, and so many times the usual wait, who says nothing is not waited for.
SILENT, SILENT_WAITS = 1.0, 3.0
#: The usual wait is so many times longer than we thought, if somebody was not waited for.
SLOWER = 1.2
#: With so few pieces missing we ask by ourselves at once.
LITTLE = 8
#: Seconds without a piece after which it does not matter from how far one comes.
PATIENCE = 0.2
#: Seconds without an offer or a piece after which we ask by ourselves.
QUIET = 0.5


@frozen
class Ask:
    """Ask C{peer} for piece C{index}."""

    peer: PeerName
    index: int


@frozen
class Decline:
    """Tell C{peer} that its offer of piece C{index} is of no use now."""

    peer: PeerName
    index: int


@define
class _Holder:
    bits: int = 0
    #: What it offered, which may be on its way to it only.
    soon: int = 0
    load: int = 0
    not_before: float = 0.0


@define
class Swarm:
    """
    One package of C{count} pieces on its way to this peer.

    @ivar held: the verified pieces here.
    @ivar near: where peers stand, None if it does not matter.
    @ivar comes: the pieces that come by themselves, and need not be asked for.
    @ivar unoffered: is it passed on without offers to those who do not stand in a tree, as we do not?
    @ivar spoilers: peers that sent a wrong piece of it.
    """

    count: int
    random: Random
    held: Bits = Bits()
    near: Near | None = None
    comes: Bits = field(default=NONE, init=False)
    unoffered: bool = field(default=False, init=False)
    spoilers: set[PeerName] = field(factory=set, init=False)
    _holders: dict[PeerName, _Holder] = field(factory=dict, init=False)
    #: By how many holders each piece is held.
    _copies: list[int] = field(init=False)
    _offers: dict[Ask, float] = field(factory=dict, init=False)
    _asked: dict[int, dict[PeerName, float]] = field(factory=dict, init=False)
    #: The pieces that are asked for, as a bit field.
    _coming: int = field(default=0, init=False)
    #: Those that did not come once.  They are asked only of who has them, and not promised to anybody: else
    #: peers might wait for each other in a circle.
    _doubtful: int = field(default=0, init=False)
    _usual: float = field(default=1.0, init=False)
    #: When to look next for pieces that are late.
    _look_at: float = field(default=0.0, init=False)
    #: When something was last taken, or first looked for.
    _fed: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._copies = [0] * self.count

    @property
    def complete(self) -> bool:
        """Are all pieces here?"""
        return len(self.held) == self.count

    @property
    def expected(self) -> Bits:
        """The pieces that were asked for, and should be here soon."""
        return Bits(self._coming & ~self._doubtful)

    @property
    def _left(self) -> int:
        """The pieces that are missing and do not come by themselves, as a bit field."""
        return ((1 << self.count) - 1) & ~(self.held.value | self.comes.value)

    @property
    def holders(self) -> list[PeerName]:
        """The peers that hold something that is missing here, in the order they were learnt."""
        return [peer for peer, holder in self._holders.items() if holder.bits & ~self.held.value]

    @property
    def complete_holders(self) -> list[PeerName]:
        """Those that hold all of it."""
        full = (1 << self.count) - 1
        return [peer for peer, holder in self._holders.items() if holder.bits == full]

    @property
    def promised(self) -> bool:
        """Did anybody offer something that is missing here, and that did not fail to come yet?"""
        lacking = ~(self.held.value | self._doubtful)
        return any(holder.soon & lacking for holder in self._holders.values())

    @property
    def unanswered(self) -> bool:
        """Do offers wait here for an answer?"""
        return bool(self._offers)

    @property
    def givers(self) -> list[PeerName]:
        """The peers whose offers wait here."""
        return list(dict.fromkeys(offer.peer for offer in self._offers))

    def learn(self, peer: PeerName, bits: Bits) -> bool:
        """C{peer} holds these pieces; returns whether it is new that it holds something that we lack."""
        if peer in self.spoilers:
            return False
        holder = self._holders.get(peer)
        if holder is None:
            holder = self._holders[peer] = _Holder()
        news = bits.value & ~holder.bits
        if not news:
            return False
        for index in Bits(news):
            self._copies[index] += 1
        holder.bits |= news
        return bool(news & ~(self.held.value | self._coming))

    def lost(self, peer: PeerName) -> None:
        """C{peer} is gone; what was asked of it is free to be asked of others."""
        holder = self._holders.pop(peer, None)
        for index in Bits(holder.bits) if holder is not None else ():
            self._copies[index] -= 1
        for offer in [offer for offer in self._offers if offer.peer == peer]:
            del self._offers[offer]
        for index in [index for index, asked in self._asked.items() if peer in asked]:
            self._failed(peer, index)

    def offered(self, peer: PeerName, index: int, now: float) -> None:
        """C{peer} would send piece C{index}, as soon as it is there; L{replies} says what to answer."""
        if peer not in self.spoilers:
            self._holders.setdefault(peer, _Holder()).soon |= 1 << index
        self._offers[Ask(peer, index)] = now

    def replies(self, now: float) -> Iterator[Ask | Decline]:
        """
        What to answer to offers now, the newest first; each counts as answered when it is taken.

        What is asked may be another piece than the one that was offered, if that is on its way already.
        """
        for offer in reversed(list(self._offers)):
            if len(self._asked) >= IN_FLIGHT:
                break
            # What becomes of one reply may answer others.
            if self._offers.pop(offer, None) is not None:
                yield self._reply(offer, now)
        for number, (offer, since) in enumerate(list(self._offers.items())):
            if (number >= KEPT or now - since > STALE) and self._offers.pop(offer, None) is not None:
                yield Decline(offer.peer, offer.index)

    def _reply(self, offer: Ask, now: float) -> Ask | Decline:
        holder = self._holders.get(offer.peer)
        if holder is not None:
            useful = (holder.bits | holder.soon & ~self._doubtful) & ~(self.held.value | self._coming)
            useful &= ~self.comes.value
            useful &= ~self._spared(offer.peer, now)
            if useful:
                self._fed = now
                index = offer.index if useful >> offer.index & 1 else useful.bit_length() - 1
                return self._made(Ask(offer.peer, index), now)
        return Decline(offer.peer, offer.index)

    def arrived(self, peer: PeerName, index: int, now: float) -> None:
        """A good piece came."""
        asked_at = self._asked.get(index, {}).get(peer)
        if asked_at is not None:
            self._usual += 0.2 * (now - asked_at - self._usual)
        self._answered(peer, index)
        self._fed = now
        self.held = self.held.with_bit(index)

    def refused(self, peer: PeerName, index: int, not_before: float) -> None:
        """C{peer} did not send the piece; it may be asked again from C{not_before} on."""
        self._failed(peer, index)
        self.shun(peer, not_before)

    def shun(self, peer: PeerName, not_before: float) -> None:
        """C{peer} is not asked without an offer before C{not_before}."""
        holder = self._holders.get(peer)
        if holder is not None:
            holder.not_before = max(holder.not_before, not_before)

    def missing(self, peer: PeerName, index: int) -> None:
        """C{peer} does not hold the piece after all."""
        self._failed(peer, index)
        holder = self._holders.get(peer)
        if holder is not None:
            holder.soon &= ~(1 << index)
            self._copies[index] -= holder.bits >> index & 1
            holder.bits &= ~(1 << index)

    def spoiled(self, peer: PeerName) -> None:
        """C{peer} sent something wrong: it is not asked for this package again."""
        self.spoilers.add(peer)
        self.lost(peer)

    def asks(self, now: float) -> Iterator[Ask]:
        """What to ask of whom now without an offer; each ask counts as made when it is taken."""
        if self._fed is None:
            self._fed = now
        # What little is missing in the end is not worth waiting for.
        little = self.count - len(self.held) <= LITTLE
        silent = self.unoffered or bool(self.comes) or now - self._fed >= QUIET
        quiet = bool(self._left) and (little or silent)
        if not quiet and now < self._look_at:
            return
        self._look_at = now + LOOK
        while sum(map(len, self._asked.values())) < IN_FLIGHT * 2:
            ask = self._late(now)
            if ask is None and quiet and len(self._asked) < IN_FLIGHT:
                ask = self._choose(now)
            if ask is None:
                return
            yield self._made(ask, now)

    @property
    def patience(self) -> float:
        """Seconds after which a peer that says nothing is not expected to send what it was asked for."""
        return max(SILENT, SILENT_WAITS * self._usual)

    def gave_up(self, peer: PeerName, not_before: float) -> None:
        """C{peer} said nothing for so long; the next has more time: it may be our own card that is slow."""
        self._usual *= SLOWER
        self.shun(peer, not_before)

    def overdue(self, long_ago: float) -> list[Ask]:
        """What was asked before C{long_ago}, and did not come."""
        return [
            Ask(peer, index)
            for index, asked in self._asked.items()
            for peer, since in asked.items()
            if since < long_ago
        ]

    def others(self, index: int) -> list[PeerName]:
        """Who else was asked for piece C{index}, and need not send it any more."""
        return list(self._asked.get(index, ()))

    def _made(self, ask: Ask, now: float) -> Ask:
        self._asked.setdefault(ask.index, {})[ask.peer] = now
        self._coming |= 1 << ask.index
        self._holders[ask.peer].load += 1
        return ask

    def _choose(self, now: float) -> Ask | None:
        for peer in self._idle(now):
            useful = self._holders[peer].bits & self._left & ~self._coming & ~self._spared(peer, now)
            if useful:
                return Ask(peer, self._rarest(list(Bits(useful))))
        return None

    def _spared(self, peer: PeerName, now: float) -> int:
        """The pieces that are not to be taken from C{peer}, which is far, as long as we do not starve."""
        if self.near is None or not self.near.far(peer):
            return 0
        if not self._coming and len(self.held) or self._fed is not None and now - self._fed >= PATIENCE:
            return 0
        known = ((other, holder.bits) for other, holder in self._holders.items())
        return self.near.unneeded(known, self.count)

    def _late(self, now: float) -> Ask | None:
        """Who else to ask for a piece that keeps us waiting."""
        late = [
            index
            for index, asked in self._asked.items()
            if index not in self.held and max(asked.values()) < now - self._time_for(index, asked)
        ]
        for peer in self._idle(now) if late else ():
            for index in late:
                if self._holders[peer].bits >> index & 1 and peer not in self._asked[index]:
                    return Ask(peer, index)
        return None

    def _time_for(self, index: int, asked: Iterable[PeerName]) -> float:
        """Seconds until a piece is late; what is one piece must not wait for who does not have it itself."""
        if self.count == 1 and not any(self._holders[peer].bits >> index & 1 for peer in asked):
            return LATE_AT_LEAST
        return max(LATE_AT_LEAST, LATE * self._usual)

    def _idle(self, now: float) -> list[PeerName]:
        """Who may be asked without an offer, those first that have least to do for us."""
        idle = [
            (self.near is not None and bool(self.near.far(peer)), holder.load, self.random.random(), peer)
            for peer, holder in self._holders.items()
            if holder.load < PER_PEER and holder.not_before <= now
        ]
        return [peer for *_, peer in sorted(idle)]

    def _rarest(self, useful: list[int]) -> int:
        least = min(self._copies[index] for index in useful)
        return self.random.choice([index for index in useful if self._copies[index] == least])

    def _failed(self, peer: PeerName, index: int) -> None:
        self._doubtful |= 1 << index
        self._answered(peer, index)

    def _answered(self, peer: PeerName, index: int) -> None:
        asked = self._asked.get(index, {})
        if asked.pop(peer, None) is not None and peer in self._holders:
            self._holders[peer].load -= 1
        if not asked:
            self._asked.pop(index, None)
            self._coming &= ~(1 << index)
