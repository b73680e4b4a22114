"""Signed envelopes."""

import json
from base64 import b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadDocument, Untrusted
from clumpt.model import LARGEST_ENVELOPE
from clumpt.trust.dsse import MOST_SIGNATURES, Envelope, Keys, keyid_of, pae

KIND = "application/vnd.clumpt.thing.v1+json"
PRIVATE = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(20)]


def keys(*numbers: int) -> Keys:
    public = [PRIVATE[number].public_key() for number in numbers]
    return {keyid_of(key.public_bytes_raw()): key for key in public}


def signed(payload: bytes, *numbers: int) -> Envelope:
    envelope = Envelope(KIND, payload, {})
    for number in numbers:
        envelope = envelope.signed(PRIVATE[number])
    return envelope


class EnvelopeTests(SynchronousTestCase):
    """L{Envelope} has one spelling, and vouches for nothing by itself."""

    def test_pae(self) -> None:
        """What is signed is what the DSSE protocol's own example says."""
        self.assertEqual(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world",
        )

    @given(st.binary(max_size=200), st.sets(st.integers(0, 5), min_size=1))
    def test_round_trip(self, payload: bytes, numbers: set[int]) -> None:
        """An envelope survives the way, and the payload comes out as it was signed."""
        envelope = Envelope.decode(signed(payload, *numbers).encode())
        verified = envelope.verify(KIND, keys(*numbers), len(numbers))
        self.assertEqual(verified.payload, payload)
        self.assertEqual(verified.signers, set(keys(*numbers)))

    @given(st.integers(0, 400), st.integers(1, 255))
    def test_altered_byte(self, at: int, by: int) -> None:
        """No byte can be altered in any way."""
        raw = bytearray(signed(b'{"payload":"?"}', 1).encode())
        raw[at % len(raw)] ^= by
        with self.assertRaises((BadDocument, Untrusted)):
            Envelope.decode(bytes(raw)).verify(KIND, keys(1), 1)

    def test_altered_at_each_offset(self) -> None:
        """Nor can one be left out, doubled, or put in, anywhere."""
        raw = signed(b'{"payload":"?"}', 1).encode()
        for at in range(len(raw)):
            for middle in (b"", raw[at : at + 1] * 2, b" " + raw[at : at + 1], bytes([raw[at] ^ 1])):
                with self.assertRaises((BadDocument, Untrusted)):
                    Envelope.decode(raw[:at] + middle + raw[at + 1 :]).verify(KIND, keys(1), 1)

    def test_other_spellings(self) -> None:
        """What says the same in other words is refused, so that nobody can make two of one."""
        good = json.loads(signed(b"\xff\xfe", 1).encode())
        one = good["signatures"][0]
        self.assertEqual(good["payload"], "//4=")
        for changed in (
            {**good, "payload": "__4="},
            {**good, "payload": "//5="},
            {**good, "payload": "//4"},
            {**good, "payload": " //4="},
            {**good, "extra": 1},
            {**good, "signatures": [{**one, "cert": "x"}]},
            {**good, "signatures": [one, one]},
            {**good, "signatures": [{**one, "keyid": one["keyid"].upper()}]},
            {
                "signatures": good["signatures"],
                "payload": good["payload"],
                "payloadType": good["payloadType"],
            },
        ):
            self.assertRaises(
                BadDocument, Envelope.decode, json.dumps(changed, separators=(",", ":")).encode()
            )
        self.assertRaises(BadDocument, Envelope.decode, json.dumps(good).encode())

    def test_wrong_shapes(self) -> None:
        """What is no envelope is refused as such."""
        good = json.loads(signed(b"x", 1).encode())
        shapes: list[Any] = [
            {},
            {**good, "payload": None},
            {**good, "payload": 1},
            {**good, "payload": "a"},
            {**good, "payload": "\u00e9"},
            {**good, "payloadType": "\ud800"},
            {**good, "signatures": {}},
            {**good, "signatures": []},
            {**good, "signatures": [[]]},
            {**good, "signatures": [{"keyid": "", "sig": ""}]},
            {**good, "signatures": [{"keyid": "../x", "sig": ""}]},
        ]
        for shape in shapes:
            self.assertRaises(BadDocument, Envelope.decode, json.dumps(shape, separators=(",", ":")).encode())

    def test_oversized(self) -> None:
        """The largest envelope is taken, and not one byte more."""
        room = LARGEST_ENVELOPE - len(signed(b"", 1).encode())
        fits = signed(b"x" * (room // 4 * 3), 1)
        self.assertEqual(Envelope.decode(fits.encode()), fits)
        too_large = signed(b"x" * (room // 4 * 3 + 3), 1)
        error = self.assertRaises(BadDocument, Envelope.decode, too_large.encode())
        self.assertIn("at most", str(error))

    def test_many_signatures(self) -> None:
        """The number of signatures, and so the work of checking them, is bounded."""
        Envelope.decode(signed(b"x", *range(MOST_SIGNATURES)).encode())
        with self.assertRaises(BadDocument):
            Envelope.decode(signed(b"x", *range(MOST_SIGNATURES + 1)).encode())


class VerifyTests(SynchronousTestCase):
    """Only keys that were asked for vouch, each once."""

    def test_threshold(self) -> None:
        """As many different keys as the threshold says must have signed."""
        envelope = signed(b"x", 1, 2)
        envelope.verify(KIND, keys(1, 2, 3), 2)
        self.assertRaises(Untrusted, envelope.verify, KIND, keys(1, 2, 3), 3)
        self.assertRaises(Untrusted, envelope.verify, KIND, keys(1, 3), 2)

    def test_duplicate_keyid(self) -> None:
        """One key does not make a threshold of two, whether it signs twice or is written twice."""
        envelope = signed(b"x", 1, 1)
        self.assertRaises(Untrusted, envelope.verify, KIND, keys(1, 2), 2)
        raw = json.loads(envelope.encode())
        raw["signatures"] *= 2
        self.assertRaises(BadDocument, Envelope.decode, json.dumps(raw, separators=(",", ":")).encode())

    def test_borrowed_keyid(self) -> None:
        """A keyid is a hint only: under the name of another key a signature counts for neither."""
        (stranger,), (friend,) = signed(b"x", 2).signatures.values(), keys(1)
        envelope = Envelope(KIND, b"x", {friend: stranger})
        self.assertRaises(Untrusted, envelope.verify, KIND, keys(1, 2), 1)

    def test_stranger(self) -> None:
        """Good signatures of others do not help."""
        error = self.assertRaises(Untrusted, signed(b"x", 2, 3).verify, KIND, keys(1), 1)
        self.assertIn("0 of the 1", str(error))

    def test_stranger_beside(self) -> None:
        """Nor do they harm, so that keys can be replaced."""
        self.assertEqual(signed(b"x", 2, 1).verify(KIND, keys(1), 1).signers, set(keys(1)))

    def test_other_type(self) -> None:
        """What was signed as one thing is not another, however the envelope is relabelled."""
        envelope = signed(b"x", 1)
        self.assertRaises(Untrusted, envelope.verify, KIND + "2", keys(1), 1)
        relabelled = Envelope(KIND + "2", b"x", envelope.signatures)
        self.assertRaises(Untrusted, relabelled.verify, KIND + "2", keys(1), 1)

    def test_signature_lengths(self) -> None:
        """A signature of any other length is wrong, not an accident."""
        (friend,) = keys(1)
        for size in (0, 63, 65, 1000):
            envelope = Envelope.decode(Envelope(KIND, b"x", {friend: bytes(size)}).encode())
            self.assertRaises(Untrusted, envelope.verify, KIND, keys(1), 1)

    def test_no_claim_breaks_the_text(self) -> None:
        """The text of an error is short, whatever the envelope claims to be."""
        raw = {"payload": b64encode(b"x").decode(), "payloadType": "y" * 9999}
        raw["signatures"] = json.loads(signed(b"x", 1).encode())["signatures"]
        envelope = Envelope.decode(json.dumps(raw, separators=(",", ":")).encode())
        error = self.assertRaises(Untrusted, envelope.verify, KIND, keys(1), 1)
        self.assertLess(len(str(error)), 200)
