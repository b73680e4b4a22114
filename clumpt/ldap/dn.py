"""Distinguished names (RFC 4514): made from values, and compared by what they mean."""

from __future__ import annotations

import re

from attrs import field, frozen

from clumpt.ldap import layout
from clumpt.ldap.bootstrap import checked_base

#: Type and value of each part, the entry's own first; in lower case, as LDAP compares ours.
Key = tuple[tuple[str, str], ...]

#: Characters of a name that we look at; ours have some hundred.
MOST = 4096

# A space counts unless only spaces follow it.
_VALUE = r"(?:[^\\, +\";<>]| (?! *(?:,|\Z))|\\[0-9A-Fa-f]{2}|\\.)*"
_PART = re.compile(rf" *([A-Za-z][A-Za-z0-9-]*) *= *({_VALUE}) *", re.DOTALL)
_OWN = re.compile(r"cn=[A-Za-z0-9._-]+")
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
    while (found := _PART.match(text, at)) is not None and len(text) <= MOST:
        parts.append((found[1].lower(), _ESCAPED.sub(_plain, found[2])))
        at = found.end()
        if at == len(text):
            return tuple(parts)
        if text[at] != ",":
            break
        at += 1
    raise ValueError(f"not a distinguished name: {text[:200]!r}")


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
        top = self.branch(branch)
        own, _, rest = text.partition(",")
        if rest == top and _OWN.fullmatch(own):
            # As we write it ourselves; ten thousand of them take a while otherwise.
            return own[3:]
        parts = parse(text)
        if key(text)[1:] != key(top):
            raise ValueError(f"{text[:200]!r} does not lie in {top!r}")
        return parts[0][1]
