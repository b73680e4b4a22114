"""An index over one attribute: equality and order without looking at every entry."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, field

from clumpt.ldap.embedded.matching import Dn, Key


@define(eq=False)
class Index:
    """Which entries have which value of an attribute."""

    #: For each value the entries, in the order in which they came.
    _entries: dict[Key, dict[Dn, None]] = field(factory=dict)
    #: The values in order: Any, because mypy cannot know that keys of one attribute are alike.
    _sorted: list[Any] = field(factory=list)

    def add(self, values: Iterable[Key], dn: Dn) -> None:
        """The entry C{dn} now has these values too."""
        for value in values:
            if value not in self._entries:
                self._entries[value] = {}
                insort(self._sorted, value)
            self._entries[value][dn] = None

    def remove(self, values: Iterable[Key], dn: Dn) -> None:
        """The entry C{dn} no longer has these values."""
        for value in values:
            entries = self._entries[value]
            del entries[dn]
            if not entries:
                del self._entries[value]
                del self._sorted[bisect_left(self._sorted, value)]

    def equal(self, value: Key) -> Iterable[Dn]:
        """The entries with this value."""
        return self._entries.get(value, ())

    def span(self, low: Key | None, high: Key | None) -> range:
        """The places of the values from C{low} to C{high}; None is no bound."""
        first = 0 if low is None else bisect_left(self._sorted, low)
        last = len(self._sorted) if high is None else bisect_right(self._sorted, high)
        return range(first, last)

    def within(self, places: range) -> Iterator[Dn]:
        """The entries with the values at C{places}, in order of value."""
        for place in places:
            yield from self._entries[self._sorted[place]]
