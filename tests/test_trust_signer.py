"""Private keys, in memory and in files."""

import os
import stat
from pathlib import Path

from attrs import evolve
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from clumpt.errors import BadDocument, BadInput, Conflict
from clumpt.interfaces import ISigner
from clumpt.model import PeerName
from clumpt.testing.keys import Deployment, signer
from clumpt.trust.dsse import MOST_SIGNATURES
from clumpt.trust.files import PRIVATE, PUBLIC, read, write
from clumpt.trust.signer import Signer


class SigningTests(SynchronousTestCase):
    """What is signed can be read."""

    def test_interface(self) -> None:
        """A signer is what the tools expect, and tells nothing of its key."""
        one = signer("x")
        verifyObject(ISigner, one)
        self.assertNotIn("Ed25519", repr(one))
        self.assertNotEqual(Signer.generate().keyid, Signer.generate().keyid)

    def test_unreadable(self) -> None:
        """What no peer would take is not signed at all; the submitter is told why."""
        good = Deployment().update()
        for wrong, why in (
            (evolve(good, requires=(1,)), "before"),
            (evolve(good, seq=2**53), "2^53"),
            (evolve(good, issued=2**53), "2^53"),
            (evolve(good, argv=("x" * 60_000,)), "at most"),
            (evolve(good, nodes=frozenset(PeerName(f"node{n}") for n in range(3300))), "at most"),
        ):
            self.assertIn(why, str(self.assertRaises(BadInput, signer("x").sign_update, wrong)))

    def test_read_as_something_else(self) -> None:
        """Nor is what would be read as something else, such as a list where a tuple belongs."""
        update = evolve(Deployment().update(), argv=["x"])
        self.assertIn("something else", str(self.assertRaises(BadInput, signer("x").sign_update, update)))

    def test_cosign_too_often(self) -> None:
        """An envelope takes a bounded number of signatures."""
        envelope = Deployment().root_envelope
        for number in range(MOST_SIGNATURES - 1):
            envelope = signer(str(number)).cosign(envelope)
        self.assertFalse(Deployment().keyring().learn_root(envelope))
        self.assertEqual(signer("1").cosign(envelope), envelope)
        self.assertRaises(BadInput, signer("x").cosign, envelope)

    def test_cosign_anything(self) -> None:
        """Only envelopes are cosigned."""
        self.assertRaises(BadDocument, signer("x").cosign, b"{}")


class FileTests(SynchronousTestCase):
    """Keys are kept for their owner alone."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "submit.key"

    def mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_round_trip(self) -> None:
        """A key comes back from its file, with its passphrase or without one."""
        for passphrase in (None, b"open sesame"):
            path = self.folder / f"{passphrase!r}.key"
            signer("x").save(path, passphrase)
            self.assertEqual(Signer.load(path, passphrase).keyid, signer("x").keyid)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(len(list(self.folder.iterdir())), 2)

    def test_passphrase(self) -> None:
        """Without the right passphrase there is no key; the text says which way it is wrong."""
        signer("x").save(self.path, b"open sesame")
        for passphrase, why in ((None, "needs a passphrase"), (b"x", "wrong")):
            self.assertIn(why, str(self.assertRaises(BadInput, Signer.load, self.path, passphrase)))
        plain = self.folder / "plain.key"
        signer("x").save(plain)
        self.assertIn("has no passphrase", str(self.assertRaises(BadInput, Signer.load, plain, b"x")))

    def test_open_to_others(self) -> None:
        """A key that others may read, or write, is not used."""
        signer("x").save(self.path)
        for mode in (0o640, 0o604, 0o620):
            self.path.chmod(mode)
            self.assertIn("chmod 600", str(self.assertRaises(BadInput, Signer.load, self.path)))

    def test_no_key(self) -> None:
        """Anything else in the place of a key is the operator's mistake, and said so."""
        self.assertIn("No such file", str(self.assertRaises(BadInput, Signer.load, self.path)))
        write(self.path, b"rubbish", PRIVATE)
        self.assertIn("no private key", str(self.assertRaises(BadInput, Signer.load, self.path)))
        other = ec.generate_private_key(ec.SECP256R1())
        pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write(self.path, pem, PRIVATE, replace=True)
        self.assertIn("Ed25519", str(self.assertRaises(BadInput, Signer.load, self.path)))

    def test_never_over_a_key(self) -> None:
        """A key is never written over another file, and nothing is left behind."""
        signer("x").save(self.path)
        self.assertRaises(Conflict, signer("y").save, self.path)
        self.assertEqual(Signer.load(self.path).keyid, signer("x").keyid)
        self.assertEqual(os.listdir(self.folder), ["submit.key"])

    def test_replace(self) -> None:
        """What may be replaced is replaced whole, with its new mode."""
        write(self.path, b"one", PRIVATE)
        write(self.path, b"two", PUBLIC, replace=True)
        self.assertEqual((read(self.path), self.mode()), (b"two", 0o644))

    def test_nowhere(self) -> None:
        """A folder that is not there is the operator's mistake."""
        self.assertIn("cannot write", str(self.assertRaises(BadInput, write, self.path / "x", b"", PUBLIC)))
