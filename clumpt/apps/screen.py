"""Where a tool writes: data on stdout, talk on stderr, as a person or as a program wants it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from attrs import define
from twisted.internet.defer import Deferred

from clumpt.aio import deferred
from clumpt.apps.oneshot import tell
from clumpt.errors import BadInput

#: The version of what C{--json} prints; it rises when a field changes its meaning or goes.
VERSION = 1


@define(eq=False)
class Screen:
    """
    The two streams of a tool, and the person in front of them.

    @ivar ask: fires with whether the person at the terminal says yes; None if nobody is there.
    """

    stdout: TextIO
    stderr: TextIO
    ask: Callable[[], Deferred[bool]] | None = None

    def say(self, text: str) -> None:
        """Tell the operator."""
        tell(self.stderr, printable(text))

    def write(self, text: str) -> None:
        """Give data, in lines for people."""
        self.stdout.write(printable(text) + "\n" if text else "")
        self.stdout.flush()

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Give data in columns; the last one is as long as it is."""
        self.write("\n".join(columns(heads, rows)))

    def json(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Give data for programs: one object, on one line."""
        self.stdout.write(json.dumps({"v": VERSION, "kind": kind, **fields}) + "\n")
        self.stdout.flush()

    @deferred
    async def agree(self, question: str, sure: bool) -> bool:
        """
        Does the operator agree?

        @param sure: they said so in advance.

        Fails with L{BadInput} if nobody can be asked.
        """
        if sure:
            return True
        if self.ask is None:
            raise BadInput(f"{question} Nobody can be asked here: say so with --yes.")
        self.stderr.write(f"{question} [y/N] ")
        self.stderr.flush()
        return await self.ask()


def columns(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines in which the cells of each column begin at the same place."""
    cells = [list(heads), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(heads))]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    return ["  ".join(row).rstrip() for row in padded]


def printable(text: str) -> str:
    """C{text} without anything that a terminal would obey; lines stay lines."""
    return "\n".join(
        "".join(letter if letter.isprintable() else "?" for letter in line) for line in text.split("\n")
    )


def when(seconds: float) -> str:
    """A moment as people write it, in their own time zone; C{-} for 0."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}" if seconds else "-"


def size(count: int) -> str:
    """Bytes as people write them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
