"""
Pieces: the unit of a package that is hashed, asked for and passed on.

The signed update carries the size of a piece and the digest of the list of
piece hashes; so any peer can check any piece before the rest has arrived, and
name the peer that sent a bad one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from hashlib import sha256
from typing import NewType

from attrs import field, frozen
from attrs.validators import and_, ge, instance_of, le

from clumpt.errors import BadDocument

#: A SHA-256 digest as 64 lower-case hexadecimal digits.
Digest = NewType("Digest", str)

SMALLEST = 16 * 1024
LARGEST = 16 * 1024 * 1024
#: A package of at most this size is one piece.
SMALL = 64 * 1024
#: The most pieces that a package is cut into, unless they would be too large; of 64 KiB; of smaller ones.
ENOUGH, SOME, FEW = 640, 320, 160
#: For so many peers pieces are half as large: what a piece takes counts once for each step on its way.
MANY = 2048
#: No package has more pieces than this, so a hash list fits one control frame.
MOST = 1024
HASH = 32


class Round(IntEnum):
    """
    What peers say to each other of a package that goes round from peer to peer.

    @cvar OVER: it does not, any more.
    @cvar WANTED: send me what I lack of it, as it comes to you.
    @cvar INSTEAD: say that to me, who can feed you in place of the one before you.
    @cvar WITHOUT: it goes round without you, who do not keep up.
    @cvar ENOUGH: send me no more of it by yourself: another one does.
    """

    OVER = 0
    WANTED = 1
    INSTEAD = 2
    WITHOUT = 3
    ENOUGH = 4


def digest_of(data: bytes) -> Digest:
    """The SHA-256 digest of C{data}."""
    return Digest(sha256(data).hexdigest())


def piece_size(size: int, peers: int = 0) -> int:
    """
    The size of the pieces for a package of C{size} bytes: a power of two from
    16 KiB to 16 MiB that gives at most 640 pieces, of small ones fewer: small
    pieces spread best, but each costs work, the more the more come in a second.
    What fits one control frame is one piece: there, only the time to
    the first byte matters.

    @param peers: for how many it is; for 2048 and more it is half of that, if 1024 pieces are enough then.
    """
    if size <= SMALL:
        return SMALL
    wanted = SMALLEST
    while wanted < LARGEST and wanted * _enough(wanted) < size:
        wanted *= 2
    if wanted * MOST < size:
        raise ValueError(f"a package of {size} bytes is too large: at most {LARGEST * MOST}")
    fine = peers >= MANY and wanted > SMALLEST and wanted // 2 * MOST >= size
    return wanted // 2 if fine else wanted


def _enough(size: int) -> int:
    """The most pieces of a size that a package is cut into."""
    return FEW if size < SMALL else SOME if size == SMALL else ENOUGH


@frozen
class Pieces:
    """
    How a package of C{total} bytes is cut.

    @ivar total: bytes in the package, >= 0.
    @ivar size: bytes in every piece but the last.
    @ivar sha256: digest of the concatenated 32-byte hashes of the pieces.
    """

    total: int = field(validator=[instance_of(int), ge(0)])
    size: int = field(validator=and_(instance_of(int), ge(SMALLEST), le(LARGEST)))
    sha256: Digest

    @property
    def count(self) -> int:
        """How many pieces there are; an empty package has none."""
        return -(-self.total // self.size)

    def length(self, index: int) -> int:
        """Bytes in piece C{index}; raises IndexError outside 0 <= index < count."""
        if not 0 <= index < self.count:
            raise IndexError(f"piece {index} of {self.count}")
        return min(self.size, self.total - index * self.size)

    def offset(self, index: int) -> int:
        """Where piece C{index} begins in the package."""
        return index * self.size


@frozen
class HashList:
    """The hashes of all pieces of a package, already checked against its L{Pieces}."""

    raw: bytes

    @classmethod
    def checked(cls, raw: bytes, pieces: Pieces) -> HashList:
        """C{raw} if it is the list that C{pieces} promises; raises L{BadDocument}."""
        if len(raw) != HASH * pieces.count:
            raise BadDocument(f"a hash list of {len(raw)} bytes for {pieces.count} pieces")
        if digest_of(raw) != pieces.sha256:
            raise BadDocument("a hash list that is not the one in the signed update")
        return cls(raw)

    def matches(self, index: int, data: bytes) -> bool:
        """Is C{data} piece C{index}?"""
        return sha256(data).digest() == self.raw[HASH * index : HASH * index + HASH]


@frozen
class Bits:
    """Which pieces of a package are held; a non-negative int used as a bit field."""

    # Made for each piece that comes, and only of what is known to be good: so it is not looked at again.
    value: int = 0

    @classmethod
    def full(cls, count: int) -> Bits:
        """All of C{count} pieces."""
        return cls((1 << count) - 1)

    @classmethod
    def of(cls, indices: Iterable[int]) -> Bits:
        """These pieces; every index is >= 0."""
        value = 0
        for index in indices:
            value |= 1 << index
        return cls(value)

    @classmethod
    def decode(cls, raw: bytes, count: int) -> Bits:
        """What L{encode} wrote; raises L{BadDocument} for another length or bits beyond C{count}."""
        value = int.from_bytes(raw, "little")
        if len(raw) != -(-count // 8) or value >> count:
            raise BadDocument(f"a bit field of {len(raw)} bytes for {count} pieces")
        return cls(value)

    def encode(self, count: int) -> bytes:
        """The field as bytes, bit 0 of byte 0 first."""
        return self.value.to_bytes(-(-count // 8), "little")

    def __contains__(self, index: int) -> bool:
        return bool(self.value >> index & 1)

    def __iter__(self) -> Iterator[int]:
        value = self.value
        while value:
            low = value & -value
            yield low.bit_length() - 1
            value ^= low

    def __len__(self) -> int:
        return self.value.bit_count()

    def with_bit(self, index: int) -> Bits:
        """This field and piece C{index}."""
        return Bits(self.value | 1 << index)


#: No piece.
NONE = Bits()
