"""Distinguished names (RFC 4514): made from values, and compared by what they mean."""

from __future__ import annotations

import re

from attrs import field, frozen

from clumpt.ldap import layout
from clumpt.ldap.bootstrap import checked_base

#: Type and value of each part, the entry's own first; in lower case, as LDAP compares ours.
Key = tuple[tuple[str, str], ...]

_PART = re.compile(r" *([A-Za-z][A-Za-z0-9-]*) *= *((?:[^\\,+\";<>]|\\[0-9A-Fa-f]{2}|\\.)*)", re.DOTALL)
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)


def escape(value: str) -> str:
    """C{value} as it may stand in a distinguished name."""
    text = re.sub(r'([\\",+;<>=#])', r"\\\1", value).replace("\0", r"\00")
    if text.startswith(" "):
        text = "\\" + text
    return text[:-1] + r"\ " if len(value) > 1 and text.endswith(" ") else text


def child(kind: str, value: str, parent: str) -> str:
    """The name of the entry C{kind=value} below C{parent}."""
    return f"{kind}={escape(value)},{parent}"


def _plain(found: re.Match[str]) -> str:
    if found[1]:
        return bytes.fromhex(found[1].replace("\\", "")).decode("utf-8")
    return found[2]


def parse(text: str) -> tuple[tuple[str, str], ...]:
    """The parts of a name as C{(type, value)}, the entry's own first; raises ValueError."""
    parts = []
    at = 0
    while True:
        found = _PART.match(text, at)
        if found is None:
            raise ValueError(f"not a distinguished name: {text!r}")
        raw = found[2]
        bare = raw.rstrip(" ")
        raw = raw if bare.endswith("\\") else bare
        parts.append((found[1].lower(), _ESCAPED.sub(_plain, raw)))
        at = found.end()
        if at == len(text):
            return tuple(parts)
        if text[at] != ",":
            raise ValueError(f"{text[at]!r} must be escaped in {text!r}")
        at += 1


def key(text: str) -> Key:
    """What two spellings of one name have in common; raises ValueError."""
    return tuple((kind, value.lower()) for kind, value in parse(text))


@frozen
class Tree:
    """
    Where things lie below the base of a deployment (see L{layout}).

    Raises L{BadInput} if this cannot be a base.
    """

    base: str = field(converter=checked_base)

    def branch(self, branch: str) -> str:
        """The entry at the top of a branch, one of those in L{layout}."""
        return f"{branch},{self.base}"

    def entry(self, branch: str, name: str) -> str:
        """The entry C{cn=name} in a branch."""
        return child("cn", name, self.branch(branch))

    def update(self, seq: int) -> str:
        """An update."""
        return child("clumptSeq", str(seq), self.branch(layout.UPDATES))

    def name_in(self, branch: str, text: str) -> str:
        """The own name of the entry C{text}, which lies in C{branch}; raises ValueError if it does not."""
        parts = parse(text)
        if key(text)[1:] != key(self.branch(branch)):
            raise ValueError(f"{text!r} does not lie in {self.branch(branch)!r}")
        return parts[0][1]
