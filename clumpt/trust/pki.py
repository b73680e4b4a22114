"""
The deployment's own certificate authority, for TLS between peers and to the directory.

A certificate only opens a line: whether a peer belongs here its signed
membership says, by the fingerprint of its key.  So a stolen authority lets
nobody run anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL.crypto import X509

from clumpt.errors import BadInput
from clumpt.model import PeerName, is_name
from clumpt.pieces import Digest, digest_of
from clumpt.trust.files import PRIVATE, PUBLIC, read, write

#: The common names that the directory gives an administrator's and a submitter's rights to.
ADMIN = "clumpt-admin"
SUBMITTER = "clumpt-submitter"

#: How far the clocks of nodes may be behind the one that issues.
SKEW = timedelta(hours=1)

_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH


def fingerprint(certificate: x509.Certificate | X509) -> Digest:
    """SHA-256 of the certificate's public key (SubjectPublicKeyInfo), which a renewal keeps."""
    if isinstance(certificate, X509):
        certificate = certificate.to_cryptography()
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return digest_of(spki)


def certificate_digest(certificate: x509.Certificate) -> Digest:
    """SHA-256 of the whole certificate (DER), as the root document names authorities."""
    return digest_of(certificate.public_bytes(Encoding.DER))


def expires(certificate: x509.Certificate | X509) -> float:
    """When the certificate ends, in seconds since the epoch."""
    if isinstance(certificate, X509):
        certificate = certificate.to_cryptography()
    return certificate.not_valid_after_utc.timestamp()


@frozen
class Validity:
    """
    For how long a certificate is good.

    @ivar now: seconds since the epoch.
    @ivar days: from now on, > 0; an hour before now is allowed for clocks that are behind.
    """

    now: float
    days: float

    @property
    def begin(self) -> datetime:
        """The first moment."""
        return datetime.fromtimestamp(int(self.now), UTC) - SKEW

    @property
    def end(self) -> datetime:
        """The last moment."""
        return datetime.fromtimestamp(int(self.now), UTC) + timedelta(days=self.days)


@frozen(eq=False)
class Identity:
    """A certificate and the private key to it."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def load(cls, certificate: Path, key: Path, passphrase: bytes | None = None) -> Identity:
        """
        What L{save} wrote.

        Raises L{BadInput} if it is not there, its passphrase is another, others may read the key, or the
        two do not belong together.
        """
        try:
            found = x509.load_pem_x509_certificate(read(certificate))
            private = load_pem_private_key(read(key, private=True), passphrase)
        except (TypeError, ValueError) as wrong:
            raise BadInput(f"{certificate} or {key} is not in PEM, or the passphrase is wrong") from wrong
        if not isinstance(private, EllipticCurvePrivateKey) or private.public_key() != found.public_key():
            raise BadInput(f"{key} is not the key to {certificate}")
        return cls(found, private)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, as files hold it."""
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        """The private key, as files hold it (PKCS#8)."""
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    def save(self, certificate: Path, key: Path, passphrase: bytes | None = None) -> None:
        """
        Write both, the key first and for its owner only.

        Raises L{clumpt.errors.Conflict} if there is a key already; a certificate is replaced.
        """
        write(key, self.key_pem(passphrase), PRIVATE)
        write(certificate, self.certificate_pem, PUBLIC, replace=True)


@frozen(eq=False)
class Authority:
    """The certificate authority of one deployment."""

    deployment: str
    identity: Identity

    @classmethod
    def create(cls, deployment: str, validity: Validity) -> Authority:
        """A new authority, which signs itself and may not make others."""
        key = generate_private_key(SECP256R1())
        name = _name(f"Clumpt {deployment}"[:64])
        builder = (
            _builder(name, name, key.public_key(), key.public_key(), validity)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
        )
        return cls(deployment, Identity(builder.sign(key, SHA256()), key))

    def peer(self, name: PeerName, hosts: Iterable[str], validity: Validity) -> Identity:
        """
        A new key and certificate for the peer C{name}, reachable at C{hosts} (names and addresses).

        Raises L{BadInput} for a name that is none, or has a meaning of its own.
        """
        if not is_name(name) or name in (ADMIN, SUBMITTER):
            raise BadInput(f"{name!r} cannot be the name of a peer")
        urn = x509.UniformResourceIdentifier(f"urn:clumpt:{self.deployment}:peer:{name}")
        return self._issue(name, [urn, *map(_host, hosts)], [_SERVER, _CLIENT], validity)

    def client(self, name: str, validity: Validity) -> Identity:
        """A new key and certificate for a person's tools: L{ADMIN} or L{SUBMITTER}."""
        urn = x509.UniformResourceIdentifier(f"urn:clumpt:{self.deployment}:client:{name}")
        return self._issue(name, [urn], [_CLIENT], validity)

    def server(self, hosts: Iterable[str], validity: Validity) -> Identity:
        """
        A new key and certificate for a directory server at C{hosts}, its own name first.

        Replicas talk to their provider with it, so it is good for a client too.
        """
        listed = list(hosts)
        if not listed:
            raise BadInput("a directory server needs at least one host name or address")
        return self._issue(listed[0][:64], list(map(_host, listed)), [_SERVER, _CLIENT], validity)

    def renew(self, certificate: x509.Certificate, validity: Validity) -> x509.Certificate:
        """C{certificate} again, for the same key and so with the same fingerprint, from this authority."""
        public = certificate.public_key()
        if not isinstance(public, EllipticCurvePublicKey):
            raise BadInput("only certificates that Clumpt issued can be renewed")
        builder = self._builder(certificate.subject, public, validity)
        for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage):
            kept = certificate.extensions.get_extension_for_class(kind)
            builder = builder.add_extension(kept.value, critical=kept.critical)
        return builder.sign(self.identity.key, SHA256())

    def _issue(
        self,
        name: str,
        names: list[x509.GeneralName],
        purposes: list[x509.ObjectIdentifier],
        validity: Validity,
    ) -> Identity:
        key = generate_private_key(SECP256R1())
        builder = (
            self._builder(_name(name), key.public_key(), validity)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        )
        return Identity(builder.sign(self.identity.key, SHA256()), key)

    def _builder(
        self, subject: x509.Name, public: EllipticCurvePublicKey, validity: Validity
    ) -> x509.CertificateBuilder:
        issuer = self.identity.certificate.subject
        builder = _builder(subject, issuer, public, self.identity.key.public_key(), validity)
        return builder.add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        ).add_extension(_usage(certificates=False), critical=True)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: EllipticCurvePublicKey,
    issuing: EllipticCurvePublicKey,
    validity: Validity,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.begin)
        .not_valid_after(validity.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as wrong:
        raise BadInput(f"{host!r} is neither a host name in ASCII nor an address") from wrong


def _usage(certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
