"""TLS for the embedded server, as OpenLDAP does it: a client may have a certificate, and then a good one."""

from __future__ import annotations

from OpenSSL.crypto import FILETYPE_PEM, X509, PKey, load_privatekey
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion

_END = b"-----END CERTIFICATE-----"


def _certificates(pem: bytes) -> list[X509]:
    """All certificates in C{pem}."""
    parts = pem.split(_END)[:-1]
    return [Certificate.loadPEM(part + _END).original for part in parts]


def server_options(certificate: bytes, key: bytes, authorities: bytes) -> CertificateOptions:
    """
    What L{EmbeddedDirectory} needs for StartTLS, and a TLS endpoint for C{ldaps}.

    All arguments are PEM; C{certificate} may be followed by its chain.  Raises L{OpenSSL.SSL.Error} or
    L{OpenSSL.crypto.Error} if they cannot be used.
    """
    own, *chain = _certificates(certificate)
    private: PKey = load_privatekey(FILETYPE_PEM, key)
    return CertificateOptions(
        privateKey=private,
        certificate=own,
        extraCertChain=chain,
        verify=True,
        caCerts=_certificates(authorities),
        requireCertificate=False,
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )
