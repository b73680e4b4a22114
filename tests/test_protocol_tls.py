"""Who a certificate names, and what files make a security."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from clumpt.errors import ConfigurationError, Untrusted
from clumpt.interfaces import ISecurity
from clumpt.model import PeerName
from clumpt.protocols.tls import ClearSecurity, TlsSecurity, fingerprint, subject
from tests.certificates import Authority, Files
from tests.protocol_kit import key_of


class SecurityCase(SynchronousTestCase):
    """A CA and its certificates."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority(self.folder)

    def security(self, files: Files, deployment: str = "") -> TlsSecurity:
        return TlsSecurity(Clock(), self.authority.path, files.certificate, files.key, deployment)


class SubjectTests(SecurityCase):
    """L{subject}."""

    def certificate(self, name: str | None, *uris: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.authority.issue(name, uris).certificate.read_bytes())

    def test_names(self) -> None:
        """The common name counts; names of ours beside it must agree, others do not matter."""
        for uris in (
            (),
            ("urn:clumpt:here:peer:node-1",),
            ("urn:clumpt:here:client:node-1",),
            ("https://example.org/", "urn:clumpt:here:peer:node-1"),
        ):
            certificate = self.certificate("node-1", *uris)
            self.assertEqual(subject(certificate, "here"), ("node-1", fingerprint(certificate)))

    def test_no_peer(self) -> None:
        """Without a usable name, or with names that do not agree, it names nobody."""
        for name, uris in (
            (None, ()),
            ("no peer", ()),
            ("../etc", ()),
            ("node-1", ("urn:clumpt:here:peer:node-2",)),
            ("node-1", ("urn:clumpt:there:peer:node-1",)),
            ("node-1", ("urn:clumpt:there:client:node-1",)),
            ("node-1", ("urn:clumpt:here:peer:node-1", "urn:clumpt:there:peer:node-1")),
            ("node-1", ("urn:clumpt:here:submitter:node-1",)),
        ):
            with self.assertRaises(Untrusted, msg=f"{name} {uris}"):
                subject(self.certificate(name, *uris), "here")

    def test_any_deployment(self) -> None:
        """If no deployment is given, any will do."""
        self.assertEqual(subject(self.certificate("a", "urn:clumpt:there:peer:a"))[0], "a")

    def test_fingerprint_stays(self) -> None:
        """A renewed certificate for the same key has the same fingerprint."""
        first = self.certificate("a")
        other = self.authority.issue("a", key=self.authority.key)
        again = self.authority.issue("a", key=self.authority.key)
        one, two = (
            x509.load_pem_x509_certificate(files.certificate.read_bytes()) for files in (other, again)
        )
        self.assertNotEqual(one, two)
        self.assertEqual(fingerprint(one), fingerprint(two))
        self.assertNotEqual(fingerprint(one), fingerprint(first))


class TlsSecurityTests(SecurityCase):
    """L{TlsSecurity}; what it does on the wire is tried over real sockets."""

    def test_own(self) -> None:
        """It knows its own name."""
        security = self.security(self.authority.issue("a"))
        verifyObject(ISecurity, security)
        self.assertEqual(security.own[0], "a")

    def test_bad_files(self) -> None:
        """Files that are not there, are of another kind, or do not belong together are named."""
        good, other = self.authority.issue("a"), self.authority.issue("b")
        nothing = self.folder / "nothing"
        for files, what in (
            (Files(nothing, good.key), "nothing: No such file"),
            (Files(good.key, good.key), "not a PEM file"),
            (Files(good.certificate, good.certificate), "not a PEM file"),
            (Files(good.certificate, other.key), "is not the key of"),
            (self.authority.issue("no peer"), "common name"),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                self.security(files)
            self.assertIn(what, str(caught.exception))

    def test_failed_reload(self) -> None:
        """If the new files cannot be used, the old ones stay in use."""
        files = self.authority.issue("a")
        security = self.security(files)
        before, context = security.own, security._context
        files.key.write_bytes(b"")
        with self.assertRaises(ConfigurationError):
            security.reload()
        self.assertEqual((security.own, security._context), (before, context))

    def test_two_authorities(self) -> None:
        """The CA file may hold two, while one follows the other."""
        other = Authority(self.folder, "new CA")
        self.authority.path.write_bytes(self.authority.path.read_bytes() + other.path.read_bytes())
        self.security(other.issue("a"))

    def test_no_certificate(self) -> None:
        """A transport that shows no certificate has no identity."""
        transport = StringTransport()
        transport.getPeerCertificate = lambda: None
        with self.assertRaises(Untrusted):
            self.security(self.authority.issue("a")).identity(transport)


class ClearSecurityTests(SynchronousTestCase):
    """L{ClearSecurity} leaves bytes alone."""

    def test_clear(self) -> None:
        """Nothing is wrapped; who is there is whom the given function names."""
        security = ClearSecurity(lambda transport: (PeerName("b"), key_of("b")))
        verifyObject(ISecurity, security)
        factory, endpoint = Factory(), object()
        self.assertIs(security.server(factory), factory)
        self.assertIs(security.client(endpoint), endpoint)
        self.assertEqual(security.identity(StringTransport()), ("b", key_of("b")))
