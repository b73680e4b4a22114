"""How one value of the configuration is written: text to typed value, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Generic, TypeVar

from attrs import frozen

T = TypeVar("T")

UNITS = {"": 1, "k": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"(\d{1,15})([kMGT]?)")
_URI = re.compile(r"ldaps?://[^\s/]+/?")


@frozen
class Kind(Generic[T]):
    """
    A sort of values.

    @ivar what: what to write, to complete "must be ...".
    @ivar parse: takes the text and the folder that relative paths start from; raises ValueError,
        whose text, if there is any, says more than C{what}.
    @ivar write: the text that C{parse} reads as this value.
    """

    what: str
    parse: Callable[[str, Path], T]
    write: Callable[[T], str]


def nearest(word: str, known: Collection[str]) -> str:
    """C{" (did you mean X?)"}, or nothing if no known word is near."""
    close = get_close_matches(word, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _kind(what: str, parse: Callable[[str], T], write: Callable[[T], str]) -> Kind[T]:
    return Kind(what, lambda text, _: parse(text), write)


def matching(what: str, pattern: str) -> Kind[str]:
    """Text of which the whole matches C{pattern}."""
    compiled = re.compile(pattern)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError
        return text

    return _kind(what, parse, str)


def whole(low: int, high: int) -> Kind[int]:
    """A whole number between two bounds, both allowed."""

    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return _kind(f"a whole number from {low} to {high}", parse, str)


def real(what: str, low: float, high: float) -> Kind[float]:
    """A number between two bounds, both allowed."""

    def parse(text: str) -> float:
        number = float(text)
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError
        return number

    return _kind(what, parse, lambda number: repr(number).removesuffix(".0"))


def choice(*words: str) -> Kind[str]:
    """One of some words."""
    what = ", ".join(words[:-1]) + f" or {words[-1]}"

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(what + nearest(text, words))
        return text

    return _kind(what, parse, str)


def some_of(*words: str) -> Kind[tuple[str, ...]]:
    """Any number of some words, between blanks."""
    what = "some of " + " ".join(words)

    def parse(text: str) -> tuple[str, ...]:
        given = tuple(text.split())
        for word in given:
            if word not in words:
                raise ValueError(f"{what}, not {word}{nearest(word, words)}")
        return given

    return _kind(what, parse, " ".join)


def _yes_no(text: str) -> bool:
    try:
        return {"yes": True, "no": False}[text.lower()]
    except KeyError:
        raise ValueError from None


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError
    return int(match[1]) * UNITS[match[2]]


def _write_size(size: int) -> str:
    unit = max((u for u in UNITS if size % UNITS[u] == 0), key=UNITS.__getitem__) if size else ""
    return f"{size // UNITS[unit]}{unit}"


def _path(text: str, folder: Path) -> Path:
    if not text or not text.isprintable():
        raise ValueError
    return folder / text


def _optional_path(text: str, folder: Path) -> Path | None:
    return _path(text, folder) if text else None


def _uris(text: str) -> tuple[str, ...]:
    uris = tuple(text.split())
    if not all(_URI.fullmatch(uri) for uri in uris):
        raise ValueError
    return uris


YES_NO = _kind("yes or no", _yes_no, lambda value: "yes" if value else "no")
SECONDS = real("a number of seconds, such as 10 or 0.5", 0.001, 86400 * 366.0)
FRACTION = real("a number from 0 to 1", 0.0, 1.0)
SIZE = _kind("a number of bytes, such as 500k, 20M or 10G", _size, _write_size)
PORT = whole(0, 65535)
PATH = Kind("a path", _path, str)
OPTIONAL_PATH = Kind("a path or nothing", _optional_path, lambda path: str(path) if path else "")
URIS = _kind("LDAP URIs, such as ldap://ldap1.example.org ldaps://ldap2.example.org", _uris, " ".join)
