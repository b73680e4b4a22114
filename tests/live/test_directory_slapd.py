"""The directory on a real OpenLDAP."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates

from clumpt.aio import deferred
from clumpt.interfaces import IDirectory
from clumpt.ldap.connection import Servers
from clumpt.ldap.directory import LdapDirectory
from clumpt.ldap.dn import Tree
from clumpt.ldap.servers import Credentials, Dialler, External, Simple, Tls, Uri, over_network
from clumpt.model import PeerName, Settings
from clumpt.testing.certificates import Authority
from clumpt.testing.contracts.directory import DirectoryContract
from clumpt.testing.slapd import ADMIN_PASSWORD, DEPLOYMENT, SUBMITTER_PASSWORD, Slapd
from tests.live.slapd_case import BASE, SlapdCase

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
