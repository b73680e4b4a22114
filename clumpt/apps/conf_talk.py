"""What clumptconf says, shows and asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from attrs import define
from twisted.internet.defer import Deferred

from clumpt.aio import deferred
from clumpt.errors import BadInput

#: The version of what C{--json} prints; it grows when something is taken away or changes its meaning.
FORMAT = 1


@define(eq=False)
class Talk:
    """
    The person, or the script, at the other end.

    @ivar out: takes data, and nothing else.
    @ivar err: takes everything that is said.
    @ivar ask: fires with whether the answer is yes; None if nobody is there to be asked.
    @ivar yes: do not ask.
    @ivar dry: only say what would be done.
    @ivar json: data is JSON instead of lines for people.
    """

    out: TextIO
    err: TextIO
    ask: Callable[[], Deferred[bool]] | None = None
    yes: bool = False
    dry: bool = False
    json: bool = False

    def say(self, text: str) -> None:
        """Tell C{text}, one or more lines."""
        self.err.write(f"{text}\n")

    def show(self, lines: Iterable[str], **fields: Any) -> None:
        """Print C{lines}, or C{fields} for C{--json}."""
        if self.json:
            self.out.write(json.dumps({"v": FORMAT, **fields}, indent=2) + "\n")
        else:
            self.out.writelines(f"{line}\n" for line in lines)

    @deferred
    async def agreed(self, plan: Sequence[str]) -> bool:
        """
        Tell C{plan}, one thing a line; is it to be done?

        Fails with L{BadInput} if that must be asked and nobody is there.
        """
        self.say("\n".join(plan))
        if self.dry:
            self.say("Nothing was done: --dry-run.")
            return False
        if self.yes:
            return True
        if self.ask is None:
            raise BadInput("nobody is there to be asked: say --yes to do it, or --dry-run to see it only")
        self.err.write("Do it? [y/N] ")
        self.err.flush()
        if await self.ask():
            return True
        self.say("Nothing was done.")
        return False


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """C{rows} as lines with straight columns; the first row is the heading."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in listed
    ]
