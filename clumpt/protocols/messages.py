"""
What is said on the wires: each message as a frozen value, to and from frames.

This module has what both protocols and the notification protocol say;
L{clumpt.protocols.requests} and L{clumpt.protocols.news} what the update protocol says.
Pure.  docs/protocol.md has an example of each, byte by byte.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import Any, ClassVar, Self

from attrs import field, frozen

from clumpt.errors import BadDocument, ProtocolError
from clumpt.idset import IdSet
from clumpt.model import HEX64, Seq
from clumpt.pieces import Digest
from clumpt.protocols.framing import Frame, Shape, encoded
from clumpt.strictjson import LARGEST, Fields, dumps, loads, reading

#: The most bytes in a control message.
CONTROL = 64 * 1024
#: A message that carries envelopes may be longer, so that the largest envelope can travel alone.
WITH_ENVELOPES = 128 * 1024
#: No larger envelope can travel.
MOST_ENVELOPE = 90_000
#: Ranges in a set of ids; a table has a bounded number of gaps.
MOST_RANGES = 2048
#: The versions of the wire that are spoken here.
VERSIONS = (1, 2, 3, 4)
#: Since these peers feed each other, pass by who does not keep up, and push along trees.
FEEDS, BYPASS, PUSHES = 2, 3, 4

# Room in a page of envelopes for all but the envelopes.
_ROOM = CONTROL - 16 * 1024
_NO_HEAD = Struct("!")


@frozen
class Message:
    """
    One thing to say.

    @cvar KIND: the kind of its frame.
    @cvar HEAD: the fixed part of its frame.
    @cvar BODY: the most bytes in the other part.
    """

    KIND: ClassVar[int]
    HEAD: ClassVar[Struct] = _NO_HEAD
    BODY: ClassVar[int] = 0

    def frame(self) -> Frame:
        """This message as a frame."""
        return Frame(self.KIND, self.head(), self.body())

    def encode(self) -> tuple[bytes, ...]:
        """Its frame as bytes; see L{Frame.encode}."""
        return encoded(self.KIND, self.head(), self.body())

    def head(self) -> bytes:
        """The fixed part."""
        return b""

    def body(self) -> bytes:
        """The other part."""
        return b""

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made; raises L{BadDocument} for anything else."""
        return cls(*cls.HEAD.unpack(head))

    @classmethod
    def shape(cls) -> Shape:
        """What its frames look like."""
        return Shape(cls.HEAD.size, cls.HEAD.size + cls.BODY)


@frozen
class Document(Message):
    """A message whose body is a strict JSON object."""

    BODY: ClassVar[int] = CONTROL

    def body(self) -> bytes:
        """The object; raises L{BadDocument} if it is too large to be sent."""
        raw = dumps(self.document())
        if len(raw) > self.BODY:
            raise BadDocument(f"a {type(self).__name__} of {len(raw)} bytes, at most {self.BODY} can travel")
        return raw

    def document(self) -> Mapping[str, Any]:
        """The object as a mapping."""
        raise NotImplementedError

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Self:
        """What L{frame} made; raises L{BadDocument} for anything else."""
        fields = Fields(cls.__name__, loads(body, cls.BODY))
        with reading(cls.__name__):
            message = cls.parse(cls.HEAD.unpack(head), fields)
        fields.end()
        return message

    @classmethod
    def parse(cls, head: tuple[Any, ...], fields: Fields) -> Self:
        """The message with these fields; raises ValueError or L{BadDocument}."""
        raise NotImplementedError


@frozen
class Hello(Document):
    """
    The first message on every line, both ways; the dialler greets first.

    @ivar versions: of the wire; both ends speak the highest that they share.
    @ivar head: the highest seq known.
    @ivar top: the digest of the newest entry, so that equal tables are recognised at once.
    @ivar member: the sender's own member statement, an envelope.
    @ivar call: names the call, so that the two lines of a link find each other; the answer repeats it.
    """

    KIND: ClassVar[int] = 0x01

    versions: tuple[int, ...]
    deployment: str
    head_seq: Seq
    top: Digest
    member: bytes = field(repr=False)
    call: str

    def document(self) -> Mapping[str, Any]:
        """The object as a mapping."""
        return {
            "versions": list(self.versions),
            "deployment": self.deployment,
            "head": self.head_seq,
            "top": self.top,
            "member": _packed(self.member),
            "call": self.call,
        }

    @classmethod
    def parse(cls, head: tuple[Any, ...], fields: Fields) -> Self:
        """The message with these fields; raises ValueError or L{BadDocument}."""
        return cls(
            fields.integers("versions"),
            fields.text("deployment"),
            fields.integer("head"),
            a_digest(fields.text("top")),
            _unpacked(fields.text("member")),
            fields.text("call"),
        )

    def version(self) -> int:
        """The version to be spoken with the sender; raises L{ProtocolError} if there is none."""
        shared = set(VERSIONS).intersection(self.versions)
        if not shared:
            raise ProtocolError(f"it speaks no version of the protocol that we do ({VERSIONS[-1]})")
        return max(shared)


@frozen
class Ping(Message):
    """Are you there?  Answered by L{Pong}."""

    KIND: ClassVar[int] = 0x02


@frozen
class Pong(Message):
    """I am."""

    KIND: ClassVar[int] = 0x03


@frozen
class Notify(Document):
    """
    New updates (R32), and how much there is to know.

    @ivar holding: those whose packages can be asked of the sender (H1).
    @ivar head_seq: the sender's highest seq; if it is beyond the envelopes, the rest is asked for.
    """

    KIND: ClassVar[int] = 0x10
    BODY: ClassVar[int] = WITH_ENVELOPES

    envelopes: tuple[bytes, ...] = field(repr=False)
    holding: IdSet
    head_seq: Seq

    def document(self) -> Mapping[str, Any]:
        """The object as a mapping."""
        return {
            "envelopes": write_envelopes(self.envelopes),
            "holding": str(self.holding),
            "head": self.head_seq,
        }

    @classmethod
    def parse(cls, head: tuple[Any, ...], fields: Fields) -> Self:
        """The message with these fields; raises ValueError or L{BadDocument}."""
        return cls(read_envelopes(fields), read_ids(fields.text("holding")), fields.integer("head"))


@frozen
class Ack(Document):
    """The answer to the L{Notify} of a submitter: the sender's head, now that it has taken that in."""

    KIND: ClassVar[int] = 0x11

    head_seq: Seq

    def document(self) -> Mapping[str, Any]:
        """The object as a mapping."""
        return {"head": self.head_seq}

    @classmethod
    def parse(cls, head: tuple[Any, ...], fields: Fields) -> Self:
        """The message with these fields; raises ValueError or L{BadDocument}."""
        return cls(fields.integer("head"))


@frozen
class Reload(Message):
    """Your neighbours or groups changed in the directory (R67)."""

    KIND: ClassVar[int] = 0x12


def kinds(*messages: type[Message]) -> dict[int, type[Message]]:
    """These messages by the kinds of their frames."""
    return {message.KIND: message for message in messages}


#: What is said on a notification line.
NOTIFICATION: Mapping[int, type[Message]] = kinds(Hello, Ping, Pong, Notify, Ack, Reload)


def pages(envelopes: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    """
    C{envelopes} in order, as many to a page as fit one message; a very large one has a page of its own.

    Raises L{BadDocument} at an envelope that can never travel.
    """
    page: list[bytes] = []
    left = _ROOM
    for envelope in envelopes:
        if len(envelope) > MOST_ENVELOPE:
            raise BadDocument(f"an envelope of {len(envelope)} bytes, at most {MOST_ENVELOPE} can travel")
        # Base64, quotes and a comma.
        cost = -(-len(envelope) // 3) * 4 + 3
        if page and cost > left:
            yield tuple(page)
            page, left = [], _ROOM
        page.append(envelope)
        left -= cost
    if page:
        yield tuple(page)


def write_envelopes(envelopes: Sequence[bytes]) -> list[str]:
    """C{envelopes} as a message carries them."""
    return [_packed(one) for one in envelopes]


def read_envelopes(fields: Fields) -> tuple[bytes, ...]:
    """The envelopes in a message."""
    return tuple(_unpacked(text) for text in fields.texts("envelopes"))


def read_ids(text: str) -> IdSet:
    """A set of ids exactly as C{str} writes it; raises ValueError for anything else."""
    if text.count(",") >= MOST_RANGES:
        raise ValueError(f"more than {MOST_RANGES} ranges of ids")
    ids = IdSet.parse(text)
    if str(ids) != text or ids.last > LARGEST:
        raise ValueError("not a set of ids")
    return ids


def a_digest(text: str) -> Digest:
    """C{text} if it is a digest; raises ValueError if not."""
    if HEX64.fullmatch(text) is None:
        raise ValueError("not a digest")
    return Digest(text)


def _packed(envelope: bytes) -> str:
    return b64encode(envelope).decode("ascii")


def _unpacked(text: str) -> bytes:
    return b64decode(text, validate=True)
