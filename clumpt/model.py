"""The words of Clumpt as values: peers, groups, packages, updates and outcomes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, NewType

from attrs import Attribute, field, frozen
from attrs.validators import deep_iterable, ge, instance_of, matches_re

from clumpt.pieces import Digest, Pieces, digest_of
from clumpt.provenance import Source

#: A peer's name: the common name of its certificate and of its directory entry.
PeerName = NewType("PeerName", str)
GroupName = NewType("GroupName", str)
#: The id of an update; plain int, because attrs' C{ge} and a NewType of int quarrel under mypy.
Seq = int

#: Names never reach a file path, a DN or an argv unless they match this.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: Patterns of package names: the same, with *, ? and [...].
PATTERN = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9._+~:*?\[\]!-]{0,199}")
#: Package names, versions and file names are a little freer, never start with a dash or dot.
PACKAGE_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,199}")
HEX64 = re.compile(r"[0-9a-f]{64}")
#: Bytes in a signed envelope; it fits a control frame, even in base64.
LARGEST_ENVELOPE = 40 * 1024
#: Failures that a peer reports; of more, the lowest seqs are left out.
MOST_FAILURES = 1000

# Any: the validators check str, the fields are NewTypes of it.
_name: Any = matches_re(NAME)
_word: Any = matches_re(PACKAGE_WORD)
_digest: Any = matches_re(HEX64)


#: Names that begin so are those of tools, never of nodes.
TOOLS = "clumpt-"


def run_of(tool: PeerName, call: str) -> PeerName:
    """
    What one running tool is called among links: several may run at once, under one name.

    @param call: how the tool named the call; the first 8 letters are the same as long as it runs.
    """
    return PeerName(f"{tool}.{digest_of(call[:8].encode(errors='replace'))[:8]}")


def bearer(name: PeerName) -> PeerName:
    """Whose certificate and statement a link of this C{name} shows: L{run_of} undone."""
    return PeerName(name.partition(".")[0]) if name.startswith(TOOLS) else name


def is_name(text: str) -> bool:
    """May C{text} name a peer or a group?"""
    return NAME.fullmatch(text) is not None


def _printable(_: Any, attribute: Attribute[Any], value: str) -> None:
    if not value.isprintable():
        raise ValueError(f"{attribute.name} holds a control character")


_text = [instance_of(str), _printable]
_names = deep_iterable(_name)


class Action(StrEnum):
    """What an update asks of a peer."""

    INSTALL = "install"
    REMOVE = "remove"
    RUN = "run"
    #: Nothing is run: the update only withdraws others.
    WITHDRAW = "withdraw"


class Interrupted(StrEnum):
    """What to do when power or helper died inside a run, so that nobody knows how it ended."""

    RERUN = "rerun"
    HOLD = "hold"


@frozen
class Package:
    """
    One file that travels.

    @ivar file: its file name, never a path (H2).
    @ivar arch: as the package manager names it; C{"all"} fits every node.
    """

    name: str = field(validator=_word)
    version: str = field(validator=_word)
    arch: str = field(validator=_word)
    file: str = field(validator=_word)
    sha256: Digest = field(validator=_digest)
    pieces: Pieces

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.pieces.total


@frozen
class Update:
    """
    One line of the update table (R24): what to install, where, and how.

    @ivar deployment: the cluster it is for, so that it means nothing elsewhere.
    @ivar prev: SHA-256 of the payload of C{seq - 1}; of root version 1 for seq 1.
    @ivar submit_id: names one act of submitting, so that a lost answer can be resolved (H5).
    @ivar issued: seconds since the epoch by the submitter's clock; to show, never to order by.
    @ivar nodes: if not empty, only these peers of the groups.
    @ivar installer: a name in the node's allow-list (H3).
    @ivar argv: further words for the installer; the whole command for C{"command"}.
    @ivar targets: for L{Action.REMOVE}, the package names to remove.
    @ivar requires: updates that must have succeeded on the peer first (H6).
    @ivar retries: the update that this one tries again, 0 for none.
    @ivar timeout: seconds that the run may take, 0 for the node's own limit.
    """

    deployment: str = field(validator=_word)
    seq: Seq = field(validator=[instance_of(int), ge(1)])
    prev: Digest = field(validator=_digest)
    submit_id: str = field(validator=_word)
    issued: int = field(validator=[instance_of(int), ge(0)])
    groups: frozenset[GroupName] = field(validator=_names)
    action: Action
    installer: str = field(validator=_name)
    packages: tuple[Package, ...] = ()
    argv: tuple[str, ...] = field(default=(), validator=deep_iterable(_text))
    targets: tuple[str, ...] = field(default=(), validator=deep_iterable(_word))
    nodes: frozenset[PeerName] = field(default=frozenset(), validator=_names)
    exclude: frozenset[PeerName] = field(default=frozenset(), validator=_names)
    requires: tuple[Seq, ...] = field(default=(), validator=deep_iterable(ge(1)))
    withdraws: tuple[Seq, ...] = field(default=(), validator=deep_iterable(ge(1)))
    retries: Seq = field(default=0, validator=ge(0))
    interrupted: Interrupted = Interrupted.RERUN
    timeout: int = field(default=0, validator=[instance_of(int), ge(0)])
    not_after: int = field(default=0, validator=[instance_of(int), ge(0)])
    why: str = field(default="", validator=_text)

    def concerns(self, peer: PeerName, groups: Collection[GroupName]) -> bool:
        """Is C{peer}, a member of C{groups}, to carry this out?"""
        if peer in self.exclude or self.groups.isdisjoint(groups):
            return False
        return not self.nodes or peer in self.nodes

    @property
    def size(self) -> int:
        """Bytes in all packages of this update."""
        return sum(package.size for package in self.packages)

    @property
    def label(self) -> str:
        """What a person calls it, such as C{hello 2.10-3}."""
        if self.packages:
            return ", ".join(f"{package.name} {package.version}" for package in self.packages)
        if self.withdraws:
            return "withdraw " + ", ".join(map(str, self.withdraws))
        return " ".join((self.action.value, *(self.targets or self.argv)))


@frozen
class Entry:
    """An update together with the signed bytes that it was read from, which is what travels."""

    update: Update
    envelope: bytes
    #: SHA-256 of the payload: what the next entry's C{prev} must be.
    digest: Digest

    @property
    def seq(self) -> Seq:
        """The id of the update."""
        return self.update.seq


@frozen
class Member:
    """
    A signed statement: this peer, with this key, belongs to these groups.

    @ivar generation: rises with each statement for the peer; an older one never returns.
    @ivar fingerprint: SHA-256 of the peer's public key (SubjectPublicKeyInfo).
    """

    deployment: str = field(validator=_word)
    peer: PeerName = field(validator=_name)
    generation: int = field(validator=[instance_of(int), ge(1)])
    fingerprint: Digest = field(validator=_digest)
    groups: frozenset[GroupName] = field(validator=_names)
    issued: int = field(validator=[instance_of(int), ge(0)])


@frozen
class Address:
    """Where a peer listens: one host, two ports (notification, update)."""

    host: str = field(validator=matches_re(r"[A-Za-z0-9:._%-]{1,255}"))
    notify: int = field(validator=[instance_of(int), ge(1)])
    update: int = field(validator=[instance_of(int), ge(1)])

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.notify}:{self.update}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """What C{str} wrote; raises ValueError for anything else."""
        host, notify, update = text.rsplit(":", 2)
        return cls(host.removeprefix("[").removesuffix("]"), int(notify), int(update))


@frozen
class Peer:
    """
    What the directory says of a peer; written by clumptconf alone.

    @ivar member: the signed statement (an envelope); what is not in it is only advice.
    @ivar neighbours: whom this peer knows and notifies (R68).
    @ivar overrides: settings for this peer alone, such as C{interval}.
    @ivar arch: the architecture that packages must have, empty if unknown.
    """

    name: PeerName = field(validator=_name)
    addresses: tuple[Address, ...]
    groups: frozenset[GroupName]
    member: bytes
    neighbours: tuple[PeerName, ...] = ()
    overrides: tuple[tuple[str, str], ...] = ()
    arch: str = ""
    rack: str = ""


@frozen
class Group:
    """
    A group of peers, made by the administrator (R9), with the policy that holds on all its members (R11).

    @ivar installers: those that may be used; empty for any.
    @ivar packages: patterns of names of packages that may be installed, such as C{cuda-*}; empty for any.
    @ivar refuses: patterns of names of packages that may not be installed.
    """

    name: GroupName = field(validator=_name)
    description: str = ""
    installers: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()

    def objection(self, installer: str, packages: Iterable[Package]) -> str:
        """Why C{packages} may not be installed with C{installer} here; empty if they may."""
        if self.installers and installer not in self.installers:
            return f"group {self.name} allows only {_listed(self.installers)}, not {installer}"
        for package in packages:
            if refusing := {one for one in self.refuses if fnmatchcase(package.name, one)}:
                return f"group {self.name} does not allow {package.name}: it refuses {_listed(refusing)}"
            if self.packages and not any(fnmatchcase(package.name, one) for one in self.packages):
                return f"group {self.name} allows only packages {_listed(self.packages)}, not {package.name}"
        return ""


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


@frozen
class Settings:
    """
    What holds for the whole deployment, kept in the directory.

    @ivar neighbours: N, how many peers a peer knows (R74).
    @ivar known_by: M, how many peers know it, >= 2 (H13).
    @ivar initial: percentage of the groups' peers that are told first (R62).
    @ivar interval: seconds between periodic synchronisations (R49).
    """

    deployment: str
    neighbours: int = field(default=5, validator=ge(1))
    known_by: int = field(default=2, validator=ge(2))
    initial: int = field(default=20, validator=ge(1))
    interval: float = field(default=300.0, validator=ge(1.0))


class State(StrEnum):
    """How far an update has come on one peer."""

    #: In the table, nothing done yet.
    KNOWN = "known"
    #: All its packages are here; the repository knows that, not the journal.
    FETCHED = "fetched"
    #: Written down that it will be run; it may be running.
    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    #: Cannot be decided or run now; the reason is kept.
    HELD = "held"
    #: Not for this peer, or withdrawn before it ran.
    SKIPPED = "skipped"

    @property
    def settled(self) -> bool:
        """Is there nothing more to do about it on this peer?"""
        return self in (State.DONE, State.FAILED, State.SKIPPED)


@frozen
class Outcome:
    """
    How a run of an update ended.

    @ivar state: L{State.DONE}, L{State.FAILED} or L{State.HELD}.
    @ivar code: the exit status of the command, negative for a signal, None if it did not run.
    @ivar reason: one short line for people.
    @ivar seconds: how long it ran.
    """

    state: State
    code: int | None = None
    reason: str = ""
    seconds: float = 0.0


@frozen
class Record:
    """
    One line of a peer's own history (R5): what was settled, and when.

    @ivar attempt: which run it was, 0 if it never ran.
    @ivar at: seconds since the epoch; to show, never to order by.
    """

    seq: Seq
    attempt: int
    outcome: Outcome
    at: float


@frozen
class Failure:
    """A failed or held update, as a peer reports it."""

    seq: Seq
    state: State
    code: int | None
    at: int
    reason: str


@frozen
class PeerStatus:
    """
    What a peer says of itself in the directory; written by that peer alone.

    @ivar head: the highest seq it knows.
    @ivar settled: every seq up to this one is settled here (done, failed or skipped).
    @ivar above: settled seqs above the mark.
    @ivar failures: failed, held and skipped updates, the newest last, at most L{MOST_FAILURES}.
    @ivar state: C{"active"}, C{"isolated"} (R77) or C{"stopped"}.
    @ivar seen: seconds since the epoch of the last report.
    @ivar sources: where its newest packages came from, by digest, at most
        L{clumpt.provenance.MOST_TOLD}.
    """

    peer: PeerName
    head: Seq = 0
    settled: Seq = 0
    above: str = ""
    failures: tuple[Failure, ...] = ()
    state: str = "active"
    reason: str = ""
    seen: int = 0
    version: str = ""
    sources: tuple[Source, ...] = ()
