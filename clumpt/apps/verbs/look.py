"""C{clumpt status} and C{clumpt list}: how things stand, from what the peers reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError

from clumpt.aio import deferred
from clumpt.apps.desk import Desk
from clumpt.apps.display import about, fold_line, headline, plain
from clumpt.apps.following import ending, targets, watch
from clumpt.apps.nodes import fold
from clumpt.apps.oneshot import Status
from clumpt.apps.screen import when
from clumpt.apps.sources import line as sources_line
from clumpt.apps.sources import plain as sources_plain
from clumpt.apps.sources import sources
from clumpt.apps.verbs.words import VerbOptions, whole
from clumpt.idset import IdSet
from clumpt.model import PeerName, PeerStatus, Seq, Update
from clumpt.progress import Picture, Stage, picture, retries_among
from clumpt.skew import Peerwise, overview

#: Of the newest updates, so many are looked through for retries of what failed earlier.
MOST_NEWEST = 10_000


class StatusOptions(VerbOptions):
    """C{clumpt status [SEQ]}."""

    synopsis = "status [SEQ] [options]"
    longdesc = "How an update stands on everybody, or, without SEQ, who is in step with the table."
    seq: Seq | None = None

    def parseArgs(self, seq: str | None = None) -> None:
        """Take the id of an update."""
        try:
            self.seq = whole(seq) if seq is not None else None
        except ValueError:
            raise UsageError("name the update by its number; clumpt list shows them") from None

    def act(self, desk: Desk) -> Deferred[int]:
        """Look."""
        if self.seq is None:
            return skew(desk, bool(self["json"]))
        return status(desk, self.seq, bool(self["json"]))


@deferred
async def status(desk: Desk, seq: Seq, for_programs: bool) -> int:
    """Show how update C{seq} stands; fires with the exit status."""
    update = (await desk.entry(seq)).update
    watching = await watch(desk, update, await desk.directory.peers())
    seen = await watching.look()
    came = await sources(desk, update)
    if for_programs:
        fields = {**plain(seen, watching.withdrawn_by), "sources": sources_plain(came, by_node=False)}
        desk.screen.json("status", fields)
    else:
        desk.screen.write(headline(update, watching.withdrawn_by))
        desk.screen.write(sources_line(came))
        desk.screen.table(("STAGE", "PEERS", "WHO", "WHY"), map(fold_line, seen.folds))
    return ending(seen)


@deferred
async def skew(desk: Desk, for_programs: bool) -> int:
    """Show how far apart the peers are; fires with the exit status."""
    settings = await desk.settings()
    # A peer of no group is an administrator's tool, which installs nothing.
    peers = [peer for peer in await desk.directory.peers() if peer.groups]
    statuses = await desk.directory.statuses()
    head = await desk.directory.head()
    updates = await _updates_for(desk, statuses, head)
    everybody = targets(peers, settings, await desk.keyring())
    retries = retries_among(updates.values())
    seen = overview(everybody, statuses, updates, retries, head, desk.wall())
    if for_programs:
        desk.screen.json("overview", {"head": head, "peers": {one.name: _plain(one) for one in seen}})
    else:
        desk.screen.write(f"newest update: {head}, peers: {len(seen)}")
        desk.screen.table(("SETTLED", "PEERS", "WHO", "WHY"), _rows(seen, head))
    if any(one.open for one in seen):
        return Status.FAILED
    return Status.SPREADING if any(one.behind for one in seen) else Status.DONE


async def _updates_for(
    desk: Desk, statuses: Mapping[PeerName, PeerStatus], head: Seq
) -> Mapping[Seq, Update]:
    """The updates that some peer reports as failed or held, and all that came after them."""
    failed = [failure.seq for status in statuses.values() for failure in status.failures]
    if not failed or not head:
        return {}
    first = max(1, min(failed), head - MOST_NEWEST + 1)
    return {seq: entry.update for seq, entry in (await desk.entries(IdSet([(first, head)]))).items()}


def _plain(one: Peerwise) -> dict[str, Any]:
    return {
        "settled": one.settled,
        "behind": one.behind,
        "open": {
            str(seq): {"stage": stand.stage.value, "reason": stand.reason, "code": stand.code}
            for seq, stand in sorted(one.open.items())
        },
    }


def _rows(seen: Iterable[Peerwise], head: Seq) -> Sequence[tuple[object, ...]]:
    """Peers that stand alike in one row, those in step first."""
    folds: dict[tuple[bool, int, str], list[str]] = {}
    for one in seen:
        troubles = [f"update {seq} {stand.stage.value}" for seq, stand in sorted(one.open.items())]
        why = "; ".join([*([one.behind] if one.behind else []), *troubles])
        folds.setdefault((bool(why), -one.settled, why), []).append(one.name)
    return [
        (-settled, len(names), fold(names), why or "in step")
        for (_, settled, why), names in sorted(folds.items())
    ]


class ListOptions(VerbOptions):
    """C{clumpt list}."""

    synopsis = "list [options]"
    longdesc = "The newest updates, and how many peers have done them."
    optParameters: list[list[Any]] = [["number", "n", 20, "How many.", whole]]

    def act(self, desk: Desk) -> Deferred[int]:
        """Look."""
        return list_updates(desk, self["number"], bool(self["json"]))


@deferred
async def list_updates(desk: Desk, most: int, for_programs: bool) -> int:
    """Show the newest C{most} updates, oldest first; fires with the exit status."""
    settings = await desk.settings()
    everybody = targets(await desk.directory.peers(), settings, await desk.keyring())
    statuses = await desk.directory.statuses()
    head = await desk.directory.head()
    known = await desk.entries(IdSet([(max(1, head - most + 1), head)]) if head else IdSet())
    updates = [entry.update for entry in known.values()]
    retries = retries_among(updates)
    withdrawn = {seq: update.seq for update in updates for seq in update.withdraws}
    now = desk.wall()
    pictures = [picture(update, everybody, statuses, retries, now) for update in updates]
    if for_programs:
        rows = [_summary(seen, withdrawn.get(seen.update.seq, 0)) for seen in pictures]
        desk.screen.json("list", {"head": head, "updates": rows})
    else:
        heads = ("SEQ", "SUBMITTED", "WHAT", "GROUPS", "DONE", "OTHERS")
        desk.screen.table(heads, [_row(seen, withdrawn.get(seen.update.seq, 0)) for seen in pictures])
    return Status.DONE


def _summary(seen: Picture, withdrawn_by: Seq) -> dict[str, Any]:
    counts = {stage.value: count for stage, count in seen.counts.items()}
    return {**about(seen.update), "withdrawn_by": withdrawn_by, "over": seen.over, "counts": counts}


def _row(seen: Picture, withdrawn_by: Seq) -> tuple[object, ...]:
    update, counts = seen.update, seen.counts
    others = [
        f"{counts[stage]} {stage.value}" for stage in Stage if stage is not Stage.DONE and counts[stage]
    ]
    if withdrawn_by:
        others.append(f"withdrawn by update {withdrawn_by}")
    what = update.label if update.action.value in update.label else f"{update.action.value} {update.label}"
    return (
        update.seq,
        when(update.issued),
        what,
        ",".join(sorted(update.groups)),
        f"{counts[Stage.DONE]}/{len(seen.peers)}",
        ", ".join(others),
    )
