"""What one linked peer is known to hold, and was told that we do."""

from __future__ import annotations

from attrs import define, field

from clumpt.idset import IdSet
from clumpt.interfaces import ILink
from clumpt.pieces import NONE, Bits, Digest, Round

#: Packages whose pieces are remembered for each link.
REMEMBERED = 256


@define(eq=False)
class Known:
    """
    What one linked peer was seen, and was told, to hold.

    @ivar seqs: updates whose packages it holds; C{informed}: those of which it was told that we do;
        C{unsaid}: those of which it will be.
    @ivar owed: updates that it was not told of yet, and C{due}: when it hears how much there is to know.
    @ivar told: the pieces of each package that it was told to be here, and C{told_at} when it last was.
    """

    link: ILink
    seqs: IdSet = IdSet()
    informed: IdSet = IdSet()
    unsaid: IdSet = IdSet()
    owed: IdSet = IdSet()
    due: float | None = None
    pieces: dict[Digest, Bits] = field(factory=dict)
    told: dict[Digest, int] = field(factory=dict)
    told_at: float = 0.0
    #: Packages that it wants to be fed, of updates that are not here yet.
    wishes: set[Digest] = field(factory=set)

    def wish(self, digest: Digest, word: Round) -> None:
        """The peer wants to be fed a package that is not known yet, or not any more."""
        if word is Round.OVER:
            self.wishes.discard(digest)
        elif word is Round.WANTED and len(self.wishes) < REMEMBERED:
            self.wishes.add(digest)

    def saw(self, digest: Digest, bits: Bits) -> Bits:
        """The peer holds these pieces; returns all that it is known to hold."""
        known = self.pieces.get(digest)
        if known is None:
            if len(self.pieces) >= REMEMBERED:
                oldest = next(iter(self.pieces))
                del self.pieces[oldest]
                self.told.pop(oldest, None)
            known = NONE
        if bits.value & ~known.value or digest not in self.pieces:
            known = self.pieces[digest] = Bits(known.value | bits.value)
        return known

    def lost(self, digest: Digest, bits: Bits, count: int, seqs: IdSet) -> bool:
        """The peer holds no more than these pieces: did its disk lose some?  Then it is to be told anew."""
        whole = any(seq in self.seqs for seq in seqs) and len(bits) < count
        if not whole and not self.pieces.get(digest, Bits()).value & ~bits.value:
            return False
        self.seqs, self.informed, self.unsaid = self.seqs - seqs, self.informed - seqs, self.unsaid - seqs
        self.pieces.pop(digest, None)
        self.told.pop(digest, None)
        return True
