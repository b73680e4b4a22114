"""
How far an update has come, from what the peers say of themselves: pure.

Unreachable is not failed, what a retry mended is done, and whoever lags has a
reason (promise 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum

from attrs import evolve, field, frozen

from clumpt import expiry
from clumpt.idset import IdSet
from clumpt.model import MOST_FAILURES, Failure, GroupName, PeerName, PeerStatus, Seq, State, Update

#: How the reason begins of an update that nobody runs any more until an administrator decides.
STUCK = "interrupted"
#: A peer that is well says so.
ACTIVE = "active"


class Stage(StrEnum):
    """How an update stands on one peer."""

    DONE = "done"
    FAILED = "failed"
    #: It cannot be run or decided now.
    HELD = "held"
    #: It is not needed here any more: withdrawn, too late, or tried again.
    SKIPPED = "skipped"
    #: Still to come; the reason says what it waits for.
    PENDING = "pending"


@frozen
class Target:
    """
    A peer, as far as it matters for how updates stand on it.

    @ivar stated: when its groups were last stated, in seconds since the epoch: what it reported before then
        does not say anything about the updates of its groups.
    @ivar silence: seconds without a report after which something is wrong with it.
    """

    name: PeerName
    groups: frozenset[GroupName]
    stated: int = 0
    silence: float = 900.0


@frozen
class Progress:
    """
    How an update stands on one peer.

    @ivar code: the exit status of the run, None if it was not run or was not told.
    @ivar at: when it ended, in seconds since the epoch, 0 if that is not told.
    @ivar by: the retry that brought it there, 0 for the update itself.
    """

    stage: Stage
    reason: str = ""
    code: int | None = None
    at: int = 0
    by: Seq = 0

    @property
    def over(self) -> bool:
        """Will nothing more happen by itself?"""
        stuck = self.stage is Stage.HELD and self.reason.startswith(STUCK)
        return stuck or self.stage in (Stage.DONE, Stage.FAILED, Stage.SKIPPED)


#: The updates that try an update again, in order.
Retries = Mapping[Seq, Sequence[Update]]

_STAGES = {State.FAILED: Stage.FAILED, State.HELD: Stage.HELD, State.SKIPPED: Stage.SKIPPED}


def retries_among(updates: Iterable[Update]) -> Retries:
    """Which of C{updates}, in order, try which one again."""
    found: dict[Seq, list[Update]] = {}
    for update in updates:
        if update.retries:
            found.setdefault(update.retries, []).append(update)
    return found


def progress(
    update: Update, target: Target, status: PeerStatus | None, retries: Retries, now: float
) -> Progress:
    """
    How C{update} stands on C{target}, whom it concerns.

    @param status: what the peer last said, None if it never did.
    @param now: seconds since the epoch.
    """
    own = _own(update, target, status, now)
    if own.stage is Stage.DONE:
        return own
    later = [retry for retry in retries.get(update.seq, ()) if retry.concerns(target.name, target.groups)]
    stands = [(retry.seq, progress(retry, target, status, retries, now)) for retry in reversed(later)]
    for seq, stand in stands:
        if stand.stage is Stage.DONE:
            return evolve(stand, by=stand.by or seq)
    if not stands:
        return own
    seq, newest = stands[0]
    if own.stage in (Stage.FAILED, Stage.HELD):
        return evolve(own, reason=f"{own.reason} (tried again by update {seq})".lstrip())
    return evolve(newest, by=newest.by or seq)


def _own(update: Update, target: Target, status: PeerStatus | None, now: float) -> Progress:
    if status is None or status.seen < target.stated:
        return Progress(Stage.PENDING, unsure(target, status, now))
    failures = {failure.seq: failure for failure in status.failures}
    if update.seq in failures:
        return _failed(failures[update.seq])
    if update.seq <= status.settled or update.seq in IdSet.parse(status.above):
        if len(failures) >= MOST_FAILURES and update.seq < min(failures):
            return Progress(Stage.PENDING, "it ended, but so many failed since that nobody knows how")
        return Progress(Stage.DONE)
    return Progress(Stage.PENDING, lag(update.seq, target, status, now))


def _failed(failure: Failure) -> Progress:
    return Progress(_STAGES.get(failure.state, Stage.PENDING), failure.reason, failure.code, failure.at)


def unsure(target: Target, status: PeerStatus | None, now: float) -> str:
    """Why what a peer last said may not be how it is now, empty if it is well."""
    if status is None:
        return "never reported"
    if status.seen < target.stated:
        return "has not reported since its groups were stated"
    unwell = f"{status.state}: {status.reason}".rstrip(": ") if status.state != ACTIVE else ""
    if now - status.seen > target.silence:
        before = f", was {unwell}" if unwell else ""
        return f"not seen for {age(now - status.seen)}{before}"
    return unwell


def lag(seq: Seq, target: Target, status: PeerStatus | None, now: float) -> str:
    """Why a peer has not settled C{seq}, and all before it, yet."""
    doubt = unsure(target, status, now)
    if doubt or status is None:
        return doubt
    if status.head < seq:
        return f"knows updates up to {status.head}"
    if status.reason and expiry.told(status.reason) is None:
        return status.reason
    first = status.settled + 1
    return f"is at update {first}" if first < seq else "fetching or running"


def age(seconds: float) -> str:
    """A duration in one coarse word, so that equal reasons fold: C{3 h}."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


@frozen
class Fold:
    """Peers on which an update stands in the same way."""

    stage: Stage
    reason: str
    code: int | None
    by: Seq
    peers: tuple[PeerName, ...]


@frozen
class Picture:
    """How one update stands on everybody whom it concerns."""

    update: Update
    peers: Mapping[PeerName, Progress] = field(factory=dict)

    @property
    def counts(self) -> Mapping[Stage, int]:
        """How many peers are at each stage; every stage is named."""
        counted = Counter(stand.stage for stand in self.peers.values())
        return {stage: counted[stage] for stage in Stage}

    @property
    def over(self) -> bool:
        """Will nothing more happen by itself?"""
        return all(stand.over for stand in self.peers.values())

    def on(self, stage: Stage) -> Collection[PeerName]:
        """The peers at C{stage}, by name."""
        return tuple(sorted(name for name, stand in self.peers.items() if stand.stage is stage))

    @property
    def failed(self) -> bool:
        """Did it fail somewhere, or is it held until somebody decides?"""
        return any(stand.over and stand.stage in (Stage.FAILED, Stage.HELD) for stand in self.peers.values())

    @property
    def folds(self) -> Sequence[Fold]:
        """The peers by stage and reason, the largest folds of each stage first."""
        found: dict[tuple[Stage, str, int | None, Seq], list[PeerName]] = {}
        for name, stand in sorted(self.peers.items()):
            found.setdefault((stand.stage, stand.reason, stand.code, stand.by), []).append(name)
        order = list(Stage)
        folds = [Fold(*key, tuple(names)) for key, names in found.items()]
        return sorted(folds, key=lambda fold: (order.index(fold.stage), -len(fold.peers), fold.peers))


def picture(
    update: Update,
    targets: Iterable[Target],
    statuses: Mapping[PeerName, PeerStatus],
    retries: Retries,
    now: float,
) -> Picture:
    """How C{update} stands on those of C{targets} whom it concerns."""
    concerned = [target for target in targets if update.concerns(target.name, target.groups)]
    return Picture(
        update,
        {one.name: progress(update, one, statuses.get(one.name), retries, now) for one in concerned},
    )
