"""A throw-away deployment: keys that follow from their names, so that the same run signs the same bytes."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from typing import Any

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clumpt.model import Action, Entry, GroupName, Member, PeerName, Update
from clumpt.pieces import Digest, digest_of
from clumpt.trust.keyring import Keyring
from clumpt.trust.root import Root, Submitter
from clumpt.trust.signer import Signer

#: When everything here was issued.
ISSUED = 1_700_000_000


def signer(name: str) -> Signer:
    """The key that is called C{name}: always the same one; never for anything but tests."""
    return Signer(Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest()))


@define(eq=False)
class Deployment:
    """
    One root key, one submit key that may do anything, and a chain of updates that grows.

    @ivar name: the deployment's id; every key follows from it.
    @ivar entries: what L{sign} made, seq 1 first.
    """

    name: str = "test"
    entries: list[Entry] = field(factory=list, init=False)

    @property
    def root_key(self) -> Signer:
        """Signs root documents and memberships."""
        return signer(f"{self.name} root")

    @property
    def submit_key(self) -> Signer:
        """Signs updates."""
        return signer(f"{self.name} submit")

    def root(self, **fields: Any) -> Root:
        """Root version 1, or with other C{fields} a variation of it."""
        root_key, submit_key = self.root_key.public("root"), self.submit_key.public("submit")
        return Root(
            **{
                "version": 1,
                "deployment": self.name,
                "keys": (root_key, submit_key),
                "root_keys": frozenset([root_key.keyid]),
                "submitters": (Submitter(submit_key.keyid, command=True),),
                "enrollers": frozenset([root_key.keyid]),
                "issued": ISSUED,
                **fields,
            }
        )

    @property
    def root_envelope(self) -> bytes:
        """Root version 1, signed: what a node is given when it joins."""
        return self.root_key.sign_root(self.root())

    def keyring(self) -> Keyring:
        """A new node's keyring."""
        return Keyring.trusting([self.root_envelope])

    def update(self, **fields: Any) -> Update:
        """The next update of the chain, unsigned; C{fields} replace what it would say."""
        seq = len(self.entries) + 1
        return Update(
            **{
                "deployment": self.name,
                "seq": seq,
                "prev": self.entries[-1].digest if self.entries else self.keyring().origin,
                "submit_id": f"submission-{seq}",
                "issued": ISSUED + seq,
                "groups": frozenset([GroupName("all")]),
                "action": Action.INSTALL,
                "installer": "dpkg",
                **fields,
            }
        )

    def sign(self, **fields: Any) -> Entry:
        """Sign the next update of the chain, and keep it."""
        entry = self.submit_key.sign_update(self.update(**fields))
        self.entries.append(entry)
        return entry

    def member(
        self,
        peer: str,
        groups: Collection[str] = ("all",),
        generation: int = 1,
        fingerprint: Digest | None = None,
    ) -> bytes:
        """A signed membership; the fingerprint follows from the name, if none is given."""
        statement = Member(
            deployment=self.name,
            peer=PeerName(peer),
            generation=generation,
            fingerprint=fingerprint or digest_of(peer.encode()),
            groups=frozenset(map(GroupName, groups)),
            issued=ISSUED,
        )
        return self.root_key.sign_member(statement)
