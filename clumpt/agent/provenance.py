"""Where the bytes of a package came from: counted per package, for the operator.  Pure."""

from __future__ import annotations

from enum import StrEnum

from attrs import evolve, frozen


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
    """

    submitter: int = 0
    rack: int = 0
    group: int = 0
    others: int = 0
    duplicates: int = 0
    wrong: int = 0

    @property
    def total(self) -> int:
        """All bytes that were of use."""
        return self.submitter + self.rack + self.group + self.others

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

    def came_wrong(self) -> Provenance:
        """One more piece that was not the signed one."""
        return evolve(self, wrong=self.wrong + 1)

    def __str__(self) -> str:
        parts = {
            Origin.SUBMITTER: self.submitter,
            Origin.RACK: self.rack,
            Origin.GROUP: self.group,
            Origin.OTHER: self.others,
        }
        text = ", ".join(f"{size} bytes from {origin}" for origin, size in parts.items() if size)
        return f"{text or 'nothing'}; {self.duplicates} bytes twice, {self.wrong} wrong pieces"
