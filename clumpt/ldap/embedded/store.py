"""The entries of a directory, in memory; a log, if there is one, remembers them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from attrs import define, field

from clumpt.errors import Damaged, IdentityError
from clumpt.ldap import layout
from clumpt.ldap.bootstrap import NewEntry, checked_base
from clumpt.ldap.embedded import entries
from clumpt.ldap.embedded.entries import Attributes, Stored
from clumpt.ldap.embedded.index import Index
from clumpt.ldap.embedded.log import Log, Record
from clumpt.ldap.embedded.matching import Dn, Key, Matching
from clumpt.ldap.embedded.results import Code, Refused
from clumpt.ldap.schema import Schema

_FORMAT = 1
#: A log is rewritten when it has so many records, and so many times more than there are entries.
_LONG, _TIMES = 10_000, 4


@define(eq=False)
class Store:
    """
    The entries below C{base}.

    Changes are seen at once and kept in the C{log}, if there is one; L{settled} tells when.

    Raises L{Damaged} if the log cannot be read, L{IdentityError} if it is that of another base.
    """

    base: str = field(converter=checked_base)
    schema: Schema
    _log: Log | None = None
    matching: Matching = field(init=False)
    #: The names of the trees here: slapd has two databases, and no search goes from one into the other.
    contexts: tuple[Dn, ...] = field(init=False)
    indexes: Mapping[str, Index] = field(init=False)
    _entries: dict[Dn, Stored] = field(factory=dict, init=False)
    _children: dict[Dn, dict[Dn, None]] = field(factory=dict, init=False)
    _unique: tuple[tuple[Dn, str], ...] = field(init=False)
    _number: int = field(default=0, init=False)
    _rewrite_at: int = field(default=_LONG, init=False)

    def __attrs_post_init__(self) -> None:
        self.matching = Matching(self.schema)
        base = self.matching.name(self.base.encode())
        self.contexts = (self._branch(layout.STATUS, base), base)
        self.indexes = {name.lower(): Index() for name in layout.INDEXED}
        self._unique = tuple((self._branch(rdn, base), name.lower()) for rdn, name in layout.UNIQUE)
        if self._log is not None:
            self._load(self._log)

    def _branch(self, rdn: str, base: Dn) -> Dn:
        return (*self.matching.name(rdn.encode()), *base)

    @property
    def top(self) -> Dn:
        """The base."""
        return self.contexts[-1]

    @property
    def broken(self) -> bool:
        """Was something answered for that cannot be kept?  Then nothing here must be told any more."""
        return self._log is not None and self._log.broken is not None

    @property
    def naming(self) -> tuple[str, ...]:
        """The trees by name, as in L{contexts}."""
        return f"{layout.STATUS},{self.base}", self.base

    def __len__(self) -> int:
        return len(self._entries)

    # Reading.

    def context(self, dn: Dn) -> Dn | None:
        """The tree that C{dn} lies in, None if it lies in none."""
        for context in self.contexts:
            if dn[-len(context) :] == context:
                return context
        return None

    def find(self, dn: Dn) -> Stored | None:
        """The entry, None if it is not there."""
        return self._entries.get(dn)

    def get(self, dn: Dn) -> Stored:
        """The entry; refused, with the nearest one above, if it is not there."""
        found = self._entries.get(dn)
        if found is None:
            above = next(
                (self._entries[dn[at:]] for at in range(1, len(dn)) if dn[at:] in self._entries), None
            )
            raise Refused(Code.NO_SUCH_OBJECT, matched=above.text if above else "")
        return found

    def scope(self, dn: Dn, scope: int) -> Iterator[Stored]:
        """The entry C{dn} (0), its children (1), or the whole tree from it (2); parents first."""
        if scope != 1:
            yield self._entries[dn]
        if scope == 0:
            return
        for child in self._children.get(dn, ()):
            if scope == 1:
                yield self._entries[child]
            else:
                yield from self.scope(child, 2)

    def has_children(self, dn: Dn) -> bool:
        """Does anything lie just below C{dn}?"""
        return bool(self._children.get(dn))

    # Writing.

    def check_place(self, dn: Dn, attributes: Attributes) -> None:
        """Refuse an entry that cannot be added: another one is like it, or nothing is above it."""
        self._check_unique(dn, attributes)
        if dn in self._entries:
            raise Refused(Code.ENTRY_EXISTS)
        if dn not in self.contexts:
            self.get(dn[1:])

    def add(self, dn: Dn, text: str, attributes: Attributes) -> None:
        """Add an entry that was checked against the schema, and with L{check_place}."""
        self._put(Stored(self._next(), dn, text, attributes))

    def change(self, entry: Stored, attributes: Attributes) -> None:
        """Give C{entry} other attributes, which were checked against the schema."""
        self._check_unique(entry.dn, attributes)
        self._put(Stored(entry.number, entry.dn, entry.text, attributes))

    def remove(self, entry: Stored) -> None:
        """Remove an entry without children."""
        self._forget(entry)
        self._record({"removed": entry.text})

    def fill(self, new: Iterable[NewEntry]) -> None:
        """Add entries, parents first, without asking for rights.  Raises L{Refused}."""
        for text, given in new:
            dn = self.matching.name(text.encode())
            pairs = ((name.encode(), values) for name, values in given.items())
            attributes = entries.build(self.matching, pairs)
            entries.check(self.matching, dn, attributes)
            self.check_place(dn, attributes)
            self.add(dn, text, attributes)

    def settled(self, call: Callable[[], None]) -> None:
        """Call C{call} when every change so far is kept, or the store is L{broken}."""
        if self._log is None:
            call()
        else:
            self._log.settled(call)

    def close(self) -> None:
        """Keep what is not yet kept, and let go of the log."""
        if self._log is not None:
            self._log.close()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _check_unique(self, dn: Dn, attributes: Attributes) -> None:
        for branch, name in self._unique:
            if name in attributes and dn[-len(branch) :] == branch:
                values = attributes[name].values
                others = chain.from_iterable(map(self.indexes[name].equal, values))
                if any(other != dn and other[-len(branch) :] == branch for other in others):
                    raise Refused(Code.CONSTRAINT, "some attributes not unique")

    def _put(self, entry: Stored) -> None:
        before = self._entries.get(entry.dn)
        self._set(entry)
        self._record(_record(entry, before.attributes if before else {}))

    def _set(self, entry: Stored) -> None:
        before = self._entries.get(entry.dn)
        if before is None and entry.dn not in self.contexts:
            self._children.setdefault(entry.dn[1:], {})[entry.dn] = None
        self._entries[entry.dn] = entry
        for name, index in self.indexes.items():
            old, new = _values(before, name), _values(entry, name)
            if old is not new:
                index.remove([value for value in old if value not in new], entry.dn)
                index.add([value for value in new if value not in old], entry.dn)

    def _forget(self, entry: Stored) -> None:
        del self._entries[entry.dn]
        self._children.get(entry.dn[1:], {}).pop(entry.dn, None)
        for name, index in self.indexes.items():
            index.remove(_values(entry, name), entry.dn)

    # The log.

    def _record(self, record: Record) -> None:
        if self._log is None:
            return
        self._log.append(record)
        if self._log.length > self._rewrite_at:
            self._log.rewrite(
                chain([self._header()], (_record(entry, {}) for entry in self._entries.values()))
            )
            self._rewrite_at = max(_LONG, _TIMES * self._log.length)

    def _header(self) -> Record:
        return {"format": _FORMAT, "base": self.base}

    def _load(self, log: Log) -> None:
        records = log.load()
        header = next(records, None)
        if header is None:
            log.append(self._header())
            return
        if header.get("format") != _FORMAT:
            raise Damaged("the directory's log was written by another version of Clumpt: upgrade this one")
        if header.get("base") != self.base:
            raise IdentityError(f"the directory's log is that of {header.get('base')}, not of {self.base}")
        for record in records:
            self._replay(record)
        self._rewrite_at = max(_LONG, _TIMES * len(self._entries))

    def _recorded(self, plain: Record) -> Attributes:
        pairs = ((name.encode(), [b64decode(value) for value in values]) for name, values in plain.items())
        return entries.build(self.matching, pairs)

    def _replay(self, record: Record) -> None:
        try:
            if "removed" in record:
                self._forget(self._entries[self.matching.name(record["removed"].encode())])
                return
            text = record["entry"]
            dn = self.matching.name(text.encode())
            gone, come = self._recorded(record["gone"]), self._recorded(record["come"])
            before = self._entries.get(dn) or Stored(self._next(), dn, text, {})
            self._set(Stored(before.number, dn, text, entries.replayed(before.attributes, gone, come)))
        except (KeyError, ValueError, AttributeError, Refused) as wrong:
            raise Damaged(f"the directory's log holds what this schema does not allow: {wrong}") from wrong


def _values(entry: Stored | None, name: str) -> Mapping[Key, bytes]:
    return entry.attributes[name].values if entry and name in entry.attributes else {}


def _record(entry: Stored, before: Attributes) -> Record:
    """How C{entry} differs from what it was: a group of thousands gains one member at a time."""
    gone, come = entries.difference(before, entry.attributes), entries.difference(entry.attributes, before)
    return {"entry": entry.text, "gone": _plain(gone), "come": _plain(come)}


def _plain(attributes: Mapping[str, Iterable[bytes]]) -> Record:
    return {name: [b64encode(value).decode() for value in values] for name, values in attributes.items()}
