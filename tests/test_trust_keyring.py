"""
What a node trusts: the attacks that TUF lists, and those on Clumpt's own scopes, each by name.
"""

import json
from base64 import b64decode, b64encode
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import clumpt.trust.keyring
from clumpt.errors import BadDocument, Untrusted
from clumpt.interfaces import IKeyring
from clumpt.model import LARGEST_ENVELOPE, Action, Entry, GroupName, Update
from clumpt.pieces import digest_of
from clumpt.strictjson import dumps
from clumpt.testing import strategies
from clumpt.testing.keys import Deployment, signer
from clumpt.trust.documents import MEMBER, ROOT, UPDATE, encode_member, encode_root, encode_update
from clumpt.trust.dsse import Envelope
from clumpt.trust.keyring import Keyring
from clumpt.trust.root import Root, Submitter
from clumpt.trust.signer import Signer

SITE = Deployment()
STRANGER = signer("stranger")


def signed(payload_type: str, payload: bytes, *signers: Signer) -> bytes:
    """An envelope as an attacker may make it: none of our tools would sign some of these."""
    envelope = Envelope(payload_type, payload, {})
    for one in signers:
        envelope = envelope.signed(one._key)
    return envelope.encode()


def payload_of(envelope: bytes) -> bytes:
    return b64decode(json.loads(envelope)["payload"])


class KeyringTestCase(SynchronousTestCase):
    """Helps to try things on a keyring."""

    def setUp(self) -> None:
        self.keyring = SITE.keyring()

    def assert_untrusted(self, judge: Any, envelope: bytes, why: str) -> None:
        self.assertIn(why, str(self.assertRaises(Untrusted, judge, envelope)))


class UpdateTests(KeyringTestCase):
    """Nothing is installed that was not signed by who may."""

    def test_interface(self) -> None:
        """The keyring is what the agent expects."""
        verifyObject(IKeyring, self.keyring)
        self.assertEqual(
            (self.keyring.deployment, self.keyring.version, self.keyring.origin),
            ("test", 1, digest_of(encode_root(SITE.root()))),
        )

    @given(strategies.entries(least=1, most=3))
    def test_good(self, signed_entries: tuple[Deployment, list[Entry]]) -> None:
        """What a submitter signed comes out as it was, with the bytes that it travelled in."""
        deployment, entries = signed_entries
        keyring = deployment.keyring()
        self.assertEqual([keyring.entry(entry.envelope) for entry in entries], entries)
        self.assertEqual(entries[0].update.prev, keyring.origin)

    @given(strategies.updates())
    def test_any_update(self, update: Update) -> None:
        """So does any update at all."""
        entry = SITE.submit_key.sign_update(update)
        self.assertEqual(SITE.keyring().entry(entry.envelope), entry)

    def test_arbitrary_installation(self) -> None:
        """An update that was altered after signing is refused, whatever was altered."""
        entry = Deployment().sign()
        good = json.loads(entry.envelope)
        for change in ({"installer": "rpm"}, {"groups": ["others"]}, {"seq": 2}, {"argv": ["--force"]}, {}):
            payload = dumps({**json.loads(payload_of(entry.envelope)), "why": "better", **change})
            envelope = dumps({**good, "payload": b64encode(payload).decode()})
            self.assert_untrusted(self.keyring.entry, envelope, "0 of the 1")

    def test_unsigned(self) -> None:
        """An envelope without a signature is none."""
        payload = encode_update(Deployment().update())
        self.assertRaises(BadDocument, self.keyring.entry, Envelope(UPDATE, payload, {}).encode())
        self.assertRaises(BadDocument, self.keyring.entry, payload)

    def test_stranger(self) -> None:
        """A key that is not in the root document signs nothing."""
        entry = STRANGER.sign_update(Deployment().update())
        self.assert_untrusted(self.keyring.entry, entry.envelope, STRANGER.keyid[:8])

    def test_root_key_is_no_submit_key(self) -> None:
        """Nor does a key that is in it for something else."""
        entry = SITE.root_key.sign_update(Deployment().update())
        self.assert_untrusted(self.keyring.entry, entry.envelope, "0 of the 1")

    def test_other_deployment(self) -> None:
        """What was signed for one cluster is not replayed into another, even with the same keys."""
        entry = SITE.submit_key.sign_update(Deployment().update(deployment="staging"))
        self.assert_untrusted(self.keyring.entry, entry.envelope, "for deployment staging")

    def test_altered_byte(self) -> None:
        """No byte of an envelope can be altered."""
        envelope = Deployment().sign().envelope
        for at in range(len(envelope)):
            changed = envelope[:at] + bytes([envelope[at] ^ 1 << at % 8]) + envelope[at + 1 :]
            with self.assertRaises((BadDocument, Untrusted)):
                self.keyring.entry(changed)

    def test_cut_off(self) -> None:
        """Nor can one be cut off."""
        envelope = Deployment().sign().envelope
        for length in range(len(envelope)):
            self.assertRaises(BadDocument, self.keyring.entry, envelope[:length])

    def test_endless_data(self) -> None:
        """What is too large is not even looked at."""
        error = self.assertRaises(BadDocument, self.keyring.entry, b"{" * (LARGEST_ENVELOPE + 1))
        self.assertIn("at most", str(error))

    def test_type_confusion(self) -> None:
        """A document that was signed as one kind is not taken for another."""
        update, member = Deployment().sign().envelope, SITE.member("node1")
        for judge, wrong in (
            (self.keyring.entry, (member, SITE.root_envelope)),
            (self.keyring.member, (update, SITE.root_envelope)),
            (self.keyring.learn_root, (update, member)),
        ):
            for envelope in wrong:
                self.assert_untrusted(judge, envelope, "was asked for")

    def test_relabelled(self) -> None:
        """Nor does another label help, since the label is signed."""
        root = SITE.root(submitters=(Submitter(SITE.root_key.keyid, command=True),))
        keyring = Keyring.trusting([SITE.root_key.sign_root(root)])
        for envelope in (SITE.member("node1"), SITE.root_envelope):
            relabelled = dumps({**json.loads(envelope), "payloadType": UPDATE})
            self.assert_untrusted(keyring.entry, relabelled, "0 of the 1")

    def test_signed_rubbish(self) -> None:
        """Even what the right key signed must be an update, told strictly."""
        good = encode_update(Deployment().update())
        fields = json.loads(good)
        for rubbish in (
            b"",
            b"[]",
            b"[" * 9000,
            good[:-1],
            good[:-1] + b',"seq":1}',
            good.replace(b'"seq":1', b'"seq":1.0'),
            good.replace(b'"seq":1', b'"seq":NaN'),
            good.replace(b'"seq":1', b'"seq":%d' % 2**53),
            good.replace(b'"seq":1', b'"seq":%s' % (b"9" * 5000)),
            dumps({**fields, "why": "\x1b[2J"}),
            dumps({**fields, "why": "\n"}),
            dumps({**fields, "v": 2}),
            dumps({**fields, "file": "/etc/shadow"}),
            encode_member(self.keyring.member(SITE.member("node1"))),
        ):
            self.assertRaises(BadDocument, self.keyring.entry, signed(UPDATE, rubbish, SITE.submit_key))

    @given(st.binary(max_size=60), st.sampled_from([UPDATE, MEMBER, ROOT]))
    def test_signed_bytes(self, payload: bytes, kind: str) -> None:
        """Whatever bytes the right key signs, only the two expected errors come of it."""
        keyring, envelope = SITE.keyring(), signed(kind, payload, SITE.submit_key, SITE.root_key)
        for judge in (keyring.entry, keyring.member, keyring.learn_root):
            with self.assertRaises((BadDocument, Untrusted)):
                judge(envelope)


class ScopeTests(KeyringTestCase):
    """A submit key does what the root document says, and no more."""

    def keyring_with(self, *submitters: Submitter, **fields: Any) -> Keyring:
        keys = tuple(signer(name).public(name) for name in ("ann", "bob", "eve")) + SITE.root().keys
        return Keyring.trusting(
            [SITE.root_key.sign_root(SITE.root(keys=keys, submitters=submitters, **fields))]
        )

    def try_scope(self, scope: Submitter, why: str, **fields: Any) -> None:
        entry = signer("ann").sign_update(Deployment().update(**fields))
        keyring = self.keyring_with(scope)
        if why:
            self.assert_untrusted(keyring.entry, entry.envelope, why)
        else:
            self.assertEqual(keyring.entry(entry.envelope), entry)

    def test_groups(self) -> None:
        """It names no group outside its scope, also beside groups within."""
        scope = Submitter(signer("ann").keyid, groups=frozenset([GroupName("amd"), GroupName("intel")]))
        for groups, why in (
            (["amd"], ""),
            (["amd", "intel"], ""),
            (["all"], "group all"),
            (["amd", "all"], "group all"),
        ):
            self.try_scope(scope, why, groups=frozenset(groups))

    def test_no_groups(self) -> None:
        """A scope of no groups allows none; that is not the scope of all groups."""
        self.try_scope(Submitter(signer("ann").keyid, groups=frozenset()), "group all")

    def test_installers(self) -> None:
        """It uses no installer outside its scope."""
        scope = Submitter(signer("ann").keyid, installers=frozenset(["dpkg"]), command=True)
        self.try_scope(scope, "")
        self.try_scope(scope, "installer rpm", installer="rpm")
        self.try_scope(scope, "installer command", installer="command")

    def test_command(self) -> None:
        """It has no command of its own run without the right to (H3), whatever the action is called."""
        for action in Action:
            for may in (False, True):
                scope = Submitter(signer("ann").keyid, command=may)
                self.try_scope(scope, "" if may else "commands run", installer="command", action=action)
        self.try_scope(Submitter(signer("ann").keyid), "commands run", action=Action.RUN)

    def test_retired(self) -> None:
        """A retired key's updates stay valid up to the last one, and end there."""
        scope = Submitter(signer("ann").keyid, max_seq=5)
        self.try_scope(scope, "", seq=5)
        self.try_scope(scope, "retired after update 5", seq=6)

    def test_quorum(self) -> None:
        """With a quorum of two, two keys must sign, and each must be within its scope."""
        ann, bob, eve = (signer(name) for name in ("ann", "bob", "eve"))
        keyring = self.keyring_with(
            Submitter(ann.keyid), Submitter(bob.keyid), Submitter(eve.keyid, groups=frozenset()), quorum=2
        )
        entry = ann.sign_update(Deployment().update())
        self.assert_untrusted(keyring.entry, entry.envelope, "1 of the 2")
        self.assert_untrusted(keyring.entry, ann.cosign(entry.envelope), "1 of the 2")
        self.assert_untrusted(keyring.entry, STRANGER.cosign(entry.envelope), "1 of the 2")
        self.assert_untrusted(keyring.entry, eve.cosign(entry.envelope), "group all")
        both = keyring.entry(bob.cosign(entry.envelope))
        self.assertEqual((both.update, both.digest), (entry.update, entry.digest))

    def test_one_in_scope(self) -> None:
        """With a quorum of one, a second signature out of its scope does no harm."""
        ann, eve = signer("ann"), signer("eve")
        keyring = self.keyring_with(Submitter(ann.keyid), Submitter(eve.keyid, groups=frozenset()))
        envelope = eve.cosign(ann.sign_update(Deployment().update()).envelope)
        self.assertEqual(keyring.entry(envelope).seq, 1)


class AgainTests(KeyringTestCase):
    """An update is judged when it comes, and again before it is run."""

    def test_once(self) -> None:
        """By the same root, the same bytes are judged once."""
        entry = SITE.submit_key.sign_update(SITE.update())
        first = self.keyring.entry(entry.envelope)
        self.assertIs(self.keyring.entry(bytes(bytearray(entry.envelope))), first)

    def test_new_root(self) -> None:
        """A new root judges anew: who may not submit any more has nothing run."""
        entry = SITE.submit_key.sign_update(SITE.update())
        self.keyring.entry(entry.envelope)
        second = SITE.root(version=2, submitters=(Submitter(SITE.submit_key.keyid, groups=frozenset()),))
        self.keyring.learn_root(SITE.root_key.sign_root(second))
        self.assert_untrusted(self.keyring.entry, entry.envelope, "group all")

    def test_bounded(self) -> None:
        """Only the newest are remembered."""
        self.patch(clumpt.trust.keyring, "REMEMBERED", 2)
        envelopes = [SITE.submit_key.sign_update(SITE.update(seq=seq)).envelope for seq in (1, 2, 3)]
        judged = [self.keyring.entry(envelope) for envelope in envelopes]
        self.assertIs(self.keyring.entry(envelopes[1]), judged[1])
        self.assertIsNot(self.keyring.entry(envelopes[0]), judged[0])


class RootTests(KeyringTestCase):
    """A node follows the root documents one by one, in TUF's order."""

    def setUp(self) -> None:
        super().setUp()
        self.new_key = signer("new root")
        keys = (*SITE.root().keys, self.new_key.public("new"))
        self.second = SITE.root(version=2, keys=keys, root_keys=frozenset([self.new_key.keyid]))
        self.rotation = self.new_key.cosign(SITE.root_key.sign_root(self.second))

    def test_rotation(self) -> None:
        """A version that enough keys of the old one and of itself signed is taken, once."""
        self.assertTrue(self.keyring.learn_root(self.rotation))
        self.assertEqual((self.keyring.version, self.keyring.root), (2, self.second))
        self.assertFalse(self.keyring.learn_root(self.rotation))
        self.assertFalse(self.keyring.learn_root(SITE.root_envelope))
        self.assertEqual(self.keyring.origin, SITE.keyring().origin)

    def test_restart(self) -> None:
        """A node that kept the documents comes back to the same trust."""
        keyring = Keyring.trusting([SITE.root_envelope, self.rotation])
        self.assertEqual((keyring.version, keyring.origin), (2, self.keyring.origin))
        self.assertRaises(Untrusted, Keyring.trusting, [SITE.root_envelope, STRANGER.sign_root(self.second)])

    def test_beginning(self) -> None:
        """Trust begins with a version 1 that signed itself, or not at all."""
        self.assertRaises(BadDocument, Keyring.trusting, [])
        self.assertRaises(BadDocument, Keyring.trusting, [self.new_key.sign_root(self.second)])
        self.assertRaises(Untrusted, Keyring.trusting, [STRANGER.sign_root(SITE.root())])

    def test_old_threshold(self) -> None:
        """The new keys alone cannot bring themselves in."""
        self.assert_untrusted(self.keyring.learn_root, self.new_key.sign_root(self.second), "0 of the 1")
        self.assertEqual(self.keyring.version, 1)

    def test_new_threshold(self) -> None:
        """Nor can the old keys alone name new ones that have not signed."""
        self.assert_untrusted(self.keyring.learn_root, SITE.root_key.sign_root(self.second), "0 of the 1")
        self.assertEqual((self.keyring.version, self.keyring.root), (1, SITE.root()))

    def test_threshold_of_several(self) -> None:
        """Two of three means two different keys, for the old version as for the new one."""
        people = [signer(name) for name in ("ann", "bob", "eve")]
        keyids = frozenset(one.keyid for one in people)
        keys = (*SITE.root().keys, *(one.public("") for one in people))
        first = SITE.root(keys=keys, root_keys=keyids, threshold=2)
        pinned = people[0].sign_root(first)
        self.assertRaises(Untrusted, Keyring.trusting, [pinned])
        self.assertRaises(Untrusted, Keyring.trusting, [people[0].cosign(pinned)])
        keyring = Keyring.trusting([people[1].cosign(pinned)])
        second = people[2].sign_root(evolve(first, version=2))
        self.assert_untrusted(keyring.learn_root, second, "1 of the 2")
        self.assert_untrusted(keyring.learn_root, people[2].cosign(second), "1 of the 2")
        self.assertTrue(keyring.learn_root(people[0].cosign(second)))

    def test_rollback(self) -> None:
        """There is no way back to an older version, not even by the keys in force."""
        self.keyring.learn_root(self.rotation)
        for version in (1, 2):
            other = self.new_key.sign_root(evolve(self.second, version=version, issued=1))
            self.assert_untrusted(self.keyring.learn_root, other, "does not follow")
        self.assertEqual(self.keyring.root, self.second)

    def test_fast_forward(self) -> None:
        """No version is jumped over, so that nobody can use the numbers up."""
        for version in (3, 2**53 - 1):
            other = SITE.root_key.sign_root(SITE.root(version=version))
            self.assert_untrusted(self.keyring.learn_root, other, "does not follow")

    def test_other_deployment(self) -> None:
        """A root document of another deployment is none of ours, even with the same keys."""
        other = SITE.root_key.sign_root(SITE.root(version=2, deployment="staging"))
        self.assert_untrusted(self.keyring.learn_root, other, "for deployment staging")

    def test_old_key_is_over(self) -> None:
        """A root key that was replaced signs no further version."""
        self.keyring.learn_root(self.rotation)
        third = evolve(self.second, version=3, root_keys=SITE.root().root_keys)
        self.assert_untrusted(self.keyring.learn_root, SITE.root_key.sign_root(third), "0 of the 1")

    def test_stolen_submit_key(self) -> None:
        """A submit key that the next version leaves out, or retires, signs nothing from then on."""
        entry = Deployment().sign()
        later = SITE.submit_key.sign_update(evolve(entry.update, seq=2))
        retired = (Submitter(SITE.submit_key.keyid, command=True, max_seq=1),)
        for submitters in ((), retired):
            keyring = SITE.keyring()
            keyring.entry(later.envelope)
            keyring.learn_root(SITE.root_key.sign_root(SITE.root(version=2, submitters=submitters)))
            self.assertRaises(Untrusted, keyring.entry, later.envelope)
        self.assertEqual(keyring.entry(entry.envelope), entry)

    def test_contradiction(self) -> None:
        """A refused document changes nothing, however far it came."""
        contradicting = json.loads(encode_root(SITE.root(version=2)))
        for change in ({"threshold": 9}, {"root_keys": []}, {"v": 2}, {"keys": []}):
            envelope = signed(ROOT, dumps({**contradicting, **change}), SITE.root_key)
            self.assertRaises(BadDocument, self.keyring.learn_root, envelope)
        self.assertEqual((self.keyring.version, self.keyring.root), (1, SITE.root()))

    def test_altered_byte(self) -> None:
        """No byte can be altered."""
        envelope = SITE.root_key.sign_root(SITE.root(version=2))
        for at in range(len(envelope)):
            changed = envelope[:at] + bytes([envelope[at] ^ 1 << at % 8]) + envelope[at + 1 :]
            with self.assertRaises((BadDocument, Untrusted)):
                self.keyring.learn_root(changed)
        self.assertTrue(self.keyring.learn_root(envelope))


class MemberTests(KeyringTestCase):
    """Neither a directory nor a peer can move signed updates onto other nodes."""

    def test_good(self) -> None:
        """An enroller's statement is taken, as often as it comes."""
        for _ in range(2):
            member = self.keyring.member(SITE.member("node1", groups=["all", "amd"]))
            self.assertEqual((member.peer, member.groups), ("node1", {"all", "amd"}))

    def test_stranger(self) -> None:
        """Nobody else's is, a submitter's included."""
        member = self.keyring.member(SITE.member("node1"))
        for one in (STRANGER, SITE.submit_key):
            self.assert_untrusted(self.keyring.member, one.sign_member(member), "0 of the 1")

    def test_other_deployment(self) -> None:
        """A statement is for one deployment."""
        member = evolve(self.keyring.member(SITE.member("node1")), deployment="staging")
        self.assert_untrusted(self.keyring.member, SITE.root_key.sign_member(member), "deployment staging")

    def test_rollback(self) -> None:
        """An older statement of a peer does not return; those of other peers do not matter."""
        self.keyring.member(SITE.member("node1", generation=3))
        self.keyring.member(SITE.member("node2", generation=1))
        self.assert_untrusted(self.keyring.member, SITE.member("node1", generation=2), "generation 2")
        self.keyring.member(SITE.member("node1", generation=4))
        self.assert_untrusted(self.keyring.member, SITE.member("node1", generation=3), "known is 4")

    def test_two_of_one_generation(self) -> None:
        """Of two statements of one generation the first one holds."""
        self.keyring.member(SITE.member("node1"))
        self.assert_untrusted(self.keyring.member, SITE.member("node1", groups=["amd"]), "generation 1")
        self.keyring.member(SITE.member("node1", groups=["amd"], generation=2))

    def test_refused_is_not_remembered(self) -> None:
        """A statement that was refused does not use up a generation."""
        member = evolve(self.keyring.member(SITE.member("node1")), generation=9)
        self.assertRaises(Untrusted, self.keyring.member, STRANGER.sign_member(member))
        self.keyring.member(SITE.member("node1"))

    def test_revoked(self) -> None:
        """A peer whose key is revoked is none, until it is enrolled with another."""
        lost = digest_of(b"node1")
        self.keyring.learn_root(SITE.root_key.sign_root(SITE.root(version=2, revoked=frozenset([lost]))))
        self.assert_untrusted(self.keyring.member, SITE.member("node1", fingerprint=lost), "revoked")
        self.keyring.member(SITE.member("node1", fingerprint=digest_of(b"new")))

    def test_recovery_from_fast_forward(self) -> None:
        """When the enrolling keys change, generations that a stolen one used up count no more."""
        self.keyring.member(SITE.member("node1", generation=2**53 - 1))
        changed: Root = SITE.root(version=2, enrollers=frozenset([SITE.submit_key.keyid]))
        self.keyring.learn_root(SITE.root_key.sign_root(changed))
        member = evolve(SITE.keyring().member(SITE.member("node1")), generation=2)
        self.keyring.member(SITE.submit_key.sign_member(member))

    def test_altered_byte(self) -> None:
        """No byte can be altered."""
        envelope = SITE.member("node1")
        for at in range(len(envelope)):
            changed = envelope[:at] + bytes([envelope[at] ^ 1 << at % 8]) + envelope[at + 1 :]
            with self.assertRaises((BadDocument, Untrusted)):
                self.keyring.member(changed)
