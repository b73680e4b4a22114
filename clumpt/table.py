"""
The update table (R23-R26): a hash chain of signed updates, in order.

Pure: entries come in already verified; the table says what each one means.
"""

from __future__ import annotations

from enum import Enum

from attrs import define, field

from clumpt.errors import BadDocument
from clumpt.idset import IdSet
from clumpt.model import Entry, Seq
from clumpt.pieces import Digest

#: Entries that arrived before their predecessor; more than this are dropped, and fetched again later.
MOST_WAITING = 1024


class Taken(Enum):
    """What became of an entry that was offered to the table."""

    #: It, and perhaps some that waited for it, are part of the chain now.
    ADDED = "added"
    KNOWN = "known"
    #: Kept aside until its predecessors arrive.
    WAITING = "waiting"
    #: Signed, but its C{prev} is not the digest of its predecessor: somebody signed two histories.
    FORKED = "forked"


@define
class Table:
    """
    The chain from seq 1 to L{head}, and a bounded number that wait beyond a gap.

    @ivar origin: what C{prev} of seq 1 must be: the digest of root version 1.
    @ivar fork: the entry that contradicts the chain, once one was seen; evidence for the operator.
    """

    origin: Digest
    fork: Entry | None = field(default=None, init=False)
    _chain: list[Entry] = field(factory=list, init=False)
    _waiting: dict[Seq, Entry] = field(factory=dict, init=False)
    #: All of them by their bytes: every neighbour tells of them, and they are verified once.
    _same: dict[bytes, Entry] = field(factory=dict, init=False)

    @property
    def head(self) -> Seq:
        """The highest seq of the chain, 0 while it is empty."""
        return len(self._chain)

    @property
    def top(self) -> Digest:
        """The digest of the newest entry: two tables with the same top are equal."""
        return self._chain[-1].digest if self._chain else self.origin

    @property
    def known(self) -> IdSet:
        """All seqs held, chained or waiting."""
        return IdSet.upto(self.head) | IdSet.of(self._waiting)

    def __getitem__(self, seq: Seq) -> Entry:
        if not 1 <= seq <= self.head:
            raise KeyError(seq)
        return self._chain[seq - 1]

    def digest_at(self, seq: Seq) -> Digest | None:
        """The digest of C{seq}, the origin for 0, None outside the chain."""
        if seq == 0:
            return self.origin
        return self._chain[seq - 1].digest if 1 <= seq <= self.head else None

    def after(self, seq: Seq) -> list[Entry]:
        """The chained entries beyond C{seq}, in order."""
        return self._chain[seq:]

    def same(self, envelope: bytes) -> Entry | None:
        """The entry that has exactly these bytes, chained or waiting."""
        return self._same.get(envelope)

    def take(self, entry: Entry) -> tuple[Taken, list[Entry]]:
        """
        Offer an entry whose signature was verified.

        Returns what became of it, and the entries that joined the chain by it, in order.
        """
        if entry.seq <= self.head:
            if self._chain[entry.seq - 1].digest == entry.digest:
                return Taken.KNOWN, []
            return self._forked(entry)
        if entry.seq > self.head + 1:
            return self._wait(entry)
        if entry.update.prev != self.top:
            return self._forked(entry)
        joined = [entry]
        self._chain.append(entry)
        self._same[entry.envelope] = entry
        while (follower := self._waiting.pop(self.head + 1, None)) is not None:
            if follower.update.prev != self.top:
                del self._same[follower.envelope]
                self.fork = self.fork or follower
                break
            self._chain.append(follower)
            joined.append(follower)
        return Taken.ADDED, joined

    def _wait(self, entry: Entry) -> tuple[Taken, list[Entry]]:
        if (known := self._waiting.get(entry.seq)) is not None:
            return (Taken.KNOWN, []) if known.digest == entry.digest else self._forked(entry)
        if len(self._waiting) < MOST_WAITING:
            self._waiting[entry.seq] = entry
            self._same[entry.envelope] = entry
        return Taken.WAITING, []

    def _forked(self, entry: Entry) -> tuple[Taken, list[Entry]]:
        self.fork = self.fork or entry
        return Taken.FORKED, []

    def restore(self, entries: list[Entry]) -> None:
        """Fill an empty table from the journal; raises L{BadDocument} if they are not one chain."""
        for entry in entries:
            taken, _ = self.take(entry)
            if taken is not Taken.ADDED:
                raise BadDocument(f"the update table here breaks at update {entry.seq}: {taken.value}")
