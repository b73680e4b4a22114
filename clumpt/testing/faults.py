"""
What may be wrong between hosts: black holes of several shapes, and slow links.

A cut is a predicate: does nothing get from C{source} to C{target}?  The shapes are those that Jepsen made
known.  Nothing here does anything to a wire; L{clumpt.testing.net} asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from attrs import define, field, frozen

__all__ = ["Cut", "Faults", "Slow", "between", "bridge", "isolate", "one_way", "ring", "split"]

Cut = Callable[[str, str], bool]


def one_way(a: str, b: str) -> Cut:
    """Nothing gets from C{a} to C{b}."""
    return lambda source, target: source == a and target == b


def between(a: str, b: str) -> Cut:
    """Nothing gets from one of the two to the other."""
    return lambda source, target: (source, target) in ((a, b), (b, a))


def isolate(one: str) -> Cut:
    """C{one} is alone."""
    return lambda source, target: (source == one) is not (target == one)


def split(side: Sequence[str]) -> Cut:
    """C{side} and all others do not hear each other."""
    inside = frozenset(side)
    return lambda source, target: (source in inside) is not (target in inside)


def bridge(side: Sequence[str], middle: str) -> Cut:
    """C{side} and all others do not hear each other, but both hear C{middle}."""
    halves = split(side)
    return lambda source, target: middle not in (source, target) and halves(source, target)


def ring(hosts: Sequence[str]) -> Cut:
    """Each host hears only the half of C{hosts} that is nearest to it on a ring: no two hear the same."""
    place = {host: index for index, host in enumerate(hosts)}
    reach = max(1, len(hosts) // 4)

    def blocks(source: str, target: str) -> bool:
        if source not in place or target not in place:
            return False
        apart = abs(place[source] - place[target])
        return min(apart, len(place) - apart) > reach

    return blocks


@frozen
class Slow:
    """
    What a bad link adds.

    @ivar delay: seconds more, one way.
    @ivar rate: bytes per second that one wire gets over it.
    """

    delay: float = 0.0
    rate: float = float("inf")


@define(eq=False)
class Faults:
    """The faults between hosts that are in force now."""

    _cuts: dict[int, Cut] = field(factory=dict, init=False)
    _slow: dict[tuple[str, str], Slow] = field(factory=dict, init=False)
    _names: count[int] = field(factory=lambda: count(1), init=False)

    def cut(self, cut: Cut) -> int:
        """Put C{cut} in force; returns the number to mend it by."""
        number = next(self._names)
        self._cuts[number] = cut
        return number

    def mend(self, number: int) -> None:
        """End one cut; does nothing if it was ended before."""
        self._cuts.pop(number, None)

    def heal(self) -> None:
        """End all cuts; all links are fast again."""
        self._cuts.clear()
        self._slow.clear()

    def cuts(self, source: str, target: str) -> bool:
        """Does nothing get from C{source} to C{target}?"""
        return bool(self._cuts) and any(cut(source, target) for cut in self._cuts.values())

    def slow_down(self, a: str, b: str, slow: Slow | None) -> None:
        """Make the link of two hosts slow in both directions, or good again with None."""
        for path in ((a, b), (b, a)):
            self._slow.pop(path, None)
            if slow is not None:
                self._slow[path] = slow

    def slow(self, source: str, target: str) -> Slow | None:
        """What the link adds, None for nothing."""
        return self._slow.get((source, target)) if self._slow else None
