"""OpenLDAP, as we configure it, lets each role do what it may and nothing else."""

from clumpt.aio import deferred
from clumpt.testing.slapd import Slapd
from tests.acl_matrix import ALLOWED, ANONYMOUS, BASE, MISSING, OTHER, PEOPLED, REFUSED, done, outcomes
from tests.ldapclient import REPLACE, Client
from tests.live.slapd_case import SlapdCase

CERTIFICATES = {
    "stranger": "O=elsewhere/CN=node001",
    "peer": "O=clumpt/OU=peers/CN=node001",
    "submitter": "CN=clumpt-submitter",
    "replicator": "CN=clumpt-replicator",
    "admin": "O=clumpt/CN=clumpt-admin",
}


class AclTests(SlapdCase):
    """One server for each role, because the roles change what is there."""

    @deferred
    async def matrix(self, role: str) -> dict[str, int]:
        server = await self.slapd(more=PEOPLED)
        client = await self.connect(server, CERTIFICATES.get(role, ""))
        codes: dict[str, int] = await outcomes(client)
        self.assertEqual(done(codes), ALLOWED[role])
        return codes

    @deferred
    async def test_anonymous(self) -> None:
        """Who is not bound sees nothing but the root, and is told to bind before writing."""
        codes = await self.matrix("anonymous")
        self.assertLessEqual(set(codes.values()), {MISSING, REFUSED, ANONYMOUS})

    @deferred
    async def test_stranger(self) -> None:
        """A certificate of ours that names no role gets nothing."""
        await self.matrix("stranger")

    @deferred
    async def test_peer(self) -> None:
        """A peer reads everything but secrets, and writes its own status alone (R18)."""
        await self.matrix("peer")

    @deferred
    async def test_submitter(self) -> None:
        """A submitter adds updates and can never change or remove one."""
        await self.matrix("submitter")

    @deferred
    async def test_replicator(self) -> None:
        """A replica reads everything and writes nothing."""
        await self.matrix("replicator")

    @deferred
    async def test_admin(self) -> None:
        """The administrators may do everything."""
        await self.matrix("admin")


class BindTests(SlapdCase):
    """Who one is."""

    @deferred
    async def names(self, server: Slapd, *subjects: str) -> list[bytes]:
        clients: list[Client] = [await self.connect(server, subject) for subject in subjects]
        return [(await client.whoami())[1] for client in clients]

    @deferred
    async def test_certificates(self) -> None:
        """Both ways of naming a peer in a certificate mean the same, and a role is no peer."""
        server = await self.slapd()
        names = await self.names(
            server, "CN=node001", "O=clumpt/OU=peers/CN=node001", "CN=clumpt-admin", "OU=x/CN=node001"
        )
        self.assertEqual(names[0], b"dn:cn=node001,ou=peers,o=clumpt")
        self.assertEqual(names[1], names[0])
        self.assertEqual(names[2], b"dn:cn=admin,o=clumpt")
        self.assertEqual(names[3], b"dn:cn=node001,ou=x")

    @deferred
    async def test_passwords(self) -> None:
        """The entries bind with their passwords; no password is no bind."""
        server = await self.slapd(more=PEOPLED)
        for client in (
            await self.as_admin(server),
            await self.as_submitter(server),
            await self.as_peer(server),
        ):
            self.assertIn(b"o=clumpt", (await client.whoami())[1])
        self.assertEqual(await client.bind(f"cn=admin,{BASE}", b""), 53)
        self.assertEqual(await client.bind(f"cn=admin,{BASE}", b"wrong"), 49)
        self.assertEqual(await client.whoami(), (0, b""))

    @deferred
    async def test_removed_peer(self) -> None:
        """A peer that was removed can do nothing more, though its certificate is still good."""
        server = await self.slapd(more=PEOPLED)
        peer = await self.connect(server, "CN=node002")
        status = f"cn=node002,ou=status,{BASE}"
        self.assertEqual(await peer.modify(status, (REPLACE, "clumptHead", ["2"])), 0)
        self.assertEqual(await (await self.as_admin(server)).delete(OTHER), 0)
        again = await self.connect(server, "CN=node002")
        for client in (peer, again):
            self.assertEqual(await client.modify(status, (REPLACE, "clumptHead", ["3"])), REFUSED)
            self.assertEqual((await client.search(BASE))[0], MISSING)
