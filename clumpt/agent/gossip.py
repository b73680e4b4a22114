"""
Who is told of which updates: pure decisions (R32-R34).

Push is the speed and pull is the guarantee (H13): a link is told what it is
not known to have, once; what gets lost on the way is found by the pull.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field

from clumpt.idset import IdSet
from clumpt.model import Entry, PeerName, Seq


@define
class Gossip:
    """What each linked peer is known, or was told, to have."""

    _heads: dict[PeerName, Seq] = field(factory=dict, init=False)
    _told: dict[PeerName, IdSet] = field(factory=dict, init=False)

    def linked(self, peer: PeerName, head: Seq) -> None:
        """A link to C{peer}, which has everything up to C{head}."""
        self._heads[peer] = head
        self._told[peer] = IdSet()

    def unlinked(self, peer: PeerName) -> None:
        """The link is gone."""
        self._heads.pop(peer, None)
        self._told.pop(peer, None)

    def knows(self, peer: PeerName, head: Seq) -> None:
        """C{peer} showed that it has everything up to C{head}."""
        if peer in self._heads and head > self._heads[peer]:
            self._heads[peer] = head
            self._told[peer] = self._told[peer] - IdSet.upto(head)

    def has(self, peer: PeerName, seqs: Collection[Seq]) -> None:
        """C{peer} showed that it has these."""
        if seqs and peer in self._told:
            self._told[peer] = self._told[peer] | IdSet.of(seqs)

    def lacking(self, peer: PeerName, entries: Sequence[Entry]) -> list[Entry]:
        """Those of C{entries} that C{peer} is not known to have; from now on it counts as told."""
        news = [entry for entry in entries if self._lacks(peer, entry.seq)]
        self.has(peer, [entry.seq for entry in news])
        return news

    def lacks(self, peer: PeerName, entries: Sequence[Entry]) -> bool:
        """Is C{peer} not known to have all of C{entries}?"""
        return any(self._lacks(peer, entry.seq) for entry in entries)

    def owes(self, peer: PeerName, seqs: IdSet) -> bool:
        """Is C{peer} to hear that there are C{seqs}?  From now on it counts as told."""
        lacking = [seq for seq in seqs if self._lacks(peer, seq)]
        self.has(peer, lacking)
        return bool(lacking)

    def _lacks(self, peer: PeerName, seq: Seq) -> bool:
        return peer in self._heads and seq > self._heads[peer] and seq not in self._told[peer]
