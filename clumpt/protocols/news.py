"""
What is said on an update line without being asked for: who holds which pieces, and how packages go round.
"""

from __future__ import annotations

from struct import Struct, pack, unpack
from typing import ClassVar, Self

from attrs import field, frozen

from clumpt.errors import BadDocument
from clumpt.pieces import LARGEST, MOST, Digest, Round
from clumpt.protocols.messages import Message


@frozen
class Holding(Message):
    """
    I hold these pieces of a package, and want the others.

    @ivar raw: an encoded L{clumpt.pieces.Bits}, unchecked.
    """

    KIND: ClassVar[int] = 0x26
    HEAD: ClassVar[Struct] = Struct("!32s")
    BODY: ClassVar[int] = MOST // 8

    digest: Digest
    raw: bytes = field(repr=False)

    def head(self) -> bytes:
        """The fixed part."""
        return bytes.fromhex(self.digest)

    def body(self) -> bytes:
        """The other part."""
        return self.raw

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made."""
        return cls(Digest(head.hex()), body)


@frozen
class PieceNews(Message):
    """Something about one piece of a package; the index is unchecked."""

    HEAD: ClassVar[Struct] = Struct("!32sI")

    digest: Digest
    index: int

    def head(self) -> bytes:
        """The fixed part."""
        return self.HEAD.pack(bytes.fromhex(self.digest), self.index)

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made."""
        digest, index = cls.HEAD.unpack(head)
        return cls(Digest(digest.hex()), index)


@frozen
class Have(Message):
    """
    I hold these pieces as well, and of those that I lack, these are on their way to me; no others.

    No index is beyond what any package has; whether this one has it is unchecked.
    """

    KIND: ClassVar[int] = 0x27
    HEAD: ClassVar[Struct] = Struct("!32sH")
    BODY: ClassVar[int] = 2 * MOST

    digest: Digest
    held: tuple[int, ...]
    coming: tuple[int, ...]

    def head(self) -> bytes:
        """The fixed part."""
        return self.HEAD.pack(bytes.fromhex(self.digest), len(self.held))

    def body(self) -> bytes:
        """The other part."""
        both = self.held + self.coming
        return pack(f"!{len(both)}H", *both)

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made; raises L{BadDocument} for anything else."""
        digest, held = cls.HEAD.unpack(head)
        if len(body) % 2 or held > len(body) // 2:
            raise BadDocument(f"{held} indices of pieces and others in {len(body)} bytes")
        both = unpack(f"!{len(body) // 2}H", body)
        if max(both, default=0) >= MOST:
            raise BadDocument(f"piece {max(both)}: no package has so many")
        return cls(Digest(digest.hex()), both[:held], both[held:])


@frozen
class Offer(PieceNews):
    """I would send you this piece at once."""

    KIND: ClassVar[int] = 0x28


@frozen
class Decline(PieceNews):
    """Your offer is of no use to me now."""

    KIND: ClassVar[int] = 0x29


@frozen
class Feed(Message):
    """How a package goes round between the two of us: see L{Round}."""

    KIND: ClassVar[int] = 0x31
    HEAD: ClassVar[Struct] = Struct("!32sB")

    digest: Digest
    word: Round

    def head(self) -> bytes:
        """The fixed part."""
        return self.HEAD.pack(bytes.fromhex(self.digest), self.word)

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made; raises L{BadDocument} for anything else."""
        digest, word = cls.HEAD.unpack(head)
        try:
            return cls(Digest(digest.hex()), Round(word))
        except ValueError as unknown:
            raise BadDocument(f"{word} says nothing of how a package goes round") from unknown


@frozen
class Fed(PieceNews):
    """A piece for who wants to be fed; no more bytes are taken than a piece has of what L{Feed} named."""

    KIND: ClassVar[int] = 0x32
    BODY: ClassVar[int] = LARGEST

    data: bytes = field(repr=False)

    def body(self) -> bytes:
        """The other part."""
        return self.data

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made."""
        digest, index = cls.HEAD.unpack(head)
        return cls(Digest(digest.hex()), index, body)
