"""The deployment's own certificate authority."""

import contextlib
import stat
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadInput, Conflict
from clumpt.model import PeerName
from clumpt.trust.pki import (
    ADMIN,
    SUBMITTER,
    Authority,
    Identity,
    Validity,
    certificate_digest,
    expires,
    fingerprint,
)

NOW = 1_800_000_000
YEAR = Validity(NOW, 365)
NODE = PeerName("node1")


def verify(authority: Authority, certificate: x509.Certificate, host: str | None, at: float = NOW) -> None:
    """Raises VerificationError if another verifier finds C{certificate} wrong; as a client's without host."""
    store = Store([authority.identity.certificate])
    policy = PolicyBuilder().store(store).time(datetime.fromtimestamp(at, UTC))
    if host is None:
        policy.build_client_verifier().verify(certificate, [])
        return
    try:
        name: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    policy.build_server_verifier(name).verify(certificate, [])


def common_name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def shake_hands(server: SSL.Connection, client: SSL.Connection) -> None:
    """Let two connections in memory talk until both are satisfied; raises SSL.Error if one is not."""
    server.set_accept_state()
    client.set_connect_state()
    ready: set[SSL.Connection] = set()
    while len(ready) < 2:
        for here, there in ((client, server), (server, client)):
            try:
                here.do_handshake()
                ready.add(here)
            except SSL.WantReadError:
                pass
            with contextlib.suppress(SSL.WantReadError):
                there.bio_write(here.bio_read(65536))


class PkiTests(SynchronousTestCase):
    """Certificates open lines for whom they name, as long as they say."""

    def setUp(self) -> None:
        self.authority = Authority.create("site", YEAR)

    def context(self, identity: Identity, trusted: Authority) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.use_certificate(X509.from_cryptography(identity.certificate))
        context.use_privatekey_file(str(self.key_file(identity)))
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(X509.from_cryptography(trusted.identity.certificate))
        store.set_time(datetime.fromtimestamp(NOW, UTC))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *found: bool(found[4]))
        return context

    def key_file(self, identity: Identity) -> Path:
        path = Path(self.mktemp())
        path.write_bytes(identity.key_pem())
        return path

    def test_peer(self) -> None:
        """A peer's certificate serves and calls, at all its hosts, under its name in this deployment."""
        hosts = ["node1.example.org", "10.0.0.1", "fe80::1%eth0"]
        certificate = self.authority.peer(NODE, hosts, YEAR).certificate
        for host in ("node1.example.org", "10.0.0.1", "fe80::1"):
            verify(self.authority, certificate, host)
        verify(self.authority, certificate, None)
        self.assertRaises(VerificationError, verify, self.authority, certificate, "node2.example.org")
        self.assertEqual(common_name(certificate), "CN=node1")
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(
            names.get_values_for_type(x509.UniformResourceIdentifier), ["urn:clumpt:site:peer:node1"]
        )

    def test_handshake(self) -> None:
        """Two peers of one authority meet over TLS 1.3, and each sees the other's fingerprint."""
        one, two = (self.authority.peer(PeerName(name), [name], YEAR) for name in ("node1", "node2"))
        server = SSL.Connection(self.context(one, self.authority), None)
        client = SSL.Connection(self.context(two, self.authority), None)
        shake_hands(server, client)
        seen = server.get_peer_certificate(), client.get_peer_certificate()
        self.assertEqual(
            [fingerprint(one) for one in seen if one],
            [fingerprint(two.certificate), fingerprint(one.certificate)],
        )
        self.assertEqual(client.get_protocol_version_name(), "TLSv1.3")

    def test_other_authority(self) -> None:
        """A peer of another authority of the same name is turned away."""
        other = Authority.create("site", YEAR)
        stranger = other.peer(NODE, ["node1"], YEAR)
        good = self.authority.peer(NODE, ["node1"], YEAR)
        self.assertRaises(VerificationError, verify, self.authority, stranger.certificate, "node1")
        server = SSL.Connection(self.context(good, self.authority), None)
        client = SSL.Connection(self.context(stranger, self.authority), None)
        self.assertRaises(SSL.Error, shake_hands, server, client)

    def test_clients(self) -> None:
        """An administrator's tools can call, but not serve."""
        for name in (ADMIN, SUBMITTER):
            certificate = self.authority.client(name, YEAR).certificate
            verify(self.authority, certificate, None)
            purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            self.assertEqual(list(purposes), [ExtendedKeyUsageOID.CLIENT_AUTH])
            self.assertEqual(common_name(certificate), f"CN={name}")

    def test_no_peer_is_admin(self) -> None:
        """No peer gets a certificate that the directory takes for an administrator's, or for none."""
        for name in (ADMIN, SUBMITTER, "", "../x", "a,cn=b", "x" * 64):
            self.assertRaises(BadInput, self.authority.peer, PeerName(name), ["node1"], YEAR)

    def test_hosts(self) -> None:
        """A host that can stand in no certificate is the operator's mistake."""
        self.assertRaises(BadInput, self.authority.peer, NODE, ["knot\u00e9"], YEAR)
        self.assertRaises(BadInput, self.authority.server, [], YEAR)

    def test_directory_server(self) -> None:
        """A directory server's certificate is good for its names, and for talking to its provider."""
        certificate = self.authority.server(["ldap.example.org", "127.0.0.1"], YEAR).certificate
        for host in ("ldap.example.org", "127.0.0.1", None):
            verify(self.authority, certificate, host)

    def test_no_authority_below(self) -> None:
        """A peer cannot make certificates that count."""
        peer = self.authority.peer(NODE, ["node1"], YEAR)
        forged = Authority("site", peer).peer(PeerName("node2"), ["node2"], YEAR).certificate
        store = Store([self.authority.identity.certificate])
        policy = PolicyBuilder().store(store).time(datetime.fromtimestamp(NOW, UTC))
        verifier = policy.build_server_verifier(x509.DNSName("node2"))
        self.assertRaises(VerificationError, verifier.verify, forged, [peer.certificate])
        limits = self.authority.identity.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        self.assertEqual(limits.value.path_length, 0)

    def test_validity(self) -> None:
        """A certificate is good from an hour before it was made until it ends, and says when."""
        certificate = self.authority.peer(NODE, ["node1"], Validity(NOW, 30)).certificate
        end = NOW + 30 * 86400
        self.assertEqual(expires(certificate), end)
        self.assertEqual(expires(X509.from_cryptography(certificate)), end)
        for at, good in ((NOW - 3600, True), (NOW - 3601, False), (end, True), (end + 1, False)):
            if good:
                verify(self.authority, certificate, "node1", at)
            else:
                self.assertRaises(VerificationError, verify, self.authority, certificate, "node1", at)

    def test_fingerprint(self) -> None:
        """The fingerprint is that of the key: of both libraries' certificates, and kept by a renewal."""
        identity = self.authority.peer(NODE, ["node1"], Validity(NOW, 30))
        renewed = self.authority.renew(identity.certificate, Validity(NOW, 60))
        verify(self.authority, renewed, "node1")
        verify(self.authority, renewed, None)
        self.assertEqual(expires(renewed), NOW + 60 * 86400)
        self.assertEqual(fingerprint(renewed), fingerprint(identity.certificate))
        self.assertEqual(fingerprint(X509.from_cryptography(renewed)), fingerprint(renewed))
        self.assertNotEqual(certificate_digest(renewed), certificate_digest(identity.certificate))
        again = self.authority.peer(NODE, ["node1"], YEAR)
        self.assertNotEqual(fingerprint(again.certificate), fingerprint(renewed))

    def test_renew_a_strange_one(self) -> None:
        """Only keys of the kind that Clumpt makes are renewed."""
        key = Ed25519PrivateKey.generate()
        name = x509.Name([])
        times = datetime.fromtimestamp(NOW, UTC), datetime.fromtimestamp(NOW + 9, UTC)
        strange = x509.CertificateBuilder(name, name, key.public_key(), 1, *times).sign(key, None)
        self.assertRaises(BadInput, self.authority.renew, strange, YEAR)


class FileTests(SynchronousTestCase):
    """Identities in files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.certificate, self.key = self.folder / "node1.pem", self.folder / "node1.key"
        self.authority = Authority.create("site", YEAR)

    def test_round_trip(self) -> None:
        """What was saved comes back, the key being its owner's alone."""
        for passphrase in (None, b"open sesame"):
            self.key.unlink(missing_ok=True)
            self.authority.identity.save(self.certificate, self.key, passphrase)
            loaded = Authority("site", Identity.load(self.certificate, self.key, passphrase))
            verify(self.authority, loaded.peer(NODE, ["node1"], YEAR).certificate, "node1")
            modes = [stat.S_IMODE(path.stat().st_mode) for path in (self.certificate, self.key)]
            self.assertEqual(modes, [0o644, 0o600])

    def test_never_over_a_key(self) -> None:
        """A key is not overwritten, nor is the certificate that belongs to it."""
        self.authority.identity.save(self.certificate, self.key)
        other = self.authority.peer(NODE, ["node1"], YEAR)
        self.assertRaises(Conflict, other.save, self.certificate, self.key)
        Identity.load(self.certificate, self.key)

    def test_wrong_files(self) -> None:
        """Files that are missing, damaged, or of two identities are the operator's mistake."""
        self.authority.identity.save(self.certificate, self.key, b"open sesame")
        self.assertRaises(BadInput, Identity.load, self.certificate, self.key)
        self.assertRaises(BadInput, Identity.load, self.certificate, self.key, b"x")
        self.assertRaises(BadInput, Identity.load, self.folder / "x", self.key, b"open sesame")
        other = self.authority.peer(NODE, ["node1"], YEAR)
        other.save(self.folder / "other.pem", self.folder / "other.key")
        error = self.assertRaises(BadInput, Identity.load, self.certificate, self.folder / "other.key")
        self.assertIn("is not the key to", str(error))
        self.certificate.write_bytes(b"rubbish")
        self.assertRaises(BadInput, Identity.load, self.certificate, self.key, b"open sesame")

    def test_secret(self) -> None:
        """A private key does not show where values are printed."""
        self.assertNotIn("key=", repr(self.authority))
