"""How far apart the peers are (software skew): who is in step with the table, and who lags and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from clumpt.model import PeerName, PeerStatus, Seq, Update
from clumpt.progress import Progress, Retries, Stage, Target, lag, progress, unsure


@frozen
class Peerwise:
    """
    How one peer stands to the whole table.

    @ivar settled: every update up to this one is settled on it, 0 if it never reported.
    @ivar behind: why it is not in step, empty if it is.
    @ivar open: what failed or is held on it, and was neither mended nor withdrawn since.
    """

    name: PeerName
    settled: Seq
    behind: str
    open: Mapping[Seq, Progress]


def overview(
    targets: Iterable[Target],
    statuses: Mapping[PeerName, PeerStatus],
    updates: Mapping[Seq, Update],
    retries: Retries,
    head: Seq,
    now: float,
) -> Sequence[Peerwise]:
    """
    Every peer, by name.

    @param updates: at least those that some peer reports as failed or held, and all later ones.
    @param head: the newest update.
    """
    withdrawn = {seq for update in updates.values() for seq in update.withdraws}
    return [
        _one(target, statuses.get(target.name), updates, withdrawn, retries, head, now)
        for target in sorted(targets, key=lambda target: target.name)
    ]


def _one(
    target: Target,
    status: PeerStatus | None,
    updates: Mapping[Seq, Update],
    withdrawn: set[Seq],
    retries: Retries,
    head: Seq,
    now: float,
) -> Peerwise:
    found = {}
    for failure in status.failures if status is not None else ():
        update = updates.get(failure.seq)
        if update is None or failure.seq in withdrawn or update.retries:
            continue
        stand = progress(update, target, status, retries, now)
        if stand.stage in (Stage.FAILED, Stage.HELD):
            found[failure.seq] = stand
    behind = unsure(target, status, now)
    settled = status.settled if status is not None else 0
    if settled < head:
        behind = lag(head, target, status, now)
    return Peerwise(target.name, settled, behind, found)
