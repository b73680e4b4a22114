"""TLS of the embedded server, with real sockets."""

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS

from clumpt.aio import deferred
from clumpt.testing.certificates import Authority
from clumpt.testing.slapd import ADMIN_PASSWORD
from tests.acl_matrix import BASE, PEOPLED
from tests.embedded_case import new_store
from tests.ldapclient import Client, tls
from tests.live.embedded_directory import Embedded
from tests.live.slapd_case import SlapdCase

ADMIN = f"cn=admin,{BASE}"


class TlsTests(SlapdCase):
    """Who may speak to the server, and how."""

    @deferred
    async def served(self) -> Embedded:
        server = Embedded(new_store(PEOPLED), self.authority)
        await server.start()
        self.addCleanup(server.stop)
        return server

    @deferred
    async def plain(self, server: Embedded) -> Client:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)
        client = await connectProtocol(endpoint, Client())
        self.addCleanup(client.close)
        return client

    @deferred
    async def test_starttls(self) -> None:
        """Passwords are taken after StartTLS, not before; and TLS is begun once."""
        client = await self.plain(await self.served())
        self.assertEqual(await client.bind(ADMIN, ADMIN_PASSWORD), 13)
        self.assertEqual(await client.external(), 7)
        self.assertEqual(await client.starttls(tls(self.authority)), 0)
        self.assertEqual(await client.bind(ADMIN, ADMIN_PASSWORD), 0)
        self.assertEqual(await client.starttls(None), 1)

    @deferred
    async def test_many_at_once(self) -> None:
        """Over ldaps, a client that there is no room for is hung up on, and the others go on."""
        server = await self.served()
        server.directory.limits = type(server.directory.limits)(connections=1)
        plain = TCP4ClientEndpoint(reactor, "127.0.0.1", server.tls_port)
        secure = wrapClientTLS(tls(self.authority), plain)
        first = await connectProtocol(secure, Client())
        second = await connectProtocol(secure, Client())
        self.addCleanup(first.close)
        self.assertEqual(await first.bind(ADMIN, ADMIN_PASSWORD), 0)
        await second.gone

    @deferred
    async def test_foreign_certificate(self) -> None:
        """A client may come without a certificate, but not with one of another authority."""
        server = await self.served()
        folder = self.folder / "other"
        folder.mkdir()
        foreign = Authority.create(folder).issue("admin", "CN=clumpt-admin")
        client = await self.plain(server)
        self.assertEqual(await client.starttls(tls(self.authority, foreign)), 0)
        await self.assertFailure(client.external(), SSL.Error)
