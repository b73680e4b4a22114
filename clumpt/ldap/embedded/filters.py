"""
Search filters: read, and judged with the three truths of RFC 4511.

None stands for undefined: neither a filter that is undefined nor its negation matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

from clumpt.errors import ProtocolError
from clumpt.ldap.ber import Reader

#: How deep filters may lie in one another; ours have depth 3.
DEEPEST = 20


@frozen
class And:
    """All of C{parts}."""

    parts: tuple[Filter, ...]


@frozen
class Or:
    """One of C{parts}."""

    parts: tuple[Filter, ...]


@frozen
class Not:
    """The contrary of C{part}."""

    part: Filter


@frozen
class Equal:
    """Has this value."""

    name: str
    value: bytes


@frozen
class AtLeast:
    """Has this value or a greater one."""

    name: str
    value: bytes


@frozen
class AtMost:
    """Has this value or a lesser one."""

    name: str
    value: bytes


@frozen
class Present:
    """Has a value."""

    name: str


@frozen
class Substrings:
    """Has a value with these parts, in this order; the outer ones may be empty."""

    name: str
    initial: bytes
    inside: tuple[bytes, ...]
    final: bytes


@frozen
class Unknown:
    """A kind of filter that is not served: undefined for every entry."""


Simple = Equal | AtLeast | AtMost | Present | Substrings
Filter = And | Or | Not | Simple | Unknown

_COMPARISONS: dict[int, Callable[[str, bytes], Filter]] = {
    0xA3: Equal,
    0xA5: AtLeast,
    0xA6: AtMost,
    0xA8: Equal,
}


def read(reader: Reader, depth: int = 0) -> Filter:
    """The filter that comes next in a message.  Raises L{ProtocolError}."""
    if depth > DEEPEST:
        raise ProtocolError(f"a filter of more than {DEEPEST} levels")
    tag = reader.tag()
    if tag in _COMPARISONS:
        assertion = reader.inside(tag)
        return _COMPARISONS[tag](_name(assertion.octets()), assertion.octets())
    match tag:
        case 0xA0 | 0xA1:
            parts = reader.inside(tag)
            return (And if tag == 0xA0 else Or)(_several(parts, depth))
        case 0xA2:
            return Not(read(reader.inside(tag), depth + 1))
        case 0x87:
            return Present(_name(reader.octets(tag)))
        case 0xA4:
            return _substrings(reader.inside(tag))
        case 0xA9:
            reader.inside(tag)
            return Unknown()
    raise ProtocolError(f"a filter of unknown kind {tag:#x}")


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").lower()


def _several(reader: Reader, depth: int) -> tuple[Filter, ...]:
    parts = []
    while reader.more():
        parts.append(read(reader, depth + 1))
    return tuple(parts)


def _substrings(reader: Reader) -> Substrings:
    name, listed = _name(reader.octets()), reader.inside(0x30)
    initial = listed.octets(0x80) if listed.tag() == 0x80 else b""
    inside = []
    while listed.tag() == 0x81:
        inside.append(listed.octets(0x81))
    final = listed.octets(0x82) if listed.tag() == 0x82 else b""
    listed.end()
    if not (initial or inside or final):
        raise ProtocolError("a filter without substrings")
    return Substrings(name, initial, tuple(inside), final)


def size(filter: Filter) -> int:
    """How many filters it consists of."""
    match filter:
        case And(parts) | Or(parts):
            return 1 + sum(map(size, parts))
        case Not(part):
            return 1 + size(part)
    return 1


def judge(filter: Filter, simple: Callable[[Simple], bool | None]) -> bool | None:
    """
    Does C{filter} match?

    @param simple: judges the filters about one attribute.
    """
    match filter:
        case And(parts):
            return _all(judge(part, simple) for part in parts)
        case Or(parts):
            none = _all(_contrary(judge(part, simple)) for part in parts)
            return _contrary(none)
        case Not(part):
            return _contrary(judge(part, simple))
        case Unknown():
            return None
    return simple(filter)


def _contrary(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _all(truths: Iterator[bool | None]) -> bool | None:
    """False if one is, else None if one is, else True."""
    undefined = False
    for truth in truths:
        if truth is False:
            return False
        undefined = undefined or truth is None
    return None if undefined else True
