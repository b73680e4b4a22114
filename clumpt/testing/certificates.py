"""Throw-away certificates for tests: an authority, and leaves for clients and for servers on the loopback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_ATTRIBUTES = {
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}
#: Valid from long ago to long from now, so that no clock is needed.
_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_END = _BEGIN + timedelta(days=36500)


def subject(text: str) -> x509.Name:
    """The name written as C{O=clumpt/OU=peers/CN=node001}."""
    parts = (part.partition("=") for part in text.split("/"))
    return x509.Name([x509.NameAttribute(_ATTRIBUTES[key], value) for key, _, value in parts])


@frozen
class Identity:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@frozen
class Authority:
    """
    A certificate authority that keeps its files in C{folder}.

    @ivar certificate: its own certificate, a PEM file.
    """

    folder: Path
    certificate: Path
    _name: x509.Name
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, folder: Path, name: str = "O=clumpt/CN=tests") -> Authority:
        """A new authority; C{folder} must exist."""
        key, who = ec.generate_private_key(ec.SECP256R1()), subject(name)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = _builder(who, who, key).add_extension(x509.BasicConstraints(True, None), True)
        signed = made.add_extension(usage, True).sign(key, SHA256())
        certificate = folder / "ca.crt"
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        return cls(folder, certificate, who, key)

    def issue(self, name: str, who: str) -> Identity:
        """
        A certificate for C{who} in the files C{name.crt} and C{name.key}.

        It is good for clients, and for servers at 127.0.0.1 and localhost.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        places = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = _builder(subject(who), self._name, key)
        made = made.add_extension(x509.BasicConstraints(False, None), True)
        made = made.add_extension(x509.ExtendedKeyUsage(uses), False)
        signed = made.add_extension(x509.SubjectAlternativeName(places), False).sign(self._key, SHA256())
        identity = Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        identity.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        identity.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return identity


def _builder(who: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(who).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(_BEGIN).not_valid_after(_END)
