"""The directory of a demonstration: ours, or a real OpenLDAP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from clumpt.aio import deferred
from clumpt.apps.demonstration.loopback import LDAPS
from clumpt.apps.demonstration.openldap import OpenLdap
from clumpt.apps.demonstration.place import Place
from clumpt.apps.directory import DirectoryServer, Listening, tls_options
from clumpt.ldap import schema
from clumpt.ldap.embedded.store import Store

EMBEDDED, SLAPD = "embedded", "slapd"
KINDS = (EMBEDDED, SLAPD)
BASE = "o=clumpt"


class Serving(Protocol):
    """A directory server."""

    def start(self) -> Deferred[None]:
        """Fires when it listens."""

    def stop(self) -> Deferred[None]:
        """End it; fires when it is gone."""


@deferred
async def serve(kind: str, place: Place, reactor: Any, closing: Callable[[Callable[[], Any]], None]) -> None:
    """
    Start a directory of this C{kind}; it has no entries of the deployment yet.

    @param closing: is given what ends it, before it can need that.

    Fails with L{clumpt.errors.BadInput} if it does not start.
    """
    if kind == SLAPD:
        server: Serving = OpenLdap(place, reactor)
    else:
        listening = Listening(place.net.directory, LDAPS)
        server = DirectoryServer(reactor, Store(BASE, schema.load()), tls_options(place.tls), listening)
    closing(server.stop)
    await server.start()
