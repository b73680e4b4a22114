"""
Signed envelopes: DSSE (github.com/secure-systems-lab/dsse) with Ed25519.

The signature covers the exact payload bytes and their type; nothing is parsed
before it is verified, and nothing is ever canonicalised.  This is a strict
profile: an envelope has exactly one spelling, the one that L{Envelope.encode}
writes, so that nobody on the way can make two of one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256

from attrs import evolve, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from clumpt.errors import BadDocument, Untrusted
from clumpt.model import HEX64, LARGEST_ENVELOPE
from clumpt.strictjson import Fields, dumps, loads, reading

#: Signatures on one envelope; each costs whoever receives it a tenth of a millisecond.
MOST_SIGNATURES = 16

#: The SHA-256 of a raw public key, in hexadecimal.
KeyId = str
Keys = Mapping[KeyId, Ed25519PublicKey]


def keyid_of(public: bytes) -> KeyId:
    """The name of the key whose 32 raw bytes are C{public}."""
    return sha256(public).hexdigest()


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@frozen
class Envelope:
    """
    A payload with its signatures, none of them checked yet.

    @ivar payload_type: what the payload claims to be; covered by the signatures.
    @ivar signatures: by keyid, in order of signing.
    """

    payload_type: str
    payload: bytes
    signatures: Mapping[KeyId, bytes]

    @classmethod
    def decode(cls, raw: bytes) -> Envelope:
        """What L{encode} wrote; raises L{BadDocument} for anything else, or anything longer than 40 KiB."""
        fields = Fields("envelope", loads(raw, LARGEST_ENVELOPE))
        payload, payload_type = fields.text("payload"), fields.text("payloadType")
        listed = fields.objects("signatures")
        if not 1 <= len(listed) <= MOST_SIGNATURES:
            raise BadDocument(f"envelope: {len(listed)} signatures, not 1..{MOST_SIGNATURES}")
        signatures: dict[KeyId, bytes] = {}
        with reading("envelope"):
            for one in listed:
                signatures[one.text("keyid")] = b64decode(one.text("sig"))
            envelope = cls(payload_type, b64decode(payload), signatures)
        # One comparison for all: keyids twice, fields too many, spare bits and spaces.
        if envelope.encode() != raw:
            raise BadDocument("envelope: not spelled as it must be")
        if not all(HEX64.fullmatch(keyid) for keyid in signatures):
            raise BadDocument("envelope: a keyid is no SHA-256 digest")
        return envelope

    def encode(self) -> bytes:
        """The envelope as it travels."""
        return dumps(
            {
                "payload": b64encode(self.payload).decode("ascii"),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": keyid, "sig": b64encode(signature).decode("ascii")}
                    for keyid, signature in self.signatures.items()
                ],
            }
        )

    def signed(self, key: Ed25519PrivateKey) -> Envelope:
        """This envelope with the signature of one more key; again with the same key changes nothing."""
        keyid = keyid_of(key.public_key().public_bytes_raw())
        signature = key.sign(pae(self.payload_type, self.payload))
        return evolve(self, signatures={**self.signatures, keyid: signature})

    def verify(self, payload_type: str, keys: Keys, threshold: int) -> Verified:
        """
        The payload, to be parsed now that C{threshold} of C{keys} are known to have signed it.

        Each key counts once; signatures of other keys, and wrong ones, count for nothing.
        Raises L{Untrusted}.
        """
        if self.payload_type != payload_type:
            raise Untrusted(f"signed as {self.payload_type[:60]!r}, where {payload_type!r} was asked for")
        message = pae(payload_type, self.payload)
        signers = frozenset(
            keyid
            for keyid, signature in self.signatures.items()
            if keyid in keys and _is_right(keys[keyid], signature, message)
        )
        if len(signers) < threshold:
            claimed = ", ".join(keyid[:8] for keyid in self.signatures)
            raise Untrusted(f"{len(signers)} of the {threshold} signatures needed; it claims {claimed}")
        return Verified(self.payload, signers)


@frozen
class Verified:
    """
    A payload that was verified.

    @ivar signers: the keys that are known to have signed it.
    """

    payload: bytes
    signers: frozenset[KeyId]


def _is_right(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
