"""What the tests with a real OpenLDAP have in common."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import TestCase

from clumpt.aio import deferred
from clumpt.testing.certificates import Authority
from clumpt.testing.slapd import ADMIN_PASSWORD, SUBMITTER_PASSWORD, Slapd
from tests.acl_matrix import BASE, PEER_PASSWORD
from tests.ldapclient import Client, tls


class SlapdCase(TestCase):
    """A test with servers of its own."""

    timeout = 60

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.folder = folder.resolve()
        self.authority = Authority.create(self.folder)

    @deferred
    async def slapd(self, name: str = "one", **more: Any) -> Slapd:
        server = Slapd(reactor, self.folder / name, self.authority, **more)
        await server.create()
        await server.start()
        self.addCleanup(server.kill)
        return server

    @deferred
    async def connect(self, server: Slapd, subject: str | None = "") -> Client:
        """
        A connection with TLS; with a certificate and bound by it if there is a C{subject}.

        Without TLS if C{subject} is None.
        """
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)
        client = await connectProtocol(endpoint, Client())
        self.addCleanup(client.close)
        if subject is not None:
            identity = self.authority.issue(f"client-{id(client)}", subject) if subject else None
            self.assertEqual(await client.starttls(tls(self.authority, identity)), 0)
        if subject:
            self.assertEqual(await client.external(), 0)
        return client

    def as_admin(self, server: Slapd) -> "Deferred[Client]":
        return self.bound(server, f"cn=admin,{BASE}", ADMIN_PASSWORD)

    def as_submitter(self, server: Slapd) -> "Deferred[Client]":
        return self.bound(server, f"cn=submitter,{BASE}", SUBMITTER_PASSWORD)

    def as_peer(self, server: Slapd, name: str = "node001") -> "Deferred[Client]":
        return self.bound(server, f"cn={name},ou=peers,{BASE}", PEER_PASSWORD)

    @deferred
    async def bound(self, server: Slapd, dn: str, password: bytes) -> Client:
        client = await self.connect(server)
        self.assertEqual(await client.bind(dn, password), 0)
        return client
