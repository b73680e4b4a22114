"""Where the bytes of a package came from: counted per package, for the operator.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from attrs import evolve, frozen

from clumpt.pieces import Digest

#: Packages of which a peer tells where they came from: the newest.
MOST_TOLD = 8
#: Names of those who sent wrong pieces of one package that are remembered.
MOST_SPOILERS = 8
#: What stands for nobody.
_NOBODY = "-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Origin(StrEnum):
    """Who sent something."""

    SUBMITTER = "submitter"
    RACK = "same rack"
    GROUP = "same group"
    OTHER = "others"


@frozen
class Provenance:
    """
    Bytes of one package by who sent them.

    @ivar duplicates: bytes that came although they were here already.
    @ivar wrong: pieces that were not the signed ones.
    @ivar spoilers: peers that sent those, by name, at most L{MOST_SPOILERS}.
    """

    # Made for each piece that comes: so what others say is looked at where it is read.
    submitter: int = 0
    rack: int = 0
    group: int = 0
    others: int = 0
    duplicates: int = 0
    wrong: int = 0
    spoilers: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All bytes that were of use."""
        return self.submitter + self.rack + self.group + self.others

    @property
    def parts(self) -> Mapping[Origin, int]:
        """The useful bytes by who sent them; every kind is named."""
        return {
            Origin.SUBMITTER: self.submitter,
            Origin.RACK: self.rack,
            Origin.GROUP: self.group,
            Origin.OTHER: self.others,
        }

    def came(self, origin: Origin, size: int) -> Provenance:
        """C{size} useful bytes more from C{origin}."""
        match origin:
            case Origin.SUBMITTER:
                return evolve(self, submitter=self.submitter + size)
            case Origin.RACK:
                return evolve(self, rack=self.rack + size)
            case Origin.GROUP:
                return evolve(self, group=self.group + size)
        return evolve(self, others=self.others + size)

    def came_twice(self, size: int) -> Provenance:
        """C{size} bytes more that were here already."""
        return evolve(self, duplicates=self.duplicates + size)

    def came_wrong(self, peer: str) -> Provenance:
        """One more piece that was not the signed one, from C{peer}."""
        spoilers = sorted({*self.spoilers, peer}) if len(self.spoilers) < MOST_SPOILERS else self.spoilers
        return evolve(self, wrong=self.wrong + 1, spoilers=tuple(spoilers))

    def encode(self) -> str:
        """One short line of text, which L{parse} reads."""
        numbers = (self.submitter, self.rack, self.group, self.others, self.duplicates, self.wrong)
        return " ".join([*map(str, numbers), ",".join(self.spoilers) or _NOBODY])

    @classmethod
    def parse(cls, text: str) -> Provenance:
        """What L{encode} wrote; raises ValueError for anything else."""
        *words, names = text.split(" ")
        if not all(word.isascii() and word.isdigit() for word in words):
            raise ValueError(f"no numbers of bytes: {text!r}")
        submitter, rack, group, others, duplicates, wrong = map(int, words)
        spoilers = () if names == _NOBODY else tuple(names.split(","))
        if len(spoilers) > MOST_SPOILERS or not all(map(_NAME.fullmatch, spoilers)):
            raise ValueError(f"no names of peers: {text!r}")
        return cls(submitter, rack, group, others, duplicates, wrong, spoilers)

    def __str__(self) -> str:
        text = ", ".join(f"{size} bytes from {origin}" for origin, size in self.parts.items() if size)
        return f"{text or 'nothing'}; {self.duplicates} bytes twice, {self.wrong} wrong pieces"


#: What a peer tells: a package, by digest, and where it came from.
Source = tuple[Digest, Provenance]


def summed(provenances: Iterable[Provenance]) -> Provenance:
    """All of C{provenances} together, without the names."""
    every = list(provenances)
    return Provenance(
        submitter=sum(one.submitter for one in every),
        rack=sum(one.rack for one in every),
        group=sum(one.group for one in every),
        others=sum(one.others for one in every),
        duplicates=sum(one.duplicates for one in every),
        wrong=sum(one.wrong for one in every),
    )
