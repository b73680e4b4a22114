"""
Who brings which piece over from afar: pure.

A piece that is in another place only (a rack, a subnet) is taken from there
by one of those who stand together and know each other, and passed on among
them.  Which one follows from the names, so nobody has to agree on anything;
where not all know each other, a few do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha256

from attrs import frozen

from clumpt.model import PeerName


@frozen(eq=False)
class Near:
    """
    What a peer knows of where others stand.

    @ivar me: this peer.
    @ivar where: the place of a peer, this one too; empty for whom that is not known.
    """

    me: PeerName
    where: Callable[[PeerName], str]

    def far(self, peer: PeerName) -> str:
        """The place of a peer that is known to stand elsewhere, empty for all others."""
        here, there = self.where(self.me), self.where(peer)
        return there if here and here != there else ""

    def unneeded(self, peers: Iterable[tuple[PeerName, int]], count: int) -> int:
        """
        The pieces that this peer need not bring over from afar, as a bit field.

        @param peers: who wants or has a package of C{count} pieces, and what each of them has.
        """
        return _spared(self.me, self._at(self.where(self.me), peers), count)

    def unwanted(self, peer: PeerName, peers: Iterable[tuple[PeerName, int]], count: int) -> int:
        """The same for another C{peer}, which stands elsewhere, as far as it can be known here."""
        others = ((other, bits) for other, bits in peers if other != peer)
        return _spared(peer, self._at(self.where(peer), others), count)

    def _at(self, place: str, peers: Iterable[tuple[PeerName, int]]) -> list[tuple[PeerName, int]]:
        # Of a peer of unknown place nobody knows whether others can count on it; a submitter, for one.
        return [(peer, bits) for peer, bits in peers if self.where(peer) == place]


def _spared(peer: PeerName, mates: list[tuple[PeerName, int]], count: int) -> int:
    """What C{peer} need not fetch: its mates have it, or one of them is to."""
    there = 0
    for _, bits in mates:
        there |= bits
    return there | ~duties(peer, frozenset(name for name, _ in mates), count)


@lru_cache(4096)
def duties(peer: PeerName, mates: frozenset[PeerName], count: int) -> int:
    """The pieces of C{count} that C{peer} fetches, and not one of its C{mates}."""
    found = 0
    for index in range(count):
        score = _score(peer, index)
        if all(score < _score(mate, index) for mate in mates):
            found |= 1 << index
    return found


@lru_cache(65536)
def _score(peer: PeerName, index: int) -> bytes:
    return sha256(f"{peer} {index}".encode()).digest()
