"""
The root document: which keys may do what in a deployment.

It is made by people, rarely, with keys that are kept offline; every node
follows it from version to version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import deep_iterable, ge, instance_of, matches_re, optional

from clumpt.model import HEX64, NAME, PACKAGE_WORD, Action, GroupName, Seq, Update
from clumpt.pieces import Digest
from clumpt.trust.dsse import KeyId, keyid_of

#: The installer whose whole command is in the update.
COMMAND = "command"

_digests: Any = deep_iterable(matches_re(HEX64))
_names: Any = optional(deep_iterable(matches_re(NAME)))
_count: Any = [instance_of(int), ge(1)]


@frozen
class Key:
    """A public key of the deployment: 32 raw bytes, and what people call it."""

    public: bytes = field()
    label: str = ""

    @public.validator
    def _is_a_key(self, _: Attribute[bytes], value: bytes) -> None:
        if len(value) != 32:
            raise ValueError(f"a public key of {len(value)} bytes, not 32")

    @property
    def keyid(self) -> KeyId:
        """The name of the key, which follows from its bytes."""
        return keyid_of(self.public)


@frozen
class Submitter:
    """
    A key that may sign updates, and which.

    @ivar groups: it may name these groups only; None for any.
    @ivar installers: it may use these installers only; None for any.
    @ivar command: may it have commands run that are no package manager's?
    @ivar max_seq: if not 0, the key is retired: what it signed up to this seq stays valid.
    """

    keyid: KeyId = field(validator=matches_re(HEX64))
    groups: frozenset[GroupName] | None = field(default=None, validator=_names)
    installers: frozenset[str] | None = field(default=None, validator=_names)
    command: bool = False
    max_seq: Seq = field(default=0, validator=ge(0))

    def objection(self, update: Update) -> str:
        """Why this key may not sign C{update}; empty if it may."""
        strange = () if self.groups is None else update.groups - self.groups
        if strange:
            return f"it may not sign for group {min(strange)}"
        if self.installers is not None and update.installer not in self.installers:
            return f"it may not use installer {update.installer}"
        if not self.command and (update.installer == COMMAND or update.action is Action.RUN):
            return "it may not have commands run"
        if self.max_seq and update.seq > self.max_seq:
            return f"it was retired after update {self.max_seq}"
        return ""


def _all_known(root: Root, attribute: Attribute[Any], keyids: Iterable[KeyId]) -> None:
    listed = list(keyids)
    if len(set(listed)) < len(listed):
        raise ValueError(f"{attribute.name} names a key twice")
    if strange := set(listed).difference(root.keyids):
        raise ValueError(f"{attribute.name} names {min(strange)[:8]}, which is not in keys")


@frozen
class Root:
    """
    Who may sign what, as of one version.

    @ivar version: 1 for the one that nodes are given when they join; then one more each time.
    @ivar threshold: how many of C{root_keys} must sign the next version.
    @ivar quorum: how many submitters, each within its scope, must sign an update.
    @ivar enrollers: keys that may sign membership statements.
    @ivar ca: SHA-256 of each certificate authority's certificate (DER) that peers accept.
    @ivar revoked: fingerprints of peers' keys that are never accepted again.
    @ivar issued: seconds since the epoch; to show.
    """

    version: int = field(validator=_count)
    deployment: str = field(validator=matches_re(PACKAGE_WORD))
    keys: tuple[Key, ...] = field()
    root_keys: frozenset[KeyId] = field(validator=_all_known)
    submitters: tuple[Submitter, ...] = field()
    enrollers: frozenset[KeyId] = field(validator=_all_known)
    issued: int = field(validator=[instance_of(int), ge(0)])
    threshold: int = field(default=1, validator=_count)
    quorum: int = field(default=1, validator=_count)
    ca: frozenset[Digest] = field(default=frozenset(), validator=_digests)
    revoked: frozenset[Digest] = field(default=frozenset(), validator=_digests)

    @keys.validator
    def _differ(self, _: Attribute[Any], value: tuple[Key, ...]) -> None:
        if len(self.keyids) < len(value):
            raise ValueError("keys holds a key twice")

    @submitters.validator
    def _are_known(self, attribute: Attribute[Any], value: tuple[Submitter, ...]) -> None:
        _all_known(self, attribute, [submitter.keyid for submitter in value])

    @threshold.validator
    def _can_be_met(self, _: Attribute[int], value: int) -> None:
        if value > len(self.root_keys):
            raise ValueError(f"a threshold of {value} with {len(self.root_keys)} root keys")

    @property
    def keyids(self) -> Collection[KeyId]:
        """The names of all keys."""
        return frozenset(key.keyid for key in self.keys)
