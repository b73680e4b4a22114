"""Certificates for tests."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_FROM = datetime(2020, 1, 1)


@frozen
class Files:
    """Where a peer's certificate and key lie."""

    certificate: Path
    key: Path


class Authority:
    """A CA of its own."""

    def __init__(self, folder: Path, name: str = "test CA") -> None:
        self.folder = folder
        self.key = Ed25519PrivateKey.generate()
        self.certificate = self._sign(name, self.key, None, ca=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str | None,
        uris: tuple[str, ...] = (),
        key: Ed25519PrivateKey | None = None,
        until: datetime | None = None,
    ) -> Files:
        """A certificate for C{name}; None leaves the common name out."""
        key = key or Ed25519PrivateKey.generate()
        certificate = self._sign(name, key, self.certificate.subject, uris, until=until)
        stem = f"{name}-{certificate.serial_number:x}"
        files = Files(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def _sign(
        self,
        name: str | None,
        key: Ed25519PrivateKey,
        issuer: x509.Name | None,
        uris: tuple[str, ...] = (),
        ca: bool = False,
        until: datetime | None = None,
    ) -> x509.Certificate:
        parts = [] if name is None else [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        subject = x509.Name(parts)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_FROM)
            .not_valid_after(until or _FROM + timedelta(days=36500))
            .add_extension(x509.BasicConstraints(ca, None), True)
        )
        if uris:
            names = [x509.UniformResourceIdentifier(uri) for uri in uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self.key, None)
