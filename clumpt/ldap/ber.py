"""
Read what an LDAP server or client sends: strictly, and in linear time.

ldaptor's own decoder copies the rest of the message for every element (so a
hostile megabyte costs hours), accepts any announced length, prints unknown
tags, and raises whatever comes.  This one makes ldaptor's values, and has one
failure: L{ProtocolError}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field
from ldaptor.protocols import pureldap

from clumpt.errors import ProtocolError

#: Bytes of one message; a group of 100,000 members stays well below.
LIMIT = 16 * 1024 * 1024
#: No entry of ours has more attributes.
MOST_ATTRIBUTES = 1000

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31
CONTROLS, RESPONSE_NAME = 0xA0, 0x8A

#: One element: its tag, and where its content begins and ends.
Part = tuple[int, int, int]
Control = tuple[bytes, bool, bytes]


def _length(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """The length written at C{at} and where the content begins; None if C{data} ends too early."""
    if at >= len(data):
        return None
    short = data[at]
    if short < 0x80:
        return short, at + 1
    count = short & 0x7F
    if not 1 <= count <= 4:
        raise ProtocolError("an LDAP message with a length of no known form")
    if at + 1 + count > len(data):
        return None
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count


@define
class Messages:
    """Collects what arrives until it makes whole messages; the limit is checked before anything is stored."""

    limit: int = LIMIT
    _waiting: bytearray = field(factory=bytearray, init=False)

    @property
    def waiting(self) -> int:
        """How many bytes of an incomplete message are here."""
        return len(self._waiting)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in C{data}; yield each message that it completes.  Raises L{ProtocolError}."""
        self._waiting += data
        while (end := self._end()) is not None and end <= len(self._waiting):
            message = bytes(self._waiting[:end])
            del self._waiting[:end]
            yield message

    def _end(self) -> int | None:
        if self._waiting and self._waiting[0] != SEQUENCE:
            raise ProtocolError("what arrives is not LDAP")
        header = _length(self._waiting, 1)
        if header is None:
            return None
        length, begin = header
        if length > self.limit:
            raise ProtocolError(f"an LDAP message of {length} bytes; at most {self.limit} are accepted")
        return begin + length


def _part(data: bytes, at: int, end: int) -> Part:
    header = _length(data, at + 1)
    if header is None or sum(header) > end or data[at] & 0x1F == 0x1F:
        raise ProtocolError("an LDAP message that contradicts its own lengths")
    length, begin = header
    return data[at], begin, begin + length


def _parts(data: bytes, begin: int, end: int) -> Iterator[Part]:
    while begin < end:
        part = _part(data, begin, end)
        begin = part[2]
        yield part


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

    def next(self, tag: int) -> tuple[int, int]:
        """Where the content of the next element, which must have this tag, begins and ends."""
        if self.tag() != tag:
            raise ProtocolError(f"an LDAP message with {self.tag():#x} where {tag:#x} belongs")
        _, begin, self._at = _part(self._data, self._at, self._end)
        return begin, self._at

    def octets(self, tag: int = OCTETS) -> bytes:
        """The next element, an octet string."""
        begin, end = self.next(tag)
        return self._data[begin:end]

    def number(self, tag: int = INTEGER) -> int:
        """The next element, an integer of at most 32 bits."""
        begin, end = self.next(tag)
        if not 1 <= end - begin <= 4:
            raise ProtocolError("an LDAP message with a number of odd size")
        return int.from_bytes(self._data[begin:end], "big", signed=True)

    def flag(self) -> bool:
        """The next element, a boolean."""
        return bool(self.octets(BOOLEAN).strip(b"\0"))

    def inside(self, tag: int) -> Reader:
        """A reader for what the next element contains."""
        return Reader(self._data, *self.next(tag))

    def each(self, tag: int) -> Iterator[Reader]:
        """A reader for each of the elements that are left, which must all have this tag."""
        while self.more():
            yield self.inside(tag)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self.more():
            raise ProtocolError("an LDAP message with more than belongs into it")

    def all_octets(self) -> list[bytes]:
        """All that is left, octet strings."""
        values = []
        for tag, begin, end in _parts(self._data, self._at, self._end):
            if tag != OCTETS:
                raise ProtocolError(f"an LDAP message with {tag:#x} where values belong")
            values.append(self._data[begin:end])
        return values


def _entry(reader: Reader) -> Any:
    name = reader.octets()
    listed = reader.inside(SEQUENCE)
    attributes: list[tuple[bytes, list[bytes]]] = []
    while listed.more():
        if len(attributes) == MOST_ATTRIBUTES:
            raise ProtocolError(f"an LDAP entry with more than {MOST_ATTRIBUTES} attributes")
        attribute = listed.inside(SEQUENCE)
        attributes.append((attribute.octets(), attribute.inside(SET).all_octets()))
    return pureldap.LDAPSearchResultEntry(objectName=name, attributes=attributes)


def _reference(reader: Reader) -> Any:
    return pureldap.LDAPSearchResultReference(uris=reader.all_octets())


def _result(kind: Any) -> Callable[[Reader], Any]:
    def read(reader: Reader) -> Any:
        code = reader.number(ENUMERATED)
        return kind(resultCode=code, matchedDN=reader.octets(), errorMessage=reader.octets())

    return read


_RESPONSES: dict[int, Callable[[Reader], Any]] = {
    0x61: _result(pureldap.LDAPBindResponse),
    0x64: _entry,
    0x65: _result(pureldap.LDAPSearchResultDone),
    0x67: _result(pureldap.LDAPModifyResponse),
    0x69: _result(pureldap.LDAPAddResponse),
    0x6B: _result(pureldap.LDAPDelResponse),
    0x73: _reference,
    0x78: _result(pureldap.LDAPExtendedResponse),
}


def _control(reader: Reader) -> Control:
    kind = reader.octets()
    critical = reader.flag() if reader.tag() == BOOLEAN else False
    return kind, critical, reader.octets() if reader.more() else b""


def read_message(data: bytes) -> Any:
    """
    The L{pureldap.LDAPMessage} in C{data}, a response to a client.

    Its controls are a list of C{(oid, critical, value)}.  Raises L{ProtocolError} for anything else.
    """
    message = Reader.of(data).inside(SEQUENCE)
    number = message.number()
    tag = message.tag()
    if tag not in _RESPONSES:
        raise ProtocolError(f"an LDAP message of unknown kind {tag:#x}")
    value = _RESPONSES[tag](message.inside(tag))
    controls = []
    if message.tag() == CONTROLS:
        listed = message.inside(CONTROLS)
        while listed.more():
            controls.append(_control(listed.inside(SEQUENCE)))
    return pureldap.LDAPMessage(value, controls=controls, id=number)


def read_page_cookie(value: bytes) -> bytes:
    """The cookie in the value of a paged results control (RFC 2696); empty after the last page."""
    page = Reader.of(value).inside(SEQUENCE)
    page.number()
    return page.octets()
