"""Is the node who it says it is?  Looked at before a peer starts, so that it says what is wrong at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from attrs import define, field
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from twisted.internet.interfaces import IReactorTime

from clumpt import expiry
from clumpt.config import Config
from clumpt.errors import BadDocument, ConfigurationError, IdentityError, Untrusted
from clumpt.protocols.tls import TlsSecurity
from clumpt.trust.keyring import Keyring
from clumpt.trust.pki import expires


@define(eq=False)
class Expiry:
    """
    Knows when the certificate of this node ends.

    @ivar path: its file, which a renewal replaces.
    @ivar now: seconds since the epoch.
    """

    path: Path
    _now: Callable[[], float]
    _read: tuple[int, float] = field(default=(0, 0.0), init=False)

    def worry(self) -> str:
        """What to say if it ends soon, or has ended; empty if it does not, or cannot be read just now."""
        try:
            changed = self.path.stat().st_mtime_ns
            if changed != self._read[0]:
                self._read = changed, expires(x509.load_pem_x509_certificate(self.path.read_bytes()))
        except (OSError, ValueError):
            # What that means the next reload or start tells.
            return ""
        return expiry.worry(self._read[1], self._now())


def secured(config: Config, root: bytes, reactor: IReactorTime, now: float) -> TlsSecurity:
    """
    How the wires of this node are protected, with its certificate.

    @param root: the pinned root document.
    @param now: seconds since the epoch.
    @raise ConfigurationError: if the document or the certificate cannot be used, and would not be by others.
    @raise IdentityError: if the certificate is that of another node.
    """
    tls = config.tls
    try:
        deployment = Keyring.trusting([root]).deployment
    except (BadDocument, Untrusted) as wrong:
        raise ConfigurationError(
            f"{config.trust.root} is no root document to trust: {wrong} (root, in [trust])"
        ) from wrong
    security = TlsSecurity(reactor, tls.ca, tls.certificate, tls.key, deployment)
    name = security.own[0]
    if name != config.peer.name:
        raise IdentityError(
            f"{tls.certificate} is the certificate of {name}, but this peer is {config.peer.name}: "
            f"set name in [peer], or unpack the bundle of {config.peer.name} here"
        )
    own = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
    mend = f"clumptconf renew {name} makes a new one: unpack its bundle here"
    if own.not_valid_after_utc < datetime.fromtimestamp(now, UTC):
        raise ConfigurationError(
            f"{tls.certificate} expired on {own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; {mend}"
        )
    if not any(_issued(own, authority) for authority in x509.load_pem_x509_certificates(tls.ca.read_bytes())):
        raise ConfigurationError(f"{tls.certificate} was not issued by the authority in {tls.ca}; {mend}")
    return security


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
