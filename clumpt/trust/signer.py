"""Private keys that sign updates, memberships and root documents; only on administrators' machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from attrs import define, field
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from zope.interface import implementer

from clumpt.errors import BadDocument, BadInput
from clumpt.interfaces import ISigner
from clumpt.model import LARGEST_ENVELOPE, Entry, Member, Update
from clumpt.pieces import digest_of
from clumpt.trust.documents import (
    MEMBER,
    ROOT,
    UPDATE,
    decode_member,
    decode_root,
    decode_update,
    encode_member,
    encode_root,
    encode_update,
)
from clumpt.trust.dsse import MOST_SIGNATURES, Envelope, KeyId
from clumpt.trust.files import PRIVATE, read, write
from clumpt.trust.root import Key, Root

T = TypeVar("T")


@implementer(ISigner)
@define(eq=False)
class Signer:
    """An Ed25519 private key that signs Clumpt's documents; what it signs, a keyring can read."""

    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Signer:
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> Signer:
        """
        The key in C{path} (PKCS#8, PEM).

        Raises L{BadInput} if there is none, its passphrase is another, or others than the owner may read it.
        """
        try:
            key = load_pem_private_key(read(path, private=True), passphrase)
        except TypeError as wrong:
            hint = "needs a passphrase" if passphrase is None else "has no passphrase"
            raise BadInput(f"the key {path} {hint}") from wrong
        except (ValueError, UnsupportedAlgorithm) as wrong:
            raise BadInput(f"{path} is no private key in PEM, or the passphrase is wrong") from wrong
        if not isinstance(key, Ed25519PrivateKey):
            raise BadInput(f"{path} is not an Ed25519 key; make one with clumptconf")
        return cls(key)

    def save(self, path: Path, passphrase: bytes | None = None) -> None:
        """Write the key to C{path}, mode 0600; raises L{clumpt.errors.Conflict} if there is one."""
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        write(path, self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), PRIVATE)

    def public(self, label: str) -> Key:
        """The public half, as a root document names it."""
        return Key(self._key.public_key().public_bytes_raw(), label)

    @property
    def keyid(self) -> KeyId:
        """SHA-256 of the raw public key."""
        return self.public("").keyid

    def sign_update(self, update: Update) -> Entry:
        """The signed entry for C{update}; raises L{BadInput} if no peer would take it."""
        payload = encode_update(update)
        envelope = self._sign(UPDATE, payload, update, decode_update)
        return Entry(update, envelope, digest_of(payload))

    def sign_member(self, member: Member) -> bytes:
        """The envelope of a membership statement; raises L{BadInput} if no peer would take it."""
        return self._sign(MEMBER, encode_member(member), member, decode_member)

    def sign_root(self, root: Root) -> bytes:
        """The envelope of a root document; L{cosign} adds what its thresholds need."""
        return self._sign(ROOT, encode_root(root), root, decode_root)

    def cosign(self, envelope: bytes) -> bytes:
        """C{envelope} with this key's signature added; show a person what is in it first."""
        return _bounded(Envelope.decode(envelope).signed(self._key))

    def _sign(self, payload_type: str, payload: bytes, value: T, decode: Callable[[bytes], T]) -> bytes:
        # Signed is for ever: so never sign what would be read otherwise, or not at all.
        try:
            same = decode(payload) == value
        except BadDocument as wrong:
            raise BadInput(f"this cannot be signed: {wrong}") from wrong
        if not same:
            raise BadInput("this cannot be signed: it would be read as something else")
        return _bounded(Envelope(payload_type, payload, {}).signed(self._key))


def _bounded(envelope: Envelope) -> bytes:
    if len(envelope.signatures) > MOST_SIGNATURES:
        raise BadInput(f"it has {MOST_SIGNATURES} signatures already, which is all that peers take")
    raw = envelope.encode()
    if len(raw) > LARGEST_ENVELOPE:
        raise BadInput(f"{len(raw)} bytes when signed, at most {LARGEST_ENVELOPE}: name fewer things at once")
    return raw
