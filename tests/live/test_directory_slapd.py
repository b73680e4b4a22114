"""The directory on a real OpenLDAP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.internet.utils import getProcessOutputAndValue

from clumpt.aio import deferred, sleep
from clumpt.errors import DirectoryRefused, DirectoryUnavailable, IdentityError
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory
from clumpt.ldap import schema
from clumpt.ldap.connection import Servers
from clumpt.ldap.directory import LdapDirectory
from clumpt.ldap.dn import Tree
from clumpt.ldap.servers import Credentials, Dialler, External, Simple, Tls, Uri, over_network
from clumpt.ldap.slapd import upgrade_ldif
from clumpt.model import Group, GroupName, Peer, PeerName, PeerStatus, Settings
from clumpt.testing.certificates import Authority
from clumpt.testing.contracts.directory import DirectoryContract, an_entry
from clumpt.testing.slapd import ADMIN_PASSWORD, DEPLOYMENT, SUBMITTER_PASSWORD, Slapd, programs
from tests.live.slapd_case import BASE, SlapdCase
from tests.old_schema import OLD_PEER, STATUS, OldSchema, without

ADMIN = Simple(f"cn=admin,{BASE}", ADMIN_PASSWORD.decode())
SUBMITTER = Simple(f"cn=submitter,{BASE}", SUBMITTER_PASSWORD.decode())


def tls_for(authority: Authority, subject: str = "") -> Tls:
    """Trust in C{authority}, and a certificate of it for C{subject} unless that is empty."""
    trust = trustRootFromCertificates([Certificate.loadPEM(authority.certificate.read_bytes())])
    if not subject:
        return Tls(trust)
    identity = authority.issue(subject.replace("/", "-"), subject)
    pem = identity.certificate.read_bytes() + identity.key.read_bytes()
    return Tls(trust, PrivateCertificate.loadPEM(pem))


class DirectoryCase(SlapdCase):
    """Tests with a directory on servers of their own."""

    def uris(self, *servers: Slapd) -> list[Uri]:
        return [Uri(True, "127.0.0.1", server.tls_port) for server in servers]

    def directory(
        self, credentials: Credentials, uris: list[Uri], subject: str = "", **more: Any
    ) -> LdapDirectory:
        tls = tls_for(self.authority, subject)
        dialler = Dialler(reactor, over_network(reactor, tls), credentials, **more)
        directory = LdapDirectory(Servers(uris, dialler), Tree(BASE))
        self.addCleanup(directory.close)
        return directory


class SlapdDirectoryTests(DirectoryContract, DirectoryCase):
    """L{LdapDirectory} on OpenLDAP keeps the contract."""

    settings = Settings(DEPLOYMENT)

    @deferred
    async def make_directory(self) -> IDirectory:
        self.server = await self.slapd()
        return self.directory(ADMIN, self.uris(self.server))

    def peer_view(self, directory: IDirectory, name: PeerName) -> Deferred[IDirectory]:
        """A peer is known by its certificate."""
        return succeed(self.directory(External(), self.uris(self.server), f"CN={name}"))

    def other_view(self, directory: IDirectory) -> Deferred[IDirectory]:
        """A submitter has a password, and may do no more than submit."""
        return succeed(self.directory(SUBMITTER, self.uris(self.server)))


class OldSchemaTests(OldSchema, DirectoryCase):
    """OpenLDAP with the schema of an older Clumpt."""

    @deferred
    async def make_old(self, source: str) -> tuple[LdapDirectory, LdapDirectory]:
        self.server = await self.slapd(schema=source)
        uris = self.uris(self.server)
        return self.directory(ADMIN, uris), self.directory(External(), uris, f"CN={OLD_PEER}")

    @deferred
    async def test_upgrade(self) -> None:
        """What clumptconf schema prints brings it up to date while it rests, and nothing is lost."""
        admin, peer = await self.make_old(without("clumptSource"))
        await self.enrol(admin)
        await peer.report(STATUS)
        await self.server.kill()
        file = self.folder / "upgrade.ldif"
        file.write_text(upgrade_ldif(schema.text()))
        slapmodify = Path(programs()[1]).with_name("slapmodify")
        words = ["-n", "0", "-F", str(self.server.folder / "config"), "-l", str(file)]
        out, err, status = await getProcessOutputAndValue(str(slapmodify), words, reactor=reactor)
        self.assertEqual(status, 0, (out + err).decode())
        await self.server.start()
        self.assertEqual(await admin.verify_schema(), [])
        self.assertEqual((await admin.statuses())[OLD_PEER].head, STATUS.head)
        await peer.report(STATUS)
        self.assertEqual((await admin.statuses(sources=True))[OLD_PEER].sources, STATUS.sources)


class TlsTests(DirectoryCase):
    """The connection is verified, always."""

    @deferred
    async def test_start_tls(self) -> None:
        """StartTLS on the ordinary port will do, with a certificate for a name."""
        server = await self.slapd()
        uri = Uri.parse(server.url)
        tls = tls_for(self.authority, "CN=clumpt-admin")
        directory = self.directory(External(), [uri], start_tls=tls)
        await directory.put_group(Group(GroupName("all")))
        self.assertEqual(await directory.groups(), [Group(GroupName("all"))])

    @deferred
    async def test_other_authority(self) -> None:
        """A server that our authority does not vouch for is not spoken to, over ldaps or StartTLS."""
        server = await self.slapd()
        other = self.folder / "other"
        other.mkdir()
        tls = tls_for(Authority.create(other))
        for uri, more in [(self.uris(server)[0], {}), (Uri.parse(server.url), {"start_tls": tls})]:
            dialler = Dialler(reactor, over_network(reactor, tls), ADMIN, **more)
            directory = LdapDirectory(Servers([uri], dialler), Tree(BASE))
            error = await self.assertFailure(directory.settings(), DirectoryUnavailable)
            self.assertIn("certificate", str(error))
            await directory.close()

    @deferred
    async def test_other_name(self) -> None:
        """A good certificate for another host is not good enough."""
        server = await self.slapd()
        uri = Uri(True, "127.0.0.2", server.tls_port)
        tls = tls_for(self.authority)

        def reach(uri: Uri) -> IStreamClientEndpoint:
            # The server listens at 127.0.0.1 and says so; we think that we dial another one.
            there = TCP4ClientEndpoint(reactor, "127.0.0.1", uri.port)
            return wrapClientTLS(tls.towards(uri.host), there)

        dialler = Dialler(reactor, reach, ADMIN)
        directory = LdapDirectory(Servers([uri], dialler), Tree(BASE))
        await self.assertFailure(directory.settings(), DirectoryUnavailable)
        await directory.close()

    @deferred
    async def test_wrong_password(self) -> None:
        """A wrong password is a refusal that says so, and does not show it."""
        server = await self.slapd()
        directory = self.directory(Simple(ADMIN.dn, "guessed"), self.uris(server))
        error = await self.assertFailure(directory.settings(), DirectoryRefused)
        self.assertIn("password", str(error))
        self.assertNotIn("guessed", str(error))


class SetupTests(DirectoryCase):
    """A new directory."""

    @deferred
    async def test_schema(self) -> None:
        """OpenLDAP with our schema lacks nothing."""
        directory = self.directory(ADMIN, self.uris(await self.slapd()))
        self.assertEqual(await directory.verify_schema(), [])

    @deferred
    async def test_initialise_again(self) -> None:
        """Setting up what is set up changes nothing; another deployment is refused."""
        directory = self.directory(ADMIN, self.uris(await self.slapd()))
        await directory.initialise(Settings(DEPLOYMENT, interval=77.0))
        self.assertEqual(await directory.settings(), Settings(DEPLOYMENT))
        await self.assertFailure(directory.initialise(Settings("other")), IdentityError)

    @deferred
    async def test_wrong_base(self) -> None:
        """A wrong base is a refusal that asks about the base."""
        uris = self.uris(await self.slapd())
        dialler = Dialler(reactor, over_network(reactor, tls_for(self.authority)), ADMIN)
        directory = LdapDirectory(Servers(uris, dialler), Tree("o=elsewhere"))
        self.addCleanup(directory.close)
        for asking in (directory.settings, directory.peers, directory.head, directory.statuses):
            error = await self.assertFailure(asking(), DirectoryRefused)
            self.assertIn("base", str(error))


class ReplicaTests(DirectoryCase):
    """A provider and a replica (R16, R43)."""

    @deferred
    async def pair(self) -> tuple[Slapd, Slapd]:
        provider = await self.slapd("provider")
        return provider, await self.slapd("replica", provider=provider)

    @deferred
    async def until(self, ask: Any, wanted: Any) -> None:
        while True:  # The test's own timeout ends this.
            try:
                if await ask() == wanted:
                    return
            except DirectoryRefused:
                pass
            await sleep(reactor, 0.05)

    @deferred
    async def test_provider_dies(self) -> None:
        """Without the provider everything can be read, nothing be submitted, and afterwards both again."""
        provider, replica = await self.pair()
        directory = self.directory(ADMIN, self.uris(provider, replica))
        await directory.register(an_entry(1))
        copy = self.directory(ADMIN, self.uris(replica))
        await self.until(copy.head, 1)
        await provider.kill()
        self.assertEqual(await directory.head(), 1)
        self.assertEqual(await directory.updates(IdSet.upto(1)), [an_entry(1).envelope])
        await self.assertFailure(directory.register(an_entry(2)), DirectoryUnavailable)
        await provider.start()
        await directory.register(an_entry(2))
        await self.until(copy.head, 2)

    @deferred
    async def test_status_finds_the_provider(self) -> None:
        """A peer that reads at the replica reports at the provider, and finds it there itself (R54)."""
        provider, replica = await self.pair()
        admin = self.directory(ADMIN, self.uris(provider))
        peer = Peer(PeerName("node1"), (), frozenset(), b"")
        await admin.put_peer(peer)
        node = self.directory(External(), self.uris(replica, provider), "CN=node1")
        await self.until(node.peers, [peer])
        status = PeerStatus(PeerName("node1"), seen=5)
        await node.report(status)
        self.assertEqual(await admin.statuses(), {"node1": status})
        await self.until(node.statuses, {"node1": status})
