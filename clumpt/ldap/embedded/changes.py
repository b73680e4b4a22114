"""Adding, changing and deleting entries, each step in the order in which OpenLDAP does it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from clumpt.ldap import layout
from clumpt.ldap.acl import Deed
from clumpt.ldap.embedded import entries
from clumpt.ldap.embedded.access import Identity
from clumpt.ldap.embedded.matching import Dn
from clumpt.ldap.embedded.requests import Add, Delete, Modify
from clumpt.ldap.embedded.results import Code, Refused
from clumpt.ldap.embedded.service import Service

_SECRET = layout.SECRET.lower()


@frozen
class Changes:
    """Changes that C{who} asks for; each is made whole or refused."""

    service: Service
    who: Identity

    def make(self, request: Add | Modify | Delete) -> None:
        """Make the change."""
        match request:
            case Add():
                self._add(request)
            case Modify():
                self._modify(request)
            case Delete():
                self._delete(request)

    def _add(self, request: Add) -> None:
        store, matching = self.service.store, self.service.store.matching
        name, text = matching.name(request.dn), request.dn.decode()
        pairs = ((kind, self._hashed(kind, values)) for kind, values in request.attributes)
        attributes = entries.build(matching, pairs)
        self._writable(name)
        attributes = entries.named(matching, name, text, attributes)
        entries.check(matching, name, attributes)
        store.check_place(name, attributes)
        self.service.need(self.who, Deed.ADD, name)
        store.add(name, text, attributes)

    def _modify(self, request: Modify) -> None:
        store, matching = self.service.store, self.service.store.matching
        name = matching.name(request.dn)
        changes = [evolve(one, values=self._hashed(one.name, one.values)) for one in request.changes]
        prepared = entries.prepared(matching, changes)
        self._writable(name)
        entry = store.get(name)
        self.service.need(self.who, Deed.MODIFY, name)
        if any(given.kind.name == layout.SECRET for _, given in prepared) and not (
            self.service.access.may_secretly(self.who, Deed.MODIFY, name)
        ):
            raise Refused(Code.NO_RIGHT, "no write access")
        attributes = entries.changed(entry.attributes, prepared)
        entries.check(matching, name, attributes, entry.attributes)
        store.change(entry, attributes)

    def _delete(self, request: Delete) -> None:
        store = self.service.store
        name = store.matching.name(request.dn)
        self._writable(name)
        entry = store.get(name)
        self.service.need(self.who, Deed.DELETE, name)
        if store.has_children(name):
            raise Refused(Code.NOT_ON_NON_LEAF, "subordinate objects must be deleted first")
        store.remove(entry)

    def _writable(self, name: Dn) -> None:
        if self.service.store.context(name) is None:
            raise Refused(Code.UNWILLING, "no global superior knowledge")
        if self.who.anonymous:
            raise Refused(Code.STRONGER_AUTH, "modifications require authentication")

    def _hashed(self, kind: bytes, values: Sequence[bytes]) -> tuple[bytes, ...]:
        """The values as they are stored: no password is, only its hash."""
        if kind.lower() != _SECRET.encode():
            return tuple(values)
        return tuple(map(self.service.passwords.hashed, values))
