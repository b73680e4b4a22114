"""The keys in force on a node, and judgement by them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from zope.interface import implementer

from clumpt.errors import BadDocument, Untrusted
from clumpt.interfaces import IKeyring
from clumpt.model import Entry, Member, PeerName
from clumpt.pieces import Digest, digest_of
from clumpt.strictjson import reading
from clumpt.trust.documents import MEMBER, ROOT, UPDATE, decode_member, decode_root, decode_update
from clumpt.trust.dsse import Envelope, KeyId, Keys, Verified
from clumpt.trust.root import Root, Submitter

#: Updates that are remembered as good under the root in force.
REMEMBERED = 1024


@define(eq=False)
class _InForce:
    """A root document, with its keys made ready for verifying."""

    root: Root
    root_keys: Keys
    submit_keys: Keys
    enroll_keys: Keys
    scopes: dict[KeyId, Submitter]

    @classmethod
    def of(cls, root: Root) -> _InForce:
        """C{root}, ready; raises L{BadDocument} if one of its keys is none."""
        with reading("root"):
            keys = {key.keyid: Ed25519PublicKey.from_public_bytes(key.public) for key in root.keys}

        def those(keyids: Collection[KeyId]) -> Keys:
            return {keyid: keys[keyid] for keyid in keyids}

        scopes = {submitter.keyid: submitter for submitter in root.submitters}
        return cls(root, those(root.root_keys), those(scopes), those(root.enrollers), scopes)

    def vouch_for_root(self, envelope: Envelope) -> Verified:
        """Have enough of this root's own keys signed C{envelope}?"""
        return envelope.verify(ROOT, self.root_keys, self.root.threshold)


@implementer(IKeyring)
@define(eq=False)
class Keyring:
    """What this node trusts: root version 1, pinned when it joined, and whatever followed from it."""

    _now: _InForce
    #: The digests of the payloads of all roots accepted, version 1 first.
    _accepted: list[Digest]
    #: The newest statement seen of each peer; only enrollers can make it grow.
    _members: dict[PeerName, tuple[int, Digest]] = field(factory=dict, init=False)
    #: What was judged by the root in force, and found good: the same bytes need no second judgement by it.
    _good: dict[bytes, Entry] = field(factory=dict, init=False)

    @classmethod
    def trusting(cls, roots: Sequence[bytes]) -> Keyring:
        """
        The keyring of a node that was given the first of C{roots} when it joined, and kept the others since.

        Raises L{BadDocument} or L{Untrusted} if one does not follow from the one before.
        """
        if not roots:
            raise BadDocument("no root document; give this node the one it should trust")
        envelope = Envelope.decode(roots[0])
        first = _InForce.of(decode_root(envelope.payload))
        first.vouch_for_root(envelope)
        if first.root.version != 1:
            raise BadDocument(f"root version {first.root.version}, where trust begins with version 1")
        keyring = cls(first, [digest_of(envelope.payload)])
        for later in roots[1:]:
            keyring.learn_root(later)
        return keyring

    @property
    def root(self) -> Root:
        """The root document in force."""
        return self._now.root

    @property
    def deployment(self) -> str:
        """The id of the deployment."""
        return self.root.deployment

    @property
    def origin(self) -> Digest:
        """The digest of root version 1."""
        return self._accepted[0]

    @property
    def version(self) -> int:
        """The version of the newest root accepted."""
        return self.root.version

    def learn_root(self, envelope: bytes) -> bool:
        """
        Take in the next root document; False if it was taken in before.

        In TUF's order: enough keys of the version in force, then exactly one version more, then enough
        of its own keys.
        """
        document = Envelope.decode(envelope)
        digest = digest_of(document.payload)
        if digest in self._accepted:
            return False
        verified = self._now.vouch_for_root(document)
        after = _InForce.of(decode_root(verified.payload))
        self._check_deployment(after.root.deployment, "root")
        if after.root.version != self.version + 1:
            raise Untrusted(f"root version {after.root.version} does not follow version {self.version}")
        after.vouch_for_root(document)
        if after.root.enrollers != self.root.enrollers:
            # A stolen enrolling key may have used up the generations.
            self._members.clear()
        self._accepted.append(digest)
        self._now = after
        self._good.clear()
        return True

    def entry(self, envelope: bytes) -> Entry:
        """The update in C{envelope}, vouched for by enough submitters, each within its scope."""
        good = self._good.get(envelope)
        if good is None:
            good = self._good[envelope] = self._judged(envelope)
            if len(self._good) > REMEMBERED:
                del self._good[next(iter(self._good))]
        return good

    def _judged(self, envelope: bytes) -> Entry:
        quorum = self.root.quorum
        verified = Envelope.decode(envelope).verify(UPDATE, self._now.submit_keys, quorum)
        update = decode_update(verified.payload)
        self._check_deployment(update.deployment, f"update {update.seq}")
        objections = {keyid: self._now.scopes[keyid].objection(update) for keyid in verified.signers}
        if sum(not objection for objection in objections.values()) < quorum:
            told = "; ".join(f"key {keyid[:8]}: {why}" for keyid, why in sorted(objections.items()) if why)
            raise Untrusted(f"update {update.seq} is out of its signer's scope: {told}")
        return Entry(update, envelope, digest_of(verified.payload))

    def kept(self, envelope: bytes) -> Entry:
        """The update in an envelope that L{entry} accepted before, and this node kept."""
        payload = Envelope.decode(envelope).payload
        return Entry(decode_update(payload), envelope, digest_of(payload))

    def member(self, envelope: bytes) -> Member:
        """The membership in C{envelope}; never one that a newer statement of the peer replaced."""
        verified = Envelope.decode(envelope).verify(MEMBER, self._now.enroll_keys, 1)
        member = decode_member(verified.payload)
        self._check_deployment(member.deployment, f"the statement of {member.peer}")
        if member.fingerprint in self.root.revoked:
            raise Untrusted(f"the key of {member.peer} is revoked; enrol the peer again with a new one")
        stated = member.generation, digest_of(verified.payload)
        seen = self._members.setdefault(member.peer, stated)
        if stated[0] < seen[0]:
            raise Untrusted(f"the statement of {member.peer} is generation {stated[0]}, known is {seen[0]}")
        if stated[0] == seen[0] and stated != seen:
            raise Untrusted(f"two statements of {member.peer} are of generation {seen[0]}; sign a newer one")
        self._members[member.peer] = stated
        return member

    def _check_deployment(self, found: str, what: str) -> None:
        if found != self.deployment:
            raise Untrusted(f"{what} is for deployment {found}, this is {self.deployment}")
