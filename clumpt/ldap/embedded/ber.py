"""
Read what an LDAP client sends, strictly and in linear time; write answers.

ldaptor's decoder is not used where strangers may knock: it copies the rest of
the message for every element, so that a small message can hold the server up
for seconds, and it prints what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from clumpt.errors import ProtocolError

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31


def _length(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """The length written at C{at} and where the content begins; None if C{data} ends too early."""
    if at >= len(data):
        return None
    short = data[at]
    if short < 0x80:
        return short, at + 1
    count = short & 0x7F
    if not 1 <= count <= 4:
        raise ProtocolError("a length of no known form")
    if at + 1 + count > len(data):
        return None
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count


@define
class Messages:
    """
    Collects what arrives until it makes whole messages.

    @ivar limit: bytes of the largest message; checked as soon as its length is known.
    """

    limit: int
    _waiting: bytearray = field(factory=bytearray, init=False)

    @property
    def waiting(self) -> int:
        """How many bytes are here that were not taken."""
        return len(self._waiting)

    def feed(self, data: bytes) -> None:
        """Take in C{data}."""
        self._waiting += data

    def next(self) -> bytes | None:
        """Take the first message, None if it is not complete.  Raises L{ProtocolError}."""
        if self._waiting and self._waiting[0] != SEQUENCE:
            raise ProtocolError("what arrives is not LDAP")
        header = _length(self._waiting, 1)
        if header is None:
            return None
        length, begin = header
        if length > self.limit:
            raise ProtocolError(f"a message of {length} bytes; at most {self.limit} are accepted")
        if begin + length > len(self._waiting):
            return None
        message = bytes(self._waiting[: begin + length])
        del self._waiting[: begin + length]
        return message


@define
class Reader:
    """Takes one element after the other out of a constructed one; raises L{ProtocolError}."""

    _data: bytes
    _at: int
    _end: int

    @classmethod
    def of(cls, data: bytes) -> Reader:
        """A reader for the elements in C{data}."""
        return cls(data, 0, len(data))

    def more(self) -> bool:
        """Is anything left?"""
        return self._at < self._end

    def tag(self) -> int:
        """The tag of the next element, -1 at the end."""
        return self._data[self._at] if self.more() else -1

    def _next(self, tag: int) -> tuple[int, int]:
        """Where the content of the next element, which must have this tag, begins and ends."""
        if self.tag() != tag:
            raise ProtocolError(f"{self.tag():#x} where {tag:#x} belongs")
        header = _length(self._data, self._at + 1)
        if header is None or sum(header) > self._end:
            raise ProtocolError("a message that contradicts its own lengths")
        length, begin = header
        self._at = begin + length
        return begin, self._at

    def octets(self, tag: int = OCTETS) -> bytes:
        """The next element, an octet string."""
        begin, end = self._next(tag)
        return self._data[begin:end]

    def number(self, tag: int = INTEGER) -> int:
        """The next element, an integer of at most 32 bits."""
        begin, end = self._next(tag)
        if not 1 <= end - begin <= 4:
            raise ProtocolError("a number of odd size")
        return int.from_bytes(self._data[begin:end], "big", signed=True)

    def flag(self) -> bool:
        """The next element, a boolean."""
        return self.octets(BOOLEAN) not in (b"", b"\0")

    def inside(self, tag: int) -> Reader:
        """A reader for what the next element contains."""
        return Reader(self._data, *self._next(tag))

    def each(self, tag: int) -> Iterator[Reader]:
        """A reader for each of the elements that are left, which must all have this tag."""
        while self.more():
            yield self.inside(tag)

    def all_octets(self) -> tuple[bytes, ...]:
        """All that is left, octet strings."""
        values = []
        while self.more():
            values.append(self.octets())
        return tuple(values)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self.more():
            raise ProtocolError("more than belongs into the message")


def element(tag: int, *contents: bytes) -> bytes:
    """One element that contains C{contents}."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def octets(value: bytes) -> bytes:
    """An octet string."""
    return element(OCTETS, value)


def integer(value: int, tag: int = INTEGER) -> bytes:
    """An integer."""
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
