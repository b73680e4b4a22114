"""LDAP requests as values, read from messages, and answers written as messages (RFC 4511)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import frozen

from clumpt.errors import ProtocolError
from clumpt.ldap.ber import BOOLEAN, CONTROLS, ENUMERATED, SEQUENCE, SET, Reader
from clumpt.ldap.embedded import filters
from clumpt.ldap.embedded.encoding import element, integer, octets
from clumpt.ldap.embedded.filters import Filter
from clumpt.ldap.embedded.results import Code

_ENTRY, _DONE, _EXTENDED = 0x64, 0x65, 0x78

PAGING = b"1.2.840.113556.1.4.319"
STARTTLS = b"1.3.6.1.4.1.1466.20037"
WHOAMI = b"1.3.6.1.4.1.4203.1.11.3"
_DISCONNECTION = b"1.3.6.1.4.1.1466.20036"


@frozen
class Bind:
    """
    Authenticate.

    @ivar mechanism: of SASL; None for a simple bind.
    @ivar credentials: the password, or what belongs to the mechanism; None if they were left out.
    """

    version: int
    dn: bytes
    mechanism: bytes | None
    credentials: bytes | None


@frozen
class Unbind:
    """The end of the connection."""


@frozen
class Search:
    """Find entries."""

    base: bytes
    scope: int
    size_limit: int
    types_only: bool
    filter: Filter
    attributes: tuple[bytes, ...]


@frozen
class Change:
    """One change of an attribute: C{kind} 0 adds, 1 deletes, 2 replaces, 3 increments."""

    kind: int
    name: bytes
    values: tuple[bytes, ...]


@frozen
class Modify:
    """Change an entry, all or nothing."""

    dn: bytes
    changes: tuple[Change, ...]


@frozen
class Add:
    """Create an entry."""

    dn: bytes
    attributes: tuple[tuple[bytes, tuple[bytes, ...]], ...]


@frozen
class Delete:
    """Remove an entry."""

    dn: bytes


@frozen
class Compare:
    """Has the entry this value?"""

    dn: bytes
    name: bytes
    value: bytes


@frozen
class Abandon:
    """Never mind the answer."""


@frozen
class Rename:
    """Give an entry another name, which is not served."""


@frozen
class Extended:
    """Something that has an OID."""

    oid: bytes


Request = Bind | Unbind | Search | Modify | Add | Delete | Compare | Abandon | Rename | Extended


@frozen
class Control:
    """Something that goes with a request."""

    oid: bytes
    critical: bool
    value: bytes


@frozen
class Message:
    """A request, its number on the connection, and its controls."""

    number: int
    request: Request
    controls: tuple[Control, ...]


def _bind(reader: Reader) -> Bind:
    version, dn = reader.number(), reader.octets()
    if reader.tag() == 0x80:
        return Bind(version, dn, None, reader.octets(0x80))
    sasl = reader.inside(0xA3)
    mechanism = sasl.octets()
    return Bind(version, dn, mechanism, sasl.octets() if sasl.more() else None)


def _search(reader: Reader) -> Search:
    base, scope = reader.octets(), reader.number(ENUMERATED)
    reader.number(ENUMERATED)  # There are no aliases to follow.
    size_limit = reader.number()
    reader.number()  # Searches are quick or refused; they have no time limit.
    types_only = reader.flag()
    if not 0 <= scope <= 2 or size_limit < 0:
        raise ProtocolError("a search with an unknown scope or a negative limit")
    found = Search(
        base, scope, size_limit, types_only, filters.read(reader), tuple(reader.inside(SEQUENCE).all_octets())
    )
    reader.end()
    return found


def _modify(reader: Reader) -> Modify:
    dn, changes = reader.octets(), []
    for one in reader.inside(SEQUENCE).each(SEQUENCE):
        kind, attribute = one.number(ENUMERATED), one.inside(SEQUENCE)
        changes.append(Change(kind, attribute.octets(), tuple(attribute.inside(SET).all_octets())))
    return Modify(dn, tuple(changes))


def _add(reader: Reader) -> Add:
    dn, listed = reader.octets(), reader.inside(SEQUENCE)
    attributes = [(one.octets(), tuple(one.inside(SET).all_octets())) for one in listed.each(SEQUENCE)]
    return Add(dn, tuple(attributes))


def _compare(reader: Reader) -> Compare:
    dn, assertion = reader.octets(), reader.inside(SEQUENCE)
    return Compare(dn, assertion.octets(), assertion.octets())


#: By the tag of the request: how its content is read, and the tag of its answer (0 for none).
_CONSTRUCTED: dict[int, Callable[[Reader], Request]] = {
    0x60: _bind,
    0x63: _search,
    0x66: _modify,
    0x68: _add,
    0x6C: lambda reader: Rename(),
    0x6E: _compare,
    0x77: lambda reader: Extended(reader.octets(0x80)),
}
_PRIMITIVE: dict[int, Callable[[bytes], Request]] = {
    0x42: lambda content: Unbind(),
    0x4A: Delete,
    0x50: lambda content: Abandon(),
}
_ANSWERS: dict[type[Request], int] = {
    Bind: 0x61,
    Search: _DONE,
    Modify: 0x67,
    Add: 0x69,
    Delete: 0x6B,
    Rename: 0x6D,
    Compare: 0x6F,
    Extended: _EXTENDED,
}


def read(data: bytes) -> Message:
    """The request in C{data}, a whole message.  Raises L{ProtocolError}."""
    reader = Reader.of(data).inside(SEQUENCE)
    number, tag = reader.number(), reader.tag()
    request: Request
    if tag in _CONSTRUCTED:
        request = _CONSTRUCTED[tag](reader.inside(tag))
    elif tag in _PRIMITIVE:
        request = _PRIMITIVE[tag](reader.octets(tag))
    else:
        raise ProtocolError(f"a request of unknown kind {tag:#x}")
    if number <= 0 and not isinstance(request, Unbind):
        raise ProtocolError(f"a request with the number {number}")
    controls = reader.inside(CONTROLS).each(SEQUENCE) if reader.tag() == CONTROLS else ()
    message = Message(number, request, tuple(map(_control, controls)))
    reader.end()
    return message


def _control(reader: Reader) -> Control:
    oid = reader.octets()
    critical = reader.flag() if reader.tag() == BOOLEAN else False
    return Control(oid, critical, reader.octets() if reader.more() else b"")


def read_page(value: bytes) -> tuple[int, bytes]:
    """Size and cookie in the value of a paging control (RFC 2696).  Raises L{ProtocolError}."""
    page = Reader.of(value).inside(SEQUENCE)
    return page.number(), page.octets()


def page(cookie: bytes) -> bytes:
    """The paging control of an answer: what to send for the next page, empty after the last."""
    value = element(SEQUENCE, integer(0), octets(cookie))
    return element(SEQUENCE, octets(PAGING), octets(value))


def _message(number: int, operation: bytes, controls: bytes = b"") -> bytes:
    tail = element(CONTROLS, controls) if controls else b""
    return element(SEQUENCE, integer(number), operation, tail)


def _result(tag: int, code: Code, text: str, matched: str, more: bytes) -> bytes:
    parts = (octets(matched.encode()), octets(text.encode()))
    return element(tag, integer(code, ENUMERATED), *parts, more)


def answer(
    message: Message,
    code: Code = Code.SUCCESS,
    text: str = "",
    matched: str = "",
    *,
    value: bytes | None = None,
    controls: bytes = b"",
) -> bytes:
    """
    The final answer to C{message}.

    @param value: what an extended request asked for.
    @param controls: as written by L{page}.
    """
    more = b"" if value is None else element(0x8B, value)
    operation = _result(_ANSWERS[type(message.request)], code, text, matched, more)
    return _message(message.number, operation, controls)


def entry(number: int, dn: str, attributes: Iterable[tuple[str, Iterable[bytes]]]) -> bytes:
    """One entry that a search found."""
    listed = (
        element(SEQUENCE, octets(name.encode()), element(SET, *map(octets, values)))
        for name, values in attributes
    )
    return _message(number, element(_ENTRY, octets(dn.encode()), element(SEQUENCE, *listed)))


def farewell(code: Code, text: str) -> bytes:
    """The notice that the server ends the connection."""
    return _message(0, _result(_EXTENDED, code, text, "", element(0x8A, _DISCONNECTION)))
