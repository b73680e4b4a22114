"""Showing how an update stands: bars for a person at a terminal, lines for everybody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import define, field

from clumpt.apps.nodes import fold
from clumpt.apps.screen import Screen, when
from clumpt.model import GroupName, Peer, Update
from clumpt.progress import Fold, Picture, Stage

#: Seconds between two lines, at least.
PAUSE = 1.0


class Display(Protocol):
    """Something that shows pictures of one update."""

    def show(self, seen: Picture) -> None:
        """The update stands like this now."""

    def close(self) -> None:
        """There is no more to show."""


def groups_of(peers: tuple[Peer, ...], update: Update) -> Mapping[GroupName, frozenset[str]]:
    """The peers of each group of C{update}."""
    return {
        group: frozenset(peer.name for peer in peers if group in peer.groups)
        for group in sorted(update.groups)
    }


def display(
    screen: Screen, groups: Mapping[GroupName, frozenset[str]], clock: Callable[[], float]
) -> Display:
    """Bars if C{screen} is a terminal that can draw them, lines if not."""
    if screen.stderr.isatty():
        try:
            from clumpt.apps.bars import Bars
        except ImportError:
            return Lines(screen, clock)
        return Bars(screen.stderr, groups)
    return Lines(screen, clock)


@define(eq=False)
class Lines:
    """Says in a line what changed, at most one a second."""

    _screen: Screen
    _clock: Callable[[], float]
    _said: str = field(default="", init=False)
    _next: float = field(default=0.0, init=False)
    _waiting: str = field(default="", init=False)

    def show(self, seen: Picture) -> None:
        """See L{Display}."""
        self.note(summary(seen))

    def note(self, text: str) -> None:
        """Something is so now; it is said unless something else is so before its time comes."""
        self._waiting = text
        if self._clock() >= self._next:
            self.close()

    def close(self) -> None:
        """Say what was not said yet."""
        if self._waiting != self._said:
            self._screen.say(self._waiting)
            self._said, self._next = self._waiting, self._clock() + PAUSE


def summary(seen: Picture) -> str:
    """How many peers are where, in one line."""
    counts = seen.counts
    told = [f"{counts[stage]} {stage.value}" for stage in Stage if counts[stage] or stage is Stage.DONE]
    return f"update {seen.update.seq}: {', '.join(told)}, of {len(seen.peers)}"


def headline(update: Update, withdrawn_by: int = 0) -> str:
    """What an update is, in one line."""
    groups = ", ".join(sorted(update.groups))
    line = f"update {update.seq}: {update.label} for {groups}, submitted {when(update.issued)}"
    return f"{line}, withdrawn by update {withdrawn_by}" if withdrawn_by else line


def fold_line(one: Fold) -> tuple[str, int, str, str]:
    """One fold as cells: stage, how many, who, why."""
    why = one.reason
    if one.code:
        why = f"exit status {one.code}: {why}".rstrip(": ")
    if one.by:
        why = f"{why} (by update {one.by})".lstrip()
    return one.stage.value, len(one.peers), fold(one.peers), why


def plain(seen: Picture, withdrawn_by: int = 0) -> dict[str, Any]:
    """A picture for programs."""
    update = seen.update
    return {
        **about(update),
        "withdrawn_by": withdrawn_by,
        "over": seen.over,
        "counts": {stage.value: count for stage, count in seen.counts.items()},
        "peers": {
            name: {
                "stage": stand.stage.value,
                "reason": stand.reason,
                "code": stand.code,
                "at": stand.at,
                "by": stand.by,
            }
            for name, stand in sorted(seen.peers.items())
        },
    }


def about(update: Update) -> dict[str, Any]:
    """An update for programs."""
    return {
        "seq": update.seq,
        "label": update.label,
        "action": update.action.value,
        "installer": update.installer,
        "groups": sorted(update.groups),
        "nodes": sorted(update.nodes),
        "exclude": sorted(update.exclude),
        "issued": update.issued,
        "packages": [
            {
                "name": package.name,
                "version": package.version,
                "arch": package.arch,
                "file": package.file,
                "size": package.size,
                "sha256": package.sha256,
            }
            for package in update.packages
        ],
        "argv": list(update.argv),
        "targets": list(update.targets),
        "requires": list(update.requires),
        "withdraws": list(update.withdraws),
        "retries": update.retries,
        "timeout": update.timeout,
        "not_after": update.not_after,
        "why": update.why,
    }
