"""
What is said on an update line: requests and their answers; L{clumpt.protocols.news} has the rest.

Every request has an id of its sender's choice, which its one answer repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any, ClassVar, Self

from attrs import field, frozen

from clumpt.idset import IdSet
from clumpt.model import Seq
from clumpt.pieces import HASH, LARGEST, MOST, Digest
from clumpt.protocols.messages import (
    WITH_ENVELOPES,
    Document,
    Hello,
    Message,
    Ping,
    Pong,
    kinds,
    read_envelopes,
    read_ids,
    write_envelopes,
)
from clumpt.protocols.news import Branched, Decline, Fed, Feed, Have, Holding, Offer
from clumpt.strictjson import Fields

#: The most bytes of output that are told.
MOST_OUTPUT = 64 * 1024
#: The longest that L{Busy} may ask to wait, in milliseconds.
LONGEST = 3_600_000


@frozen
class Numbered(Message):
    """A request or an answer."""

    HEAD: ClassVar[Struct] = Struct("!I")

    id: int

    def head(self) -> bytes:
        """The fixed part."""
        return self.HEAD.pack(self.id)


@frozen
class WantTable(Numbered, Document):
    """Which updates do I lack, who have these?  Answered by L{Table}."""

    KIND: ClassVar[int] = 0x20

    have: IdSet

    def document(self) -> Mapping[str, Any]:
        """The object as a mapping."""
        return {"have": str(self.have)}

    @classmethod
    def parse(cls, head: tuple[Any, ...], fields: Fields) -> Self:
        """The message with these fields; raises ValueError or L{BadDocument}."""
        return cls(head[0], read_ids(fields.text("have")))


@frozen
class Table(Numbered, Document):
    """The first of them, in order; none if nothing is missing."""

    KIND: ClassVar[int] = 0x21
    BODY: ClassVar[int] = WITH_ENVELOPES

    envelopes: tuple[bytes, ...] = field(repr=False)

    def document(self) -> Mapping[str, Any]:
        """The object as a mapping."""
        return {"envelopes": write_envelopes(self.envelopes)}

    @classmethod
    def parse(cls, head: tuple[Any, ...], fields: Fields) -> Self:
        """The message with these fields; raises ValueError or L{BadDocument}."""
        return cls(head[0], read_envelopes(fields))


@frozen
class WantIds(Numbered):
    """Which updates do you know (R38)?  Answered by L{Ids}."""

    KIND: ClassVar[int] = 0x22


@frozen
class Ids(Numbered, Document):
    """These."""

    KIND: ClassVar[int] = 0x23

    known: IdSet

    def document(self) -> Mapping[str, Any]:
        """The object as a mapping."""
        return {"known": str(self.known)}

    @classmethod
    def parse(cls, head: tuple[Any, ...], fields: Fields) -> Self:
        """The message with these fields; raises ValueError or L{BadDocument}."""
        return cls(head[0], read_ids(fields.text("known")))


@frozen
class WantHashes(Numbered):
    """The hashes of the pieces of a package, please.  Answered by L{Hashes}."""

    KIND: ClassVar[int] = 0x24
    HEAD: ClassVar[Struct] = Struct("!I32s")

    digest: Digest

    def head(self) -> bytes:
        """The fixed part."""
        return self.HEAD.pack(self.id, bytes.fromhex(self.digest))

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made."""
        number, digest = cls.HEAD.unpack(head)
        return cls(number, Digest(digest.hex()))


@frozen
class Blob(Numbered):
    """An answer that is bytes."""

    data: bytes = field(repr=False)

    def body(self) -> bytes:
        """The other part."""
        return self.data

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made."""
        (number,) = cls.HEAD.unpack(head)
        return cls(number, body)


@frozen
class Hashes(Blob):
    """32 bytes a piece."""

    KIND: ClassVar[int] = 0x25
    BODY: ClassVar[int] = HASH * MOST


@frozen
class WantPiece(Numbered):
    """One piece of a package, please (R35), also if it is on its way to you only.  Answered by L{Piece}."""

    KIND: ClassVar[int] = 0x2A
    HEAD: ClassVar[Struct] = Struct("!I32sI")

    digest: Digest
    index: int

    def head(self) -> bytes:
        """The fixed part."""
        return self.HEAD.pack(self.id, bytes.fromhex(self.digest), self.index)

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made."""
        number, digest, index = cls.HEAD.unpack(head)
        return cls(number, Digest(digest.hex()), index)


@frozen
class Piece(Blob):
    """The bytes of a piece; no more are taken than were asked for."""

    KIND: ClassVar[int] = 0x2B
    BODY: ClassVar[int] = LARGEST


@frozen
class WantOutput(Numbered, Document):
    """What did the install of this update print?  Answered by L{Output}."""

    KIND: ClassVar[int] = 0x2C

    seq: Seq

    def document(self) -> Mapping[str, Any]:
        """The object as a mapping."""
        return {"seq": self.seq}

    @classmethod
    def parse(cls, head: tuple[Any, ...], fields: Fields) -> Self:
        """The message with these fields; raises ValueError or L{BadDocument}."""
        return cls(head[0], fields.integer("seq", 1))


@frozen
class Output(Blob):
    """The last of what it printed."""

    KIND: ClassVar[int] = 0x2D
    BODY: ClassVar[int] = MOST_OUTPUT


@frozen
class NotHere(Numbered):
    """An answer to any request: I do not have it, or you took the request back."""

    KIND: ClassVar[int] = 0x2E


@frozen
class Busy(Numbered):
    """
    An answer to any request: not now.

    @ivar retry_after: milliseconds to wait before asking again.
    """

    KIND: ClassVar[int] = 0x2F
    HEAD: ClassVar[Struct] = Struct("!II")

    retry_after: int

    def head(self) -> bytes:
        """The fixed part."""
        return self.HEAD.pack(self.id, self.retry_after)

    @classmethod
    def after(cls, number: int, seconds: float) -> Self:
        """Not now, but in C{seconds}."""
        return cls(number, round(min(max(seconds * 1000, 0), LONGEST)))


@frozen
class Cancel(Numbered):
    """I do not want the answer to this request of mine any more; it is answered all the same."""

    KIND: ClassVar[int] = 0x30


#: What is said on an update line.
UPDATE: Mapping[int, type[Message]] = kinds(
    Hello, Ping, Pong, WantTable, Table, WantIds, Ids, WantHashes, Hashes, Holding, Have, Offer, Decline,
    WantPiece, Piece, WantOutput, Output, NotHere, Busy, Cancel,
    Feed, Fed, Branched,
)  # fmt: skip
