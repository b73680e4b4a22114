"""The directory on the embedded server: real LDAP from end to end, over transports in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from clumpt.errors import DirectoryRefused, IdentityError
from clumpt.interfaces import IDirectory
from clumpt.ldap import schema
from clumpt.ldap.bootstrap import bootstrap
from clumpt.ldap.connection import Servers
from clumpt.ldap.directory import LdapDirectory
from clumpt.ldap.dn import Tree
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.schema import Schema
from clumpt.ldap.servers import Credentials, External, Simple, Uri
from clumpt.model import PeerName, Settings
from clumpt.testing.contracts.directory import SETTINGS, DirectoryContract
from tests.embedded_case import PASSWORDS, SCHEMA
from tests.ldap_pipe import ADMIN, Farm, Place
from tests.old_schema import OLD_PEER, OldSchema

SUBMITTER = Simple("cn=submitter,o=clumpt", "submit")


class Home:
    """An embedded server in memory, and directories on it."""

    def __init__(self, base: str = "o=clumpt", known: Schema = SCHEMA) -> None:
        self.farm = Farm()
        self.tree = Tree(base)
        self.store = Store(base, known, None)
        admin, submitter = PASSWORDS.hashed(ADMIN.password.encode()), PASSWORDS.hashed(b"submit")
        self.store.fill(bootstrap(base, admin, SETTINGS, submitter))
        self.server = EmbeddedDirectory(
            store=self.store,
            clock=self.farm.clock,
            passwords=PASSWORDS,
            confidential=False,
            identify=lambda transport: transport.other.subject,
        )
        self.farm.places["home"] = Place(self.farm.net, lambda: self.server.buildProtocol(None))

    def directory(self, credentials: Credentials, subject: str = "") -> LdapDirectory:
        """A directory for somebody whose certificate, if any, says C{subject}."""
        dialler = self.farm.dialler(credentials)

        def reach(uri: Uri) -> Any:
            return Place(self.farm.net, lambda: self.server.buildProtocol(None), subject)

        dialler.reach = reach
        return LdapDirectory(Servers([Uri(False, "home", 389)], dialler), self.tree)


class EmbeddedDirectoryTests(DirectoryContract, TestCase):
    """L{LdapDirectory} on the embedded server keeps the contract."""

    def make_directory(self) -> Deferred[IDirectory]:
        self.home = Home()
        return succeed(self.home.directory(ADMIN))

    def peer_view(self, directory: IDirectory, name: PeerName) -> Deferred[IDirectory]:
        return succeed(self.home.directory(External(), f"CN={name}"))

    def other_view(self, directory: IDirectory) -> Deferred[IDirectory]:
        return succeed(self.home.directory(SUBMITTER))


class OldSchemaTests(OldSchema, TestCase):
    """The embedded server of an older Clumpt."""

    def make_old(self, source: str) -> Deferred[tuple[LdapDirectory, LdapDirectory]]:
        home = Home(known=schema.parse(schema.text("core.schema")) | schema.parse(source))
        return succeed((home.directory(ADMIN), home.directory(External(), f"CN={OLD_PEER}")))


class SetupTests(SynchronousTestCase):
    """Setting up, with real answers."""

    def setUp(self) -> None:
        self.home = Home("ou=clumpt,dc=example,dc=org")
        self.directory = self.home.directory(Simple("cn=admin,ou=clumpt,dc=example,dc=org", "secret"))

    def test_schema(self) -> None:
        """The embedded server lacks nothing."""
        self.assertEqual(self.successResultOf(self.directory.verify_schema()), [])

    def test_again(self) -> None:
        """Setting up again changes nothing; another deployment is refused."""
        other = Settings(SETTINGS.deployment, interval=77.0)
        self.successResultOf(self.directory.initialise(other))
        self.assertEqual(self.successResultOf(self.directory.settings()), SETTINGS)
        self.failureResultOf(self.directory.initialise(Settings("other")), IdentityError)

    def test_other_base(self) -> None:
        """Where there is nothing of ours, the error asks about the base."""
        self.home.tree = Tree("o=elsewhere")
        elsewhere = self.home.directory(Simple("cn=admin,ou=clumpt,dc=example,dc=org", "secret"))
        error = self.failureResultOf(elsewhere.settings(), DirectoryRefused).value
        self.assertIn("base", str(error))
