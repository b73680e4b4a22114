"""Finding entries: which to look at, which match, what of them is shown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from attrs import frozen

from clumpt.ldap import layout
from clumpt.ldap.embedded import filters
from clumpt.ldap.embedded.entries import Stored
from clumpt.ldap.embedded.filters import And, AtLeast, AtMost, Equal, Filter, Or, Present, Simple, Substrings
from clumpt.ldap.embedded.matching import Dn, Key
from clumpt.ldap.embedded.results import Refused
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.schema import AttributeType

_SECRET = layout.SECRET.lower()


@frozen
class Finder:
    """
    Looks for entries.

    @ivar secrets: may filters ask for, and answers show, what L{layout.SECRET} holds?
    """

    store: Store
    secrets: bool

    def candidates(self, base: Dn, scope: int, filter: Filter) -> list[Stored]:
        """The entries in scope that may match, in the order in which they were added."""
        planned = self._plan(filter)
        if planned is None:
            found = list(self.store.scope(base, scope))
        else:
            context = self.store.context(base)
            within = (
                dn for dn in planned if _in_scope(dn, base, scope) and self.store.context(dn) == context
            )
            found = [self.store.get(dn) for dn in within]
        return sorted(found, key=lambda entry: entry.number)

    def _plan(self, filter: Filter) -> Collection[Dn] | None:
        """A superset of what matches, from the indexes; None if they do not help."""
        match filter:
            case Equal() | AtLeast() | AtMost():
                return self._range([filter])
            case And(parts):
                return self._narrowest(parts)
            case Or(parts):
                plans = [self._plan(part) for part in parts]
                return {dn for plan in plans for dn in plan or ()} if None not in plans else None
        return None

    def _narrowest(self, parts: tuple[Filter, ...]) -> Collection[Dn] | None:
        """The smallest plan for one of C{parts}; bounds of the same attribute are taken together."""
        compared: dict[str, list[Equal | AtLeast | AtMost]] = {}
        plans = []
        for part in parts:
            if isinstance(part, Equal | AtLeast | AtMost):
                compared.setdefault(part.name, []).append(part)
            else:
                plans.append(self._plan(part))
        plans += [self._range(together) for together in compared.values()]
        return min((plan for plan in plans if plan is not None), key=len, default=None)

    def _range(self, parts: list[Equal | AtLeast | AtMost]) -> Collection[Dn] | None:
        """The entries between the bounds, all of one attribute."""
        index = self.store.indexes.get(parts[0].name)
        if index is None:
            return None
        kind = self.store.matching.kind(parts[0].name)
        low: Key | None = None
        high: Key | None = None
        for part in parts:
            value = self._key(kind, part.value)
            if value is None:
                return ()
            if isinstance(part, Equal):
                return tuple(index.equal(value))
            # One of several bounds is enough: what is too much is sorted out later.
            low = value if isinstance(part, AtLeast) else low
            high = value if isinstance(part, AtMost) else high
        return dict.fromkeys(index.within(index.span(low, high)))

    def _key(self, kind: AttributeType, value: bytes) -> Key | None:
        try:
            return self.store.matching.key(kind, value)
        except Refused:
            return None

    def matches(self, filter: Filter, entry: Stored) -> bool:
        """Does C{entry} match?"""
        return filters.judge(filter, lambda simple: self._simple(simple, entry)) is True

    def _simple(self, filter: Simple, entry: Stored) -> bool | None:
        kind = self.store.schema.attributes.get(filter.name)
        if kind is None or (kind.name.lower() == _SECRET and not self.secrets):
            return None
        attribute = entry.attributes.get(kind.name.lower())
        values = attribute.values if attribute else {}
        if isinstance(filter, Present):
            return bool(values)
        if isinstance(filter, Substrings):
            return self._substrings(kind, filter, values)
        return self._compared(kind, filter, values)

    def _compared(
        self, kind: AttributeType, filter: Equal | AtLeast | AtMost, values: Mapping[Key, bytes]
    ) -> bool | None:
        wanted = self._key(kind, filter.value)
        if wanted is None or not (kind.equality if isinstance(filter, Equal) else kind.ordering):
            return None
        match filter:
            case Equal():
                return wanted in values
            case AtLeast():
                return any(value >= wanted for value in values)  # type: ignore[operator]  # alike: one attribute
            case AtMost():
                return any(value <= wanted for value in values)  # type: ignore[operator]

    def _substrings(
        self, kind: AttributeType, filter: Substrings, values: Mapping[Key, bytes]
    ) -> bool | None:
        if not kind.substring:
            return None
        try:
            fragments = [part.decode("utf-8") for part in (filter.initial, *filter.inside, filter.final)]
        except UnicodeDecodeError:
            return None
        if kind.substring.startswith("caseIgnore"):
            fragments = [fragment.casefold() for fragment in fragments]
        return any(_has(str(value), *fragments) for value in values)

    def shown(
        self, entry: Stored, wanted: tuple[bytes, ...], types_only: bool
    ) -> Iterator[tuple[str, Collection[bytes]]]:
        """Names and values of the C{wanted} attributes; of all if nothing, or an asterisk, is wanted."""
        names = {name.decode("utf-8", "replace").lower() for name in wanted}
        kinds = (self.store.schema.attributes.get(name) for name in names)
        chosen = {kind.name.lower() for kind in kinds if kind}
        everything = not names or "*" in names
        for name, attribute in entry.attributes.items():
            if (everything or name in chosen) and (name != _SECRET or self.secrets):
                yield attribute.kind.name, () if types_only else attribute.values.values()


def _in_scope(dn: Dn, base: Dn, scope: int) -> bool:
    depth = len(dn) - len(base)
    return depth >= 0 and dn[depth:] == base and (scope == 2 or depth == scope)


def _has(value: str, initial: str, *others: str) -> bool:
    """Are the fragments in C{value}, in this order, the first and the last one at its ends?"""
    *inside, final = others
    if not value.startswith(initial):
        return False
    at = len(initial)
    for fragment in inside:
        at = value.find(fragment, at)
        if at < 0:
            return False
        at += len(fragment)
    return len(value) - len(final) >= at and value.endswith(final)
