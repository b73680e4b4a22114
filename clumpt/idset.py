"""
Sets of sequence ids, kept as ranges.

Ids are dense (H5), so what a peer knows is a few ranges however long the
history is, and comparing two tables costs what differs, not what is known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from math import inf

from attrs import field, frozen

Range = tuple[int, int]


def _merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if first < 1 or last < first:
            raise ValueError(f"not a range of ids: {first}-{last}")
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


@frozen
class IdSet:
    """
    An immutable set of ids >= 1.

    @ivar ranges: ascending, disjoint and never adjacent C{(first, last)} pairs.
    """

    ranges: tuple[Range, ...] = field(default=(), converter=_merged)

    @classmethod
    def of(cls, ids: Iterable[int]) -> IdSet:
        """The set of exactly these ids."""
        return cls((one, one) for one in ids)

    @classmethod
    def upto(cls, last: int) -> IdSet:
        """All ids from 1 to C{last}, which may be 0."""
        return cls([(1, last)] if last > 0 else ())

    def __contains__(self, one: int) -> bool:
        # Of pairs that begin alike this is the last: so it stands right behind the range that may have it.
        at = bisect_right(self.ranges, (one, inf))
        return at > 0 and one <= self.ranges[at - 1][1]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __or__(self, other: IdSet) -> IdSet:
        if not other.ranges or self.ranges == other.ranges:
            return self
        return IdSet(self.ranges + other.ranges) if self.ranges else other

    def __sub__(self, other: IdSet) -> IdSet:
        mine, theirs = self.ranges, other.ranges
        if not (mine and theirs) or other.last < mine[0][0] or self.last < theirs[0][0]:
            return self
        left: list[Range] = []
        for first, last in self.ranges:
            for cut_first, cut_last in other.ranges:
                if cut_last < first or cut_first > last:
                    continue
                if cut_first > first:
                    left.append((first, cut_first - 1))
                first = cut_last + 1
                if first > last:
                    break
            if first <= last:
                left.append((first, last))
        return IdSet(left)

    def with_id(self, one: int) -> IdSet:
        """This set and C{one}."""
        return IdSet((*self.ranges, (one, one)))

    @property
    def settled(self) -> int:
        """The high-water mark: every id from 1 to this one is in the set."""
        return self.ranges[0][1] if self.ranges and self.ranges[0][0] == 1 else 0

    @property
    def last(self) -> int:
        """The highest id in the set, 0 for the empty set."""
        return self.ranges[-1][1] if self.ranges else 0

    def __str__(self) -> str:
        """As people and the directory write it: C{1-4,7,9-12}."""
        return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in self.ranges)

    @classmethod
    def parse(cls, text: str) -> IdSet:
        """The set that C{str} wrote; raises ValueError for anything else."""
        if not text:
            return cls()
        pairs = (part.partition("-") for part in text.split(","))
        return cls([(int(first), int(last) if dash else int(first)) for first, dash, last in pairs])
