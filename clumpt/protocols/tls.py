"""How wires are protected: mutual TLS 1.3, or, for simulations, not at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, trustRootFromCertificates
from zope.interface import implementer

from clumpt.errors import ConfigurationError, Untrusted
from clumpt.interfaces import ISecurity
from clumpt.model import PeerName, is_name
from clumpt.pieces import Digest
from clumpt.protocols.records import RecordsFactory

#: The names that a certificate may carry beside the common one, a peer's or that of an administrator's tool.
URN = "urn:clumpt:"
_NAME = re.compile(rf"{URN}(.*):(?:peer|client):(.*)", re.DOTALL)


def fingerprint(certificate: x509.Certificate) -> Digest:
    """The SHA-256 of the public key (SubjectPublicKeyInfo): it stays when the certificate is renewed."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Digest(sha256(key).hexdigest())


def subject(certificate: x509.Certificate, deployment: str = "") -> tuple[PeerName, Digest]:
    """
    The peer that C{certificate} names, and its key's fingerprint.

    @param deployment: if not empty, the only one that a name of ours in it may belong to.
    @raise Untrusted: if it names no peer.
    """
    try:
        names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        urns = [uri for uri in _uris(certificate) if uri.startswith(URN)]
        key = fingerprint(certificate)
    except (ValueError, UnsupportedAlgorithm) as wrong:
        raise Untrusted("its certificate cannot be read") from wrong
    if len(names) != 1 or not is_name(names[0]):
        raise Untrusted("its certificate has no common name that could be a peer's")
    for urn in urns:
        found = _NAME.fullmatch(urn)
        if found is None or found[2] != names[0]:
            raise Untrusted(
                f"the names in its certificate do not belong together: {names[0]} and {urn[:200]!r}"
            )
        if deployment and found[1] != deployment:
            raise Untrusted(f"its certificate belongs to deployment {found[1][:200]!r}, not {deployment!r}")
    return PeerName(names[0]), key


@implementer(ISecurity, IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
@define(eq=False)
class TlsSecurity:
    """
    Mutual TLS 1.3 under the cluster's own CA.

    Certificates chain to the CA, which is the first fence only: who may link
    is for the agent to decide, by name and key.  Host names play no part.

    @ivar clock: for what is written in the next turn of the reactor.
    @ivar ca: PEM file with one or more CA certificates (two while one follows the other).
    @ivar certificate: PEM file with this peer's certificate.
    @ivar key: PEM file with its private key.
    @ivar deployment: what C{urn:clumpt:} names in certificates must belong to; empty for any.
    @ivar own: this peer's name and fingerprint, from its certificate.
    """

    clock: IReactorTime
    ca: Path
    certificate: Path
    key: Path
    deployment: str = ""
    own: tuple[PeerName, Digest] = field(init=False)
    _context: SSL.Context = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reload()

    def reload(self) -> None:
        """
        Read the files again; new connections use what is in them now.

        @raise ConfigurationError: if they cannot be used; all stays as it was.
        """
        authorities = _read(self.ca, x509.load_pem_x509_certificates)
        certificate = _read(self.certificate, x509.load_pem_x509_certificate)
        key = _read(self.key, lambda raw: crypto.load_privatekey(crypto.FILETYPE_PEM, raw))
        options = CertificateOptions(
            privateKey=key,
            certificate=crypto.X509.from_cryptography(certificate),
            trustRoot=trustRootFromCertificates(
                [Certificate(crypto.X509.from_cryptography(one)) for one in authorities]
            ),
            raiseMinimumTo=TLSVersion.TLSv1_3,
        )
        try:
            context = options.getContext()
            own = subject(certificate, self.deployment)
        except SSL.Error as wrong:
            raise ConfigurationError(f"{self.key} is not the key of {self.certificate}") from wrong
        except Untrusted as wrong:
            raise ConfigurationError(f"{self.certificate}: {wrong}") from wrong
        self._context, self.own = context, own

    def client(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """See L{ISecurity}."""
        return _Dialled(self, endpoint)

    def server(self, factory: IProtocolFactory) -> IProtocolFactory:
        """See L{ISecurity}."""
        return RecordsFactory(self, False, factory, self.clock)

    def identity(self, transport: ITransport) -> tuple[PeerName, Digest]:
        """See L{ISecurity}."""
        # Any: only TLS transports have it, and only they come here.
        wire: Any = transport
        certificate = wire.getPeerCertificate()
        if certificate is None:
            raise Untrusted("it shows no certificate")
        return subject(certificate.to_cryptography(), self.deployment)

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """The TLS half of a connection that we dialled."""
        return SSL.Connection(self._context, None)

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """The TLS half of a connection that came in."""
        return SSL.Connection(self._context, None)


@implementer(IStreamClientEndpoint)
@frozen
class _Dialled:
    """The way to somebody who is to prove who it is."""

    _security: TlsSecurity
    _endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Fires with the protocol, as soon as there is a connection for TLS."""
        # Any: Twisted's types want protocols that know how to half close.
        wrapped: Any = RecordsFactory(self._security, True, protocolFactory, self._security.clock)
        connected: Deferred[Any] = self._endpoint.connect(wrapped)
        return connected.addCallback(lambda outer: outer.wrappedProtocol)


@implementer(ISecurity)
@frozen
class ClearSecurity:
    """
    Bytes as they are: for simulations, where everybody is believed.

    @ivar identities: who is at the far end of a transport; raises L{Untrusted} for nobody.
    """

    identities: Callable[[ITransport], tuple[PeerName, Digest]]

    def client(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """See L{ISecurity}."""
        return endpoint

    def server(self, factory: IProtocolFactory) -> IProtocolFactory:
        """See L{ISecurity}."""
        return factory

    def identity(self, transport: ITransport) -> tuple[PeerName, Digest]:
        """See L{ISecurity}."""
        return self.identities(transport)


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _read(path: Path, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(path.read_bytes())
    except OSError as wrong:
        raise ConfigurationError(f"{path}: {wrong.strerror}") from wrong
    except (ValueError, crypto.Error) as wrong:
        raise ConfigurationError(f"{path}: not a PEM file of the right kind") from wrong
