"""The directory on the embedded server, with sockets and TLS."""

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from clumpt.aio import deferred
from clumpt.errors import DirectoryUnavailable
from clumpt.interfaces import IDirectory
from clumpt.ldap.bootstrap import bootstrap
from clumpt.ldap.embedded.disk import DiskLogFile
from clumpt.ldap.embedded.log import Log
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.servers import Credentials, External, Uri
from clumpt.model import PeerName, Settings
from clumpt.testing.contracts.directory import DirectoryContract, an_entry
from clumpt.testing.logfile import MemoryLogFile
from clumpt.testing.slapd import ADMIN_PASSWORD, DEPLOYMENT, SUBMITTER_PASSWORD
from tests.embedded_case import BASE, PASSWORDS, SCHEMA
from tests.live.embedded_directory import Embedded
from tests.live.test_directory_slapd import ADMIN, SUBMITTER, DirectoryCase


class EmbeddedDirectoryTests(DirectoryContract, DirectoryCase):
    """L{LdapDirectory} on the embedded server keeps the contract."""

    settings = Settings(DEPLOYMENT)

    @deferred
    async def serve(self) -> None:
        """Serve a directory, which is filled when it is new."""
        store = Store(BASE, SCHEMA, self.log_to())
        if not len(store):
            admin, submitter = map(PASSWORDS.hashed, (ADMIN_PASSWORD, SUBMITTER_PASSWORD))
            store.fill(bootstrap(BASE, admin, Settings(DEPLOYMENT), submitter))
        self.server = Embedded(store, self.authority)
        await self.server.start()

    def log_to(self) -> Log:
        """Where the directory is kept: in memory, because not fsync is under test here."""
        return Log(MemoryLogFile(), reactor)

    @deferred
    async def stop(self) -> None:
        await self.server.stop()
        self.server.directory.store.close()

    @deferred
    async def make_directory(self) -> IDirectory:
        await self.serve()
        self.addCleanup(self.stop)
        return self.seen_by(ADMIN)

    def seen_by(self, credentials: Credentials, subject: str = "") -> IDirectory:
        return self.directory(credentials, [Uri(True, "127.0.0.1", self.server.tls_port)], subject)

    def peer_view(self, directory: IDirectory, name: PeerName) -> Deferred[IDirectory]:
        """A peer is known by its certificate."""
        return succeed(self.seen_by(External(), f"CN={name}"))

    def other_view(self, directory: IDirectory) -> Deferred[IDirectory]:
        """A submitter has a password, and may do no more than submit."""
        return succeed(self.seen_by(SUBMITTER))

    @deferred
    async def test_schema(self) -> None:
        """The embedded server shows that it has our schema, and lacks nothing."""
        directory = await self.make_directory()
        self.assertEqual(await directory.verify_schema(), [])

    @deferred
    async def test_restart(self) -> None:
        """The server stops, and comes back with everything that was in its file (R13)."""
        self.log_to = lambda: Log(DiskLogFile(self.folder / "log"), reactor)
        directory = await self.make_directory()
        await directory.register(an_entry(1))
        port = self.server.tls_port
        await self.stop()
        await self.assertFailure(directory.head(), DirectoryUnavailable)
        self.server = Embedded(Store(BASE, SCHEMA, self.log_to()), self.authority)
        self.server.tls_port = port
        await self.server.start()
        self.assertEqual(await directory.head(), 1)
        await directory.register(an_entry(2))
