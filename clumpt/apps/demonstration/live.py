"""A picture of an update that spreads, drawn anew a few times a second; rich starts no thread for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

import rich.live
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from clumpt.apps.demonstration.submitting import View
from clumpt.apps.demonstration.summary import Result
from clumpt.apps.screen import size
from clumpt.model import GroupName, PeerName
from clumpt.progress import Stage

#: Characters in a bar, and peers that are shown giving.
WIDTH, GIVERS = 24, 6
_MARGIN = " " * 10


class Live:
    """Bars for each group, and who gives how much to others."""

    def __init__(self, stderr: TextIO, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._console = Console(file=stderr, highlight=False)
        self._drawn: rich.live.Live | None = None

    def step(self, text: str) -> None:
        """See L{clumpt.apps.demonstration.flow.Show}."""
        self.close()
        self._console.print(f"[dim]{self._clock() - self._began:6.1f} s[/dim]  ", end="")
        self._console.print(text, markup=False)

    def spread(self, view: View) -> None:
        """See L{clumpt.apps.demonstration.flow.Show}."""
        if self._drawn is None:
            self._drawn = rich.live.Live(
                console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._drawn.start()
        self._drawn.update(picture(view), refresh=True)

    def ended(self, result: Result) -> None:
        """See L{clumpt.apps.demonstration.flow.Show}."""
        self.close()

    def close(self) -> None:
        """See L{clumpt.apps.demonstration.flow.Show}."""
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None


def picture(view: View) -> RenderableType:
    """Everything that is drawn of C{view}."""
    return Group(_groups(view), _givers(view))


def _groups(view: View) -> Table:
    """A bar for each group that the update is for, and for those that are a part of these."""
    table = Table.grid(padding=(0, 2))
    done = {name for name, stand in _stands(view) if stand is Stage.DONE}
    failed = {name for name, stand in _stands(view) if stand in (Stage.FAILED, Stage.HELD)}
    fetched = (set(view.standing.fetched) if view.standing is not None else set()) | done | failed
    for group, members in groups_of(view).items():
        counts = [len(members & some) for some in (fetched, done, failed)]
        told = f"{counts[0]:>3} hold it, {counts[1]:>3} installed, of {len(members)}"
        failing = f"[red]{counts[2]} failed[/red]" if counts[2] else ""
        table.add_row(f"{_MARGIN}{group}", bar(len(members), *counts), told, failing)
    return table


def groups_of(view: View) -> Mapping[GroupName, frozenset[PeerName]]:
    """The targets by group, the largest group first, without groups that all targets happen to be in."""
    targets = view.plan.targets
    names = {group for peer in targets for group in peer.groups}
    groups = {group: frozenset(peer.name for peer in targets if group in peer.groups) for group in names}
    shown = [
        group
        for group, members in groups.items()
        if group in view.entry.update.groups or len(members) < len(targets)
    ]
    return {group: groups[group] for group in sorted(shown, key=lambda one: (-len(groups[one]), one))}


def _stands(view: View) -> Iterator[tuple[str, Stage]]:
    for name, stand in view.picture.peers.items() if view.picture is not None else ():
        yield name, stand.stage


def bar(total: int, fetched: int, done: int, failed: int) -> Text:
    """Installed in green, failed in red, what is only there in yellow."""
    ends = [round(WIDTH * count / total) for count in (done, done + failed, max(fetched, done + failed))]
    text, at = Text(), 0
    for end, style, letter in zip((*ends, WIDTH), ("green", "red", "yellow", "dim"), "━━━─", strict=True):
        text.append(letter * (end - at), style)
        at = end
    return text


def _givers(view: View) -> RenderableType:
    """Who gave away how much: the submitter, the most generous peers, and the others together."""
    if view.sent is None:
        return Text(f"{_MARGIN}the submitter gave away {size(view.submitter)}", "dim")
    sent = sorted(view.sent.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [("submitter", view.submitter), *sent[:GIVERS]]
    if rest := sent[GIVERS:]:
        rows.append((f"{len(rest)} more", sum(count for _, count in rest)))
    most = max(1, *(count for _, count in rows))
    table = Table.grid(padding=(0, 2))
    for name, count in rows:
        table.add_row(
            f"{_MARGIN}{name}", Text("▪" * round(WIDTH * count / most), "cyan"), f"gave {size(count)}"
        )
    return table
