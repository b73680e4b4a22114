"""
What is said on an update line without being asked for: who holds which pieces, and how packages go round.
"""

from __future__ import annotations

import zlib
from struct import Struct, pack, unpack
from typing import ClassVar, Self

from attrs import field, frozen

from clumpt.errors import BadDocument
from clumpt.model import PeerName, is_name
from clumpt.pieces import LARGEST, MOST, Digest, Round
from clumpt.protocols.messages import CONTROL, Message
from clumpt.strictjson import reading
from clumpt.trees import Branch

#: The most names in a branch, and the most bytes that these have before they are compressed.
MOST_NAMES, MOST_TEXT = 16384, 1024 * 1024


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


@frozen
class Branched(Message):
    """I pass a package on to you along a tree: this is what of the tree begins with you."""

    KIND: ClassVar[int] = 0x33
    HEAD: ClassVar[Struct] = Struct("!32sBI")
    BODY: ClassVar[int] = CONTROL

    digest: Digest
    branch: Branch

    def head(self) -> bytes:
        """The fixed part."""
        return self.HEAD.pack(bytes.fromhex(self.digest), self.branch.tree, self.branch.inner)

    def body(self) -> bytes:
        """The names, compressed; raises L{BadDocument} if they are too many to be sent."""
        names = self.branch.names
        raw = zlib.compress("\n".join(names).encode())
        if len(names) > MOST_NAMES or len(raw) > self.BODY:
            raise BadDocument(
                f"a branch of {len(names)} peers in {len(raw)} bytes, "
                f"at most {MOST_NAMES} in {self.BODY} can travel"
            )
        return raw

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made; raises L{BadDocument} for anything else."""
        digest, tree, inner = cls.HEAD.unpack(head)
        names = _names(body)
        with reading(cls.__name__):
            return cls(Digest(digest.hex()), Branch(tree, inner, names))


def _names(body: bytes) -> tuple[PeerName, ...]:
    """The names of a branch, which are good and not too many; raises L{BadDocument}."""
    # What is no UTF-8 becomes what is no name.
    names = _inflated(body).decode(errors="replace").split("\n")
    if len(names) > MOST_NAMES:
        raise BadDocument(f"a branch of {len(names)} peers, at most {MOST_NAMES} are taken")
    for name in names:
        if not is_name(name):
            raise BadDocument(f"{name[:70]!r} in a branch is no name of a peer")
    return tuple(map(PeerName, names))


def _inflated(body: bytes) -> bytes:
    """What was compressed; not more than good names need, whatever it may grow to."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(body, MOST_TEXT)
    except zlib.error as wrong:
        raise BadDocument("the names of a branch are not compressed as they should be") from wrong
    # As many names as there may be, as long as they may be, are a byte less: then the end was seen.
    if len(text) == MOST_TEXT:
        raise BadDocument(f"a branch whose names have {MOST_TEXT} bytes or more")
    if not stream.eof:
        raise BadDocument("the names of a branch end too early")
    if stream.unused_data:
        raise BadDocument(f"{len(stream.unused_data)} bytes follow the names of a branch")
    return text
