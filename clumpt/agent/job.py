"""
What is to be done about each update on this peer: pure decisions.

The agenda holds the updates that concern this peer and are not settled, in
order of seq.  Nothing is run while a lower one of them is open (promise 2); a
failure is sticky, but only what requires it is stopped by it (H6).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import define, field, frozen

from clumpt.idset import IdSet
from clumpt.model import Action, Entry, Group, GroupName, Package, PeerName, Seq, State
from clumpt.pieces import Digest


@frozen
class Nothing:
    """There is nothing to do."""


@frozen
class Fetch:
    """The packages of the first open update are not all here."""

    entry: Entry
    packages: tuple[Package, ...]


@frozen
class Run:
    """The first open update can be run."""

    entry: Entry


@frozen
class Settle:
    """The first open update ends without being run."""

    entry: Entry
    state: State
    reason: str


Step = Nothing | Fetch | Run | Settle


@define
class Agenda:
    """
    The open updates of one peer, and what later updates say about earlier ones.

    @ivar peer: this peer.
    @ivar policies: gives this peer's groups with what they allow (R11).
    @ivar states: how far each update has come, as in the journal; kept in step by L{mark}.
    """

    peer: PeerName
    groups: frozenset[GroupName] = frozenset()
    states: dict[Seq, State] = field(factory=dict)
    policies: Callable[[], Collection[Group]] = tuple
    #: Held until an administrator retries or withdraws them: nobody knows how their run ended.
    stuck: set[Seq] = field(factory=set)
    _concerning: dict[Seq, Entry] = field(factory=dict, init=False)
    _open: list[Seq] = field(factory=list, init=False)
    _users: dict[Digest, list[Seq]] = field(factory=dict, init=False)
    _withdrawn: dict[Seq, Seq] = field(factory=dict, init=False)
    _retried: dict[Seq, list[Seq]] = field(factory=dict, init=False)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in entries that joined the table, in order."""
        for entry in entries:
            self.states.setdefault(entry.seq, State.KNOWN)
            if not entry.update.concerns(self.peer, self.groups):
                continue
            self._concerning[entry.seq] = entry
            for package in entry.update.packages:
                self._users.setdefault(package.sha256, []).append(entry.seq)
            for other in entry.update.withdraws:
                self._withdrawn.setdefault(other, entry.seq)
            if entry.update.retries:
                self._retried.setdefault(entry.update.retries, []).append(entry.seq)
            if not self.states[entry.seq].settled and self._at(entry.seq) is None:
                insort(self._open, entry.seq)

    def regroup(self, groups: frozenset[GroupName], table: Iterable[Entry]) -> None:
        """This peer's groups changed: earlier updates of a group joined become open (H10)."""
        self.groups = groups
        for store in (self._concerning, self._open, self._users, self._withdrawn, self._retried):
            store.clear()
        self.add(table)

    def mark(self, seq: Seq, state: State) -> None:
        """The journal now has C{state} for C{seq}."""
        self.states[seq] = state
        at = self._at(seq)
        if state.settled and at is not None:
            del self._open[at]

    def came(self, package: Package, holds: Callable[[Package], bool]) -> Collection[Seq]:
        """C{package} is here; returns the updates for this peer that use it."""
        for seq in self.users(package.sha256):
            if self.states[seq] is State.KNOWN and all(map(holds, self._concerning[seq].update.packages)):
                self.mark(seq, State.FETCHED)
        return self.users(package.sha256)

    def _at(self, seq: Seq) -> int | None:
        """Where C{seq} stands among the open ones."""
        at = bisect_left(self._open, seq)
        return at if at < len(self._open) and self._open[at] == seq else None

    @property
    def open(self) -> Collection[Seq]:
        """The open seqs in order."""
        return tuple(self._open)

    def settled(self, head: Seq) -> IdSet:
        """All seqs up to C{head} about which nothing is left to do here."""
        return IdSet.upto(head) - IdSet.of(self._open)

    def wanted(self, few: int, most: int, size: int) -> list[Package]:
        """
        The packages that the first open updates need, in order.

        @param few: of so many updates, whatever the size of their packages; of further ones up to C{most},
            as long as all before them take less than C{size} bytes.
        """
        wanted: list[Package] = []
        for place, seq in enumerate(self._open[:most]):
            if place >= few and size <= 0:
                break
            entry = self._concerning[seq]
            if not self._void(entry, 0):
                for package in entry.update.packages:
                    wanted.append(package)
                    size -= package.size
        return wanted

    def users(self, digest: Digest) -> Collection[Seq]:
        """The updates for this peer that use the package of C{digest}."""
        return self._users.get(digest, ())

    def withdrawn(self, seq: Seq) -> bool:
        """Was C{seq} withdrawn by a later update?"""
        return seq in self._withdrawn

    def concerning(self) -> Mapping[Seq, Entry]:
        """Every update for this peer, settled or not."""
        return self._concerning

    def result(self, seq: Seq) -> State:
        """The state of C{seq}, or of the last retry of it that was settled."""
        for retry in reversed(self._retried.get(seq, [])):
            if self.states.get(retry, State.KNOWN).settled:
                return self.result(retry)
        return self.states.get(seq, State.KNOWN)

    def next(self, now: float, allowed: Collection[str], holds: Callable[[Package], bool]) -> Step:
        """
        The next thing to do.

        @param now: seconds since the epoch, for C{not_after}.
        @param allowed: the installers of this node.
        @param holds: is a package wholly here?
        """
        if not self._open:
            return Nothing()
        entry = self._concerning[self._open[0]]
        if (void := self._void(entry, now)) is not None:
            return Settle(entry, State.SKIPPED, void)
        if entry.seq in self.stuck:
            return Nothing()
        if (hindrance := self._hindrance(entry, allowed)) is not None:
            return Settle(entry, State.FAILED, hindrance)
        missing = tuple(package for package in entry.update.packages if not holds(package))
        if missing:
            return Fetch(entry, missing)
        if entry.update.action is Action.WITHDRAW:
            return Settle(entry, State.DONE, "")
        return Run(entry)

    def _void(self, entry: Entry, now: float) -> str | None:
        """Why this update need not be run any more; never once it was begun."""
        if self.states[entry.seq] is State.INTENT:
            return None
        if entry.seq in self._withdrawn:
            return f"withdrawn by update {self._withdrawn[entry.seq]}"
        if self.states[entry.seq] is State.HELD and entry.seq in self._retried:
            return f"tried again by update {self._retried[entry.seq][-1]}"
        if 0 < entry.update.not_after < now:
            return "its time was over before this peer got to it"
        return None

    def _refused(self, entry: Entry) -> str | None:
        """What a group of this peer has against this update; what was begun is ended."""
        update = entry.update
        if update.action is Action.WITHDRAW or self.states[entry.seq] is State.INTENT:
            return None
        whys = (group.objection(update.installer, update.packages) for group in self.policies())
        return next((f"refused: {why}" for why in whys if why), None)

    def _hindrance(self, entry: Entry, allowed: Collection[str]) -> str | None:
        """Why this update cannot succeed here."""
        update = entry.update
        if update.action is not Action.WITHDRAW and update.installer not in allowed:
            return f"the installer {update.installer} is not allowed on this node (allow, in [install])"
        if (refused := self._refused(entry)) is not None:
            return refused
        for required in update.requires:
            state = self.result(required)
            if required in self._concerning and state is not State.DONE:
                return f"it requires update {required}, which is {state.value} here"
        return None
