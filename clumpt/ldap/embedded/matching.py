"""What values mean: whether they are well formed, and when two are the same or in order (RFC 4517)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from attrs import define, field

from clumpt.ldap import dn
from clumpt.ldap.embedded.results import Code, Refused
from clumpt.ldap.schema import AttributeType, Schema

#: A name, its own part first; each part is C{type=value} in normal form.
Dn = tuple[str, ...]
#: What two spellings of one value have in common; keys of one attribute can be compared by order.
Key = int | str | bytes | Dn

_NUMBER = re.compile(rb"0|-?[1-9][0-9]{0,63}")
_TIME = re.compile(r"(\d{10})(?:(\d\d)(?:(\d\d)(?:[.,](\d{1,9}))?)?)?(?:Z|([+-])(\d\d)(\d\d)?)", re.ASCII)
#: Names are few, short, and come again and again; of a hostile flood only so many are kept.
_LONGEST, _REMEMBERED = 1024, 16384


def _number(value: bytes) -> int:
    if _NUMBER.fullmatch(value) is None:
        raise ValueError("not a number")
    return int(value)


def _text(value: bytes) -> str:
    """Unicode in its normal form, inner spaces single, none outside: how LDAP compares text."""
    text = unicodedata.normalize("NFKC", value.decode("utf-8"))
    if not text:
        raise ValueError("empty")
    return " ".join(part for part in text.split(" ") if part) or " "


def _ascii(value: bytes) -> str:
    text = value.decode("ascii")
    return " ".join(part for part in text.split(" ") if part)


def _time(value: bytes) -> str:
    """A generalized time in UTC, so written that the order of times is that of texts."""
    found = _TIME.fullmatch(value.decode("ascii"))
    if found is None:
        raise ValueError("not a time")
    hour, minute, second, fraction, sign, hours, minutes = found.groups()
    moment = datetime.strptime(hour + (minute or "00") + (second or "00"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    if sign:
        away = timedelta(hours=int(hours), minutes=int(minutes or 0))
        moment += away if sign == "-" else -away
    text = f"{moment:%Y%m%d%H%M%S}.{fraction or ''}".rstrip("0.")
    return text if len(text) >= 14 else text.ljust(14, "0")


_SYNTAXES: dict[str, Callable[[bytes], Key]] = {
    "1.3.6.1.4.1.1466.115.121.1.15": _text,
    "1.3.6.1.4.1.1466.115.121.1.24": _time,
    "1.3.6.1.4.1.1466.115.121.1.26": _ascii,
    "1.3.6.1.4.1.1466.115.121.1.27": _number,
    "1.3.6.1.4.1.1466.115.121.1.40": bytes,
}
_NAME_SYNTAX = "1.3.6.1.4.1.1466.115.121.1.12"
_OID_SYNTAX = "1.3.6.1.4.1.1466.115.121.1.38"


@define(eq=False)
class Matching:
    """The meaning of values under C{schema}."""

    schema: Schema
    _names: Callable[[str], Dn] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._names = lru_cache(_REMEMBERED)(self._parse)

    def kind(self, name: str) -> AttributeType:
        """The attribute of that name; refused if there is none."""
        kind = self.schema.attributes.get(name.lower())
        if kind is None:
            raise Refused(Code.UNDEFINED_TYPE, f"{name[:100]}: attribute type undefined")
        return kind

    def key(self, kind: AttributeType, value: bytes) -> Key:
        """What C{value} means; refused if it is malformed."""
        try:
            return self._key(kind, value)
        except (ValueError, OverflowError, Refused) as wrong:
            raise Refused(Code.BAD_SYNTAX, f"{kind.name}: value invalid per syntax: {wrong}") from wrong

    def _key(self, kind: AttributeType, value: bytes) -> Key:
        if kind.syntax == _NAME_SYNTAX:
            return self._short(value)
        if kind.syntax == _OID_SYNTAX:
            return self._class(value.decode("ascii"))
        key = _SYNTAXES[kind.syntax](value)
        return key.casefold() if isinstance(key, str) and kind.equality.startswith("caseIgnore") else key

    def _class(self, name: str) -> str:
        for made in self.schema.classes.values():
            if name.lower() == made.name.lower() or name == made.oid:
                return made.name.lower()
        raise ValueError("unknown object class")

    def name(self, raw: bytes) -> Dn:
        """The name written as C{raw}, () for an empty one; refused if it is malformed."""
        try:
            return self._short(raw)
        except (ValueError, Refused) as wrong:
            raise Refused(Code.BAD_NAME, f"invalid DN: {wrong}") from wrong

    def _short(self, raw: bytes) -> Dn:
        if len(raw) > _LONGEST:
            raise ValueError(f"longer than {_LONGEST} bytes")
        return self._names(raw.decode("utf-8"))

    def _parse(self, text: str) -> Dn:
        parts = dn.parse(text) if text.strip(" ") else ()
        return tuple(self._part(name, value) for name, value in parts)

    def _part(self, name: str, value: str) -> str:
        kind = self.kind(name)
        key = self._key(kind, value.encode())
        return f"{kind.name.lower()}={key if isinstance(key, int | str) else value}"

    def naming(self, name: Dn) -> tuple[AttributeType, bytes]:
        """The attribute and the value, in normal form, that the entry C{name} is named by."""
        kind, _, value = name[0].partition("=")
        return self.kind(kind), value.encode()
