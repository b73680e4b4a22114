"""OpenLDAP accepts what we write for it."""

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from clumpt.aio import deferred
from clumpt.errors import BadInput
from clumpt.testing import slapd
from tests.acl_matrix import BASE, PEOPLED
from tests.live.slapd_case import SlapdCase


class StartTests(SlapdCase):
    """A server made from the shipped schema and the generated configuration."""

    @deferred
    async def test_starts(self) -> None:
        """It starts, knows the schema, and serves two databases (R40)."""
        server = await self.slapd(more=PEOPLED)
        client = await self.as_admin(server)
        code, found = await client.search("", 0, attributes=["namingContexts"])
        self.assertEqual(found[""]["namingContexts"], [f"ou=status,{BASE}".encode(), BASE.encode()])
        code, found = await client.search(BASE, 0)
        self.assertEqual((code, found[BASE]["clumptSchemaVersion"]), (0, [b"1"]))

    @deferred
    async def test_passwords_need_tls(self) -> None:
        """A password on a plain connection is refused."""
        server = await self.slapd()
        client = await self.connect(server, None)
        self.assertEqual(await client.bind(f"cn=admin,{BASE}", slapd.ADMIN_PASSWORD), 13)

    @deferred
    async def test_killed(self) -> None:
        """After a kill it starts again with what it answered for (R13)."""
        server = await self.slapd()
        client = await self.as_admin(server)
        group = f"cn=all,ou=groups,{BASE}"
        self.assertEqual(await client.add(group, {"objectClass": ["clumptGroup"], "cn": ["all"]}), 0)
        await server.kill()
        await client.gone
        await server.start()
        client = await self.as_admin(server)
        self.assertEqual((await client.search(group, 0))[0], 0)

    @deferred
    async def test_refused(self) -> None:
        """Entries that the schema does not allow are refused with the words of slapadd."""
        wrong = (f"cn=x,ou=peers,{BASE}", {"objectClass": [b"clumptPeer"], "cn": [b"x"], "clumptSeq": [b"1"]})
        with self.assertRaises(BadInput) as caught:
            await self.slapd(more=(wrong,))
        self.assertIn("clumptSeq", str(caught.exception))


class MissingTests(SynchronousTestCase):
    """On a machine without OpenLDAP."""

    def test_package(self) -> None:
        """The error names the package to install."""
        with patch.object(slapd, "which", return_value=None), self.assertRaises(BadInput) as caught:
            slapd.programs()
        self.assertIn("install the package slapd", str(caught.exception))
