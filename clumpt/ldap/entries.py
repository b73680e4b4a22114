"""The entries below the base: read, listed, put and written, without knowing what they mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from attrs import define, field
from twisted.logger import Logger

from clumpt.errors import Conflict
from clumpt.ldap import requests
from clumpt.ldap.connection import Servers
from clumpt.ldap.dn import Tree
from clumpt.ldap.requests import Attributes
from clumpt.ldap.results import ENTRY_EXISTS, SUCCESS
from clumpt.ldap.wire import Found, Wire

T = TypeVar("T")

#: How many names or ids one filter holds.  OpenLDAP compares each entry it finds with each of them.
AT_ONCE = 25
#: When more peers than this are wanted, all are read and the others dropped.
MOST_BY_NAME = 1000
#: Malformed entries that are remembered, so that each is complained of once.
MOST_COMPLAINTS = 1000


class Where(Protocol):
    """One of the ways of L{Servers} to choose where something is done."""

    def __call__(self, action: Callable[[Wire], Awaitable[T]]) -> Awaitable[T]:
        """The result of C{action}."""


def batches(items: Sequence[T]) -> Iterable[Sequence[T]]:
    """C{items} by L{AT_ONCE}."""
    for at in range(0, len(items), AT_ONCE):
        yield items[at : at + AT_ONCE]


@define(eq=False)
class Entries:
    """Access to the entries of one deployment."""

    log = Logger()

    servers: Servers
    tree: Tree
    _complained: set[str] = field(factory=set, init=False)

    async def listed(self, branch: str, filter: Any, attributes: Iterable[str]) -> list[Found]:
        """All entries in a branch that pass C{filter}."""

        async def search(wire: Wire) -> list[Found]:
            return await wire.search(self.tree.branch(branch), filter, attributes)

        return await self.servers.anywhere(search)

    async def named(
        self, branch: str, names: Collection[str] | None, attributes: Iterable[str]
    ) -> list[Found]:
        """The entries in a branch that have one of C{names}, or all for None."""
        if names is None:
            return await self.listed(branch, requests.present(), attributes)
        if len(names) > MOST_BY_NAME:
            wanted = {name.lower() for name in names}
            everything = await self.listed(branch, requests.present(), attributes)
            return [one for one in everything if (self.name(branch, one) or "").lower() in wanted]
        found: list[Found] = []
        for batch in batches(sorted(names)):
            by_name = requests.any_of([requests.equal("cn", name) for name in batch])
            found += await self.listed(branch, by_name, attributes)
        return found

    async def read(self, dn: str, attributes: Iterable[str], where: Where) -> Found | None:
        """One entry, None if it is not there."""

        async def read(wire: Wire) -> Found | None:
            return await wire.read(dn, attributes)

        return await where(read)

    async def write(
        self, op: Any, doing: str, accept: Collection[int] = (SUCCESS,), where: Where | None = None
    ) -> int:
        """Change something, at the writer for None; the result code, one of C{accept}."""

        async def ask(wire: Wire) -> int:
            return await wire.ask(op, doing, accept)

        return await (where or self.servers.writer)(ask)

    async def put(self, branch: str, kind: str, name: str, attributes: Attributes) -> None:
        """
        Create the entry C{cn=name} in a branch, or replace these attributes of it.

        Raises L{Conflict} if it exists under the same name in other letters.
        """
        dn = self.tree.entry(branch, name)
        found = await self.read(dn, ["cn"], self.servers.writer)
        if found is None:
            whole = {"objectClass": [kind.encode()], "cn": [name.encode()], **attributes}
            code = await self.write(requests.add(dn, whole), f"adding {dn}", (SUCCESS, ENTRY_EXISTS))
            if code == SUCCESS:
                return
        elif self.name(branch, found) != name:
            raise Conflict(f"{name} exists already, spelled {self.name(branch, found)}")
        await self.write(requests.replace(dn, attributes), f"changing {dn}")

    def name(self, branch: str, found: Found) -> str | None:
        """The name of an entry in a branch; None if it is malformed."""
        return self.readable(found, lambda: self.tree.name_in(branch, found.dn))

    def readable(self, found: Found, read: Callable[[], T]) -> T | None:
        """What C{read} makes of an entry; None if it is malformed, which is logged once."""
        try:
            return read()
        except ValueError as error:
            if found.dn not in self._complained and len(self._complained) < MOST_COMPLAINTS:
                self._complained.add(found.dn)
                self.log.warn(
                    "leaving out the malformed directory entry {dn!r}: {error}", dn=found.dn, error=error
                )
            return None

    def all_readable(self, found: Iterable[Found], read: Callable[[Found], T]) -> Sequence[T]:
        """What C{read} makes of each entry that is not malformed."""
        values = []
        for one in found:
            value = self.readable(one, partial(read, one))
            if value is not None:
                values.append(value)
        return values
