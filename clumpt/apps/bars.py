"""A bar for each group of an update, drawn when there is something new; rich starts no thread for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from clumpt.model import GroupName
from clumpt.progress import Picture, Stage


class Bars:
    """Shows how many peers of each group are done, and what became of the others."""

    def __init__(self, stderr: TextIO, groups: Mapping[GroupName, frozenset[str]]) -> None:
        self._groups = groups
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[others]}"),
            console=Console(file=stderr),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[GroupName, TaskID] = {}

    def show(self, seen: Picture) -> None:
        """See L{clumpt.apps.display.Display}."""
        if not self._tasks:
            self._bars.start()
        for group, members in self._groups.items():
            stages = [stand.stage for name, stand in seen.peers.items() if name in members]
            others = ", ".join(
                f"{stages.count(stage)} {stage.value}"
                for stage in Stage
                if stage is not Stage.DONE and stage in stages
            )
            if group not in self._tasks:
                self._tasks[group] = self._bars.add_task(group, others="")
            self._bars.update(
                self._tasks[group],
                total=len(stages),
                completed=stages.count(Stage.DONE),
                others=others,
            )
        self._bars.refresh()

    def close(self) -> None:
        """See L{clumpt.apps.display.Display}."""
        self._bars.stop()
