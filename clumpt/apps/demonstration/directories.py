"""The directory of a demonstration: ours, or a real OpenLDAP."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import Deferred

from clumpt.aio import deferred
from clumpt.apps.demonstration.loopback import LDAP, LDAPS
from clumpt.apps.demonstration.place import Place
from clumpt.apps.directory import DirectoryServer, Listening, tls_options
from clumpt.ldap import schema
from clumpt.ldap.embedded.store import Store

EMBEDDED, SLAPD = "embedded", "slapd"
KINDS = (EMBEDDED, SLAPD)
BASE = "o=clumpt"


class Serving(Protocol):
    """A directory that runs."""

    def stop(self) -> Deferred[Any]:
        """End it; fires when it is gone."""


@define(eq=False)
class InMemory:
    """The embedded directory, with nothing on the disk."""

    _server: DirectoryServer

    @deferred
    async def stop(self) -> None:
        """See L{Serving}."""
        await self._server.stop()


@deferred
async def serve(kind: str, place: Place, reactor: Any) -> Serving:
    """
    Start a directory of this C{kind}; it has no entries yet.

    Fails with L{clumpt.errors.BadInput} if it does not start.
    """
    store = Store(BASE, schema.load())
    listening = Listening(place.net.directory, LDAPS, LDAP)
    server = DirectoryServer(reactor, store, tls_options(place.tls), listening)
    await server.start()
    return InMemory(server)
