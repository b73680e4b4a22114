"""
Frames: how messages are cut out of a stream of bytes.

A frame is a length (4 bytes, big-endian; it counts all that follows), a kind
(1 byte), a head whose size the kind fixes, and a body.  No I/O here.
"""

from __future__ import annotations

from struct import Struct

from attrs import define, field, frozen

from clumpt.errors import ProtocolError

_PREFIX = Struct("!IB")
#: Up to this a frame is joined into one write: a copy costs less than a second write.
_SMALL = 128 * 1024


@frozen
class Shape:
    """
    What frames of one kind look like.

    @ivar head: bytes in the head.
    @ivar limit: the most bytes in head and body together.
    """

    head: int
    limit: int


@frozen
class Frame:
    """One message as it travels."""

    kind: int
    head: bytes = b""
    body: bytes = field(default=b"", repr=False)

    def encode(self) -> tuple[bytes, ...]:
        """The bytes of this frame, in parts to be written one after the other; a large body is not copied."""
        return encoded(self.kind, self.head, self.body)


def encoded(kind: int, head: bytes, body: bytes) -> tuple[bytes, ...]:
    """See L{Frame.encode}."""
    start = _PREFIX.pack(1 + len(head) + len(body), kind) + head
    return (start + body,) if len(body) <= _SMALL else (start, body)


@define
class FrameBuffer:
    """
    Collects what arrives until it makes whole frames.

    The limit of a kind is checked as soon as the length and the kind are here,
    before any of the frame is stored.
    """

    _shapes: dict[int, Shape]
    #: The beginning of a frame, when too little of it came to see its head.
    _start: bytes = field(default=b"", init=False)
    _kind: int = field(default=0, init=False)
    _head: bytes = field(default=b"", init=False)
    #: Bytes of the body that have not arrived, -1 between frames.
    _missing: int = field(default=-1, init=False)
    _chunks: list[bytes] = field(factory=list, init=False)

    @property
    def inside(self) -> bool:
        """Has a frame begun that is not all here?"""
        return self._missing >= 0 or bool(self._start)

    def allow(self, kind: int, limit: int) -> None:
        """From the next frame on, take at most C{limit} bytes of head and body for C{kind}."""
        self._shapes[kind] = Shape(self._shapes[kind].head, limit)

    def feed(self, data: bytes) -> list[Frame]:
        """
        Take in C{data}; the frames that it completes, in order.

        Raises L{ProtocolError} for an unknown kind or a forbidden length; nothing may be fed after that.
        """
        frames: list[Frame] = []
        if self._start:
            data, self._start = self._start + data, b""
        at, end = 0, len(data)
        while True:
            if self._missing < 0:
                opened = self._open(data, at)
                if opened < 0:
                    self._start = data[at:]
                    return frames
                at = opened
            if self._missing > end - at:
                if at < end:
                    self._keep(data[at:] if at else data, end - at)
                return frames
            upto = at + self._missing
            if at < upto:
                self._keep(data[at:upto] if at or upto < end else data, self._missing)
            frames.append(Frame(self._kind, self._head, b"".join(self._chunks)))
            self._chunks.clear()
            self._missing = -1
            at = upto

    def _keep(self, chunk: bytes, size: int) -> None:
        self._chunks.append(chunk)
        self._missing -= size

    def _open(self, data: bytes, at: int) -> int:
        """Begin the frame at C{at}; where its body begins, -1 if its head is not all here."""
        there = len(data) - at
        if there < 4:
            return -1
        if there == 4:
            self._check_any(int.from_bytes(data[at:], "big"))
            return -1
        size, kind = _PREFIX.unpack_from(data, at)
        shape = self._shapes.get(kind)
        if shape is None:
            raise ProtocolError(f"a frame of unknown kind {kind:#04x}")
        if not shape.head < size <= shape.limit + 1:
            raise ProtocolError(f"a frame of kind {kind:#04x} with {size} bytes, at most {shape.limit + 1}")
        body = at + _PREFIX.size + shape.head
        if body > len(data):
            return -1
        self._kind, self._head = kind, data[at + _PREFIX.size : body]
        self._missing = size - 1 - shape.head
        return body

    def _check_any(self, size: int) -> None:
        most = 1 + max(shape.limit for shape in self._shapes.values())
        if not 1 <= size <= most:
            raise ProtocolError(f"a frame of {size} bytes, at most {most}")
