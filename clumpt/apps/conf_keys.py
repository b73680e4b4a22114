"""The administrator's files: where they are, the keys among them, and what these sign."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import define, field, frozen
from cryptography import x509

from clumpt.apps.connect import ADMIN_FILES, SUBMITTER_FILES
from clumpt.config import Config
from clumpt.errors import BadDocument, BadInput, IdentityError, Untrusted
from clumpt.interfaces import IKeyring
from clumpt.model import GroupName, Member, PeerName
from clumpt.pieces import Digest
from clumpt.trust.files import read
from clumpt.trust.keyring import Keyring
from clumpt.trust.pki import ADMIN, SUBMITTER, Authority, Identity, Validity
from clumpt.trust.signer import Signer

#: What C{renew} calls the certificate of the directory servers.
DIRECTORY = "clumpt-directory"


@frozen
class Places:
    """
    Where the administrator's files are: below C{clumpt/} beside C{clumpt.ini}, as on the nodes.

    @ivar folder: of the root document and the signing keys.
    @ivar tls: of the certificates and their keys.
    """

    folder: Path
    tls: Path

    @classmethod
    def of(cls, config: Config) -> Places:
        """Those that C{[trust] root} and C{[tls] ca} tell."""
        return cls(config.trust.root.parent, config.tls.ca.parent)

    @classmethod
    def below(cls, out: Path) -> Places:
        """Those of the configuration C{OUT/clumpt.ini}."""
        return cls(out / "clumpt", out / "clumpt" / "tls")

    @property
    def root(self) -> Path:
        """Root version 1, as every node has it."""
        return self.folder / "root.json"

    @property
    def root_key(self) -> Path:
        """The key that signs root documents; it belongs off-line."""
        return self.folder / "offline" / "root-key.pem"

    @property
    def enrol_key(self) -> Path:
        """The key that signs memberships."""
        return self.folder / "enrol-key.pem"

    @property
    def submit_key(self) -> Path:
        """The key that signs updates."""
        return self.folder / "submit-key.pem"

    @property
    def bundles(self) -> Path:
        """What is to be brought to the nodes."""
        return self.folder / "nodes"

    @property
    def directory(self) -> Path:
        """What the directory servers need."""
        return self.folder / "directory"

    @property
    def own_certificates(self) -> dict[str, Path]:
        """Those that are no node's, by what C{renew} calls them."""
        return {
            ADMIN: self.pair(ADMIN_FILES)[0],
            SUBMITTER: self.pair(SUBMITTER_FILES)[0],
            DIRECTORY: self.directory / "server.pem",
        }

    def pair(self, name: str) -> tuple[Path, Path]:
        """The certificate called C{name} and its key."""
        return self.tls / f"{name}.pem", self.tls / f"{name}-key.pem"


def load_certificate(path: Path) -> x509.Certificate:
    """The certificate in C{path}; raises L{BadInput} if there is none."""
    pem = read(path)
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as wrong:
        raise BadInput(f"{path} is no certificate in PEM") from wrong


@define(eq=False)
class Keys:
    """
    The administrator's keys, read when they are needed.

    @ivar days: for how long a certificate is good that is issued now.
    @ivar root_passphrase: of the root key, if it has one.
    """

    places: Places
    days: float = 3650.0
    root_passphrase: bytes | None = field(default=None, repr=False)

    def keyring(self, published: Sequence[bytes] = ()) -> Keyring:
        """
        What the administrator trusts: the own root document, and those that followed it.

        Raises L{IdentityError} if those C{published} begin with another one.
        """
        pinned = read(self.places.root)
        if published and published[0] != pinned:
            raise IdentityError(
                f"the directory's root document is not {self.places.root}: it is another deployment's"
            )
        try:
            keyring = Keyring.trusting([pinned])
        except (BadDocument, Untrusted) as wrong:
            raise BadInput(f"{self.places.root} is no root document to trust: {wrong}") from wrong
        for envelope in published[1:]:
            keyring.learn_root(envelope)
        return keyring

    def enroller(self) -> Signer:
        """The key that signs memberships."""
        return Signer.load(self.places.enrol_key)

    def root_signer(self) -> Signer | None:
        """The key that signs root documents, None if it is not here, where it need not be."""
        path = self.places.root_key
        return Signer.load(path, self.root_passphrase) if path.exists() else None

    def authority(self, deployment: str) -> Authority:
        """The deployment's certificate authority."""
        certificate, key = self.places.pair("ca")
        if not key.exists():
            raise BadInput(
                f"the authority's key {key} is not here: bring it, or give the node's own --certificate"
            )
        return Authority(deployment, Identity.load(certificate, key))

    def validity(self, now: float) -> Validity:
        """From C{now} on."""
        return Validity(now, self.days)


@frozen
class Statement:
    """Signs memberships of one deployment at one moment."""

    enroller: Signer
    keyring: IKeyring
    now: float

    def of(self, name: PeerName, key: Digest, groups: frozenset[GroupName], after: int = 0) -> bytes:
        """
        The statement that the peer with this C{key} belongs to C{groups}.

        @param after: the generation of the statement that it replaces.  A peer that was removed may come
            back, so the first generation of each is the time.
        """
        generation = after + 1 if after else max(1, int(self.now))
        return self.enroller.sign_member(
            Member(self.keyring.deployment, name, generation, key, groups, int(self.now))
        )
