"""
Who is asked for which piece of one package: pure decisions.

Holders offer pieces (L{clumpt.agent.offers}), and what is useful is taken.
Where nothing is offered for a while, and for packages of one piece, this peer
asks by itself: the rarest useful piece, of a holder that has least to do for
us.  No piece is asked of two peers at once, unless the first has kept us
waiting much longer than pieces take.  A peer that sent a wrong piece is not
asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from attrs import define, field, frozen

from clumpt.model import PeerName
from clumpt.pieces import Bits

#: Pieces asked of one peer at a time: one on the wire, one that waits for its turn.
PER_PEER = 2
#: Pieces asked of all peers together.
IN_FLIGHT = 12
#: A piece is late, and asked of somebody else too, after this many times the usual wait ...
LATE = 6.0
#: ... but never before this many seconds.
LATE_AT_LEAST = 1.0
#: Seconds without an offer or a piece after which we ask by ourselves.
QUIET = 0.5


@frozen
class Ask:
    """Ask C{peer} for piece C{index}."""

    peer: PeerName
    index: int


@define
class _Holder:
    bits: Bits
    load: int = 0
    not_before: float = 0.0


@define
class Swarm:
    """
    One package of C{count} pieces on its way to this peer.

    @ivar held: the verified pieces here.
    @ivar spoilers: peers that sent a wrong piece of it.
    """

    count: int
    random: Random
    held: Bits = Bits()
    spoilers: set[PeerName] = field(factory=set, init=False)
    _holders: dict[PeerName, _Holder] = field(factory=dict, init=False)
    _asked: dict[int, dict[PeerName, float]] = field(factory=dict, init=False)
    _usual: float = field(default=LATE_AT_LEAST, init=False)
    _fed: float = field(default=-1e9, init=False)

    @property
    def complete(self) -> bool:
        """Are all pieces here?"""
        return len(self.held) == self.count

    @property
    def holders(self) -> list[PeerName]:
        """The peers that hold something that is missing here, in the order they were learnt."""
        return [peer for peer, holder in self._holders.items() if holder.bits.value & ~self.held.value]

    def learn(self, peer: PeerName, bits: Bits) -> None:
        """C{peer} holds these pieces."""
        if peer in self.spoilers:
            return
        if peer in self._holders:
            self._holders[peer].bits = Bits(self._holders[peer].bits.value | bits.value)
        else:
            self._holders[peer] = _Holder(bits)

    def lost(self, peer: PeerName) -> None:
        """C{peer} is gone; what was asked of it is free to be asked of others."""
        self._holders.pop(peer, None)
        for index in [index for index, asked in self._asked.items() if peer in asked]:
            self._answered(peer, index)

    def offered(self, peer: PeerName, index: int, now: float) -> Ask | None:
        """
        C{peer} would send piece C{index} now: what to ask of it, None to decline.

        Some other piece of it, if that one is here or on its way.
        """
        self._fed = now
        if peer in self.spoilers or len(self._asked) >= IN_FLIGHT:
            return None
        self.learn(peer, Bits().with_bit(index))
        useful = self._useful(peer, now)
        if not useful:
            return None
        return self._made(Ask(peer, index if index in useful else max(useful)), now)

    def arrived(self, peer: PeerName, index: int, now: float) -> None:
        """A good piece came."""
        asked_at = self._asked.get(index, {}).get(peer, now)
        self._usual += 0.2 * (now - asked_at - self._usual)
        self._answered(peer, index)
        self._fed = now
        self.held = self.held.with_bit(index)

    def refused(self, peer: PeerName, index: int, not_before: float) -> None:
        """C{peer} did not send the piece; it may be asked again from C{not_before} on."""
        self._answered(peer, index)
        if peer in self._holders:
            self._holders[peer].not_before = not_before

    def missing(self, peer: PeerName, index: int) -> None:
        """C{peer} does not hold the piece after all."""
        self._answered(peer, index)
        if peer in self._holders:
            holder = self._holders[peer]
            holder.bits = Bits(holder.bits.value & ~(1 << index))

    def spoiled(self, peer: PeerName) -> None:
        """C{peer} sent something wrong: it is not asked for this package again."""
        self.spoilers.add(peer)
        self.lost(peer)

    def asks(self, now: float) -> Iterator[Ask]:
        """What to ask of whom now; each ask counts as made when it is taken from the iterator."""
        if self.count > 1 and now - self._fed < QUIET:
            return
        while sum(map(len, self._asked.values())) < IN_FLIGHT:
            ask = self._choose(now)
            if ask is None:
                return
            yield self._made(ask, now)

    def others(self, index: int) -> list[PeerName]:
        """Who else was asked for piece C{index}, and need not send it any more."""
        return list(self._asked.get(index, {}))

    def _made(self, ask: Ask, now: float) -> Ask:
        self._asked.setdefault(ask.index, {})[ask.peer] = now
        self._holders[ask.peer].load += 1
        return ask

    def _choose(self, now: float) -> Ask | None:
        idle = [
            (holder.load, self.random.random(), peer)
            for peer, holder in self._holders.items()
            if holder.load < PER_PEER and holder.not_before <= now
        ]
        for _, _, peer in sorted(idle):
            useful = self._useful(peer, now)
            if useful:
                return Ask(peer, self._rarest(useful))
        return None

    def _useful(self, peer: PeerName, now: float) -> list[int]:
        fresh = self._holders[peer].bits.value & ~self.held.value
        for index in self._asked:
            fresh &= ~(1 << index)
        if fresh:
            return list(Bits(fresh))
        late = now - max(LATE_AT_LEAST, LATE * self._usual)
        return [
            index
            for index, asked in self._asked.items()
            if index in self._holders[peer].bits and peer not in asked and max(asked.values()) < late
        ]

    def _rarest(self, useful: list[int]) -> int:
        counts = [0] * self.count
        for holder in self._holders.values():
            for index in useful:
                counts[index] += holder.bits.value >> index & 1
        least = min(counts[index] for index in useful)
        return self.random.choice([index for index in useful if counts[index] == least])

    def _answered(self, peer: PeerName, index: int) -> None:
        asked = self._asked.get(index, {})
        if asked.pop(peer, None) is not None and peer in self._holders:
            self._holders[peer].load -= 1
        if not asked:
            self._asked.pop(index, None)
