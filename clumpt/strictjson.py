"""
JSON as strangers may send it to us: read strictly, or not at all.

The size is checked first; then only ASCII, no key twice, no float, no NaN, no
integer of 2^53 or more, no control character, no deep nesting.  L{Fields}
then takes an object apart by name and type, and sees to it that nothing is
left over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from attrs import define, field

from clumpt.errors import BadDocument

#: No integer is larger, so that every reader of JSON agrees on every number.
LARGEST = 2**53 - 1
#: Brackets within brackets; more than any document of ours needs.
DEEPEST = 8

# An unfinished string matches too: so this never goes back, and takes linear time for any text.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")

T = TypeVar("T")


def dumps(document: Mapping[str, Any]) -> bytes:
    """C{document} as compact ASCII JSON; raises ValueError for NaN and the infinities."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def loads(raw: bytes, limit: int) -> dict[str, Any]:
    """
    The JSON object in C{raw}: str, int, bool, None, lists and dicts only.

    Raises L{BadDocument}, and nothing else, for anything that is not one, or is longer than C{limit} bytes.
    """
    if len(raw) > limit:
        raise BadDocument(f"{len(raw)} bytes, at most {limit} are taken")
    try:
        text = raw.decode("ascii")
        _check_depth(text)
        document = _DECODER.decode(text)
    except ValueError as wrong:
        raise BadDocument(f"no strict JSON: {blame(wrong)}") from wrong
    if not isinstance(document, dict):
        raise BadDocument("no JSON object")
    _check_strings(document)
    return document


def blame(wrong: Exception) -> str:
    """What C{wrong} says, in a bounded number of printable characters."""
    text = str(wrong.args[0] if wrong.args else wrong)
    return "".join(char if char.isprintable() else "?" for char in text[:200])


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns the ValueError and TypeError of a value's own checks into L{BadDocument}, naming C{what}."""
    try:
        yield
    except (ValueError, TypeError) as wrong:
        raise BadDocument(f"{what}: {blame(wrong)}") from wrong


@define
class Fields:
    """
    An object's fields, to be taken out one by one; each method raises L{BadDocument} if the field is
    missing or of another type.

    @ivar what: what the object is, for the text of errors.
    """

    what: str
    _left: dict[str, Any] = field(converter=dict)

    def version(self, known: int) -> None:
        """Take C{v}, which must be C{known}: what a newer version means is never guessed."""
        found = self.integer("v")
        if found != known:
            raise BadDocument(f"{self.what}: version {found} is not known here, only {known}; upgrade Clumpt")

    def integer(self, name: str, lowest: int = 0, highest: int = LARGEST) -> int:
        """An integer, C{lowest <= it <= highest}."""
        value = self._take(name, int)
        if not lowest <= value <= highest:
            raise BadDocument(f"{self.what}: {name} is not in {lowest}..{highest}")
        return value

    def text(self, name: str) -> str:
        """A string, perhaps empty."""
        return self._take(name, str)

    def flag(self, name: str) -> bool:
        """True or false."""
        return self._take(name, bool)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        return self._each(name, str)

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of integers, of any sign."""
        return self._each(name, int)

    def object(self, name: str) -> Fields:
        """The fields of an object within this one."""
        return Fields(f"{self.what}.{name}", self._take(name, dict))

    def objects(self, name: str) -> tuple[Fields, ...]:
        """A list of objects."""
        return tuple(Fields(f"{self.what}.{name}", one) for one in self._each(name, dict))

    def absent(self, name: str) -> bool:
        """Is the field null?  If so, it is taken."""
        if self._left.get(name, self) is not None:
            return False
        del self._left[name]
        return True

    def end(self) -> None:
        """Nothing may be left now."""
        if self._left:
            raise BadDocument(f"{self.what}: unknown field {min(self._left)[:40]!r}")

    def _take(self, name: str, kind: type[T]) -> T:
        value = self._left.pop(name, None)
        # Not isinstance, since True is an int there.
        if type(value) is not kind:
            raise BadDocument(f"{self.what}: {name} is missing or no {kind.__name__}")
        return value

    def _each(self, name: str, kind: type[T]) -> tuple[T, ...]:
        values = self._take(name, list)
        if not all(type(value) is kind for value in values):
            raise BadDocument(f"{self.what}: {name} holds something that is no {kind.__name__}")
        return tuple(values)


def _check_depth(text: str) -> None:
    # Before parsing, because the parser recurses; the count is exact outside strings.
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST}")


def _check_strings(value: object) -> None:
    if isinstance(value, str):
        if not value.isprintable():
            raise BadDocument("a string holds a control character")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_strings(key)
            _check_strings(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_strings(inner)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice")
    return document


def _integer(digits: str) -> int:
    # The length first: turning long texts into numbers is slow.
    if len(digits) > 17 or abs(number := int(digits)) > LARGEST:
        raise ValueError("a number of 2^53 or more")
    return number


def _refuse(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no integer")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse
)
