"""What all verbs of C{clumpt} have in common on the command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.python.usage import Options, UsageError

from clumpt.aio import deferred
from clumpt.apps.desk import Desk, real_desk
from clumpt.apps.oneshot import Status, ToolOptions, nowhere
from clumpt.apps.words import AnyOrder
from clumpt.config import DEFAULT_PATH, Config
from clumpt.configfile import load
from clumpt.model import GroupName, is_name

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: The longest duration that can be said, in days.
LONGEST = 3660


def seconds(text: str) -> float:
    """The seconds in C{90}, C{10m}, C{2h} or C{7d}; more than none."""
    match = _DURATION.fullmatch(text)
    value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < value <= LONGEST * 86400:
        raise ValueError(f"a duration is written like 90, 10m, 2h or 7d; it is {text!r}")
    return value


def whole(text: str) -> int:
    """A whole number from 1 on."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or not int(text):
        raise ValueError(f"it must be a whole number from 1 on; it is {text!r}")
    return int(text)


def wholes(text: str) -> tuple[int, ...]:
    """Whole numbers between commas."""
    return tuple(dict.fromkeys(map(whole, text.split(","))))


def percent(text: str) -> int:
    """A percentage from 1 to 100, with its sign or without."""
    number = whole(text.removesuffix("%"))
    if number > 100:
        raise ValueError("it must be from 1 to 100")
    return number


def group_names(text: str) -> frozenset[GroupName]:
    """The groups in C{compute,gpu}; raises UsageError."""
    names = [name for name in text.split(",") if name]
    for name in names:
        if not is_name(name):
            raise UsageError(f"{name!r} cannot be the name of a group")
    return frozenset(map(GroupName, names))


class VerbOptions(AnyOrder, ToolOptions):
    """
    The words after a verb; options and arguments may come in any order.

    @ivar rest: what stood after C{--}, None if that did not stand there.
    @ivar config: what the configuration file says.
    """

    optParameters: list[list[Any]] = [
        ["config", "c", None, f"The configuration file.  [default: {DEFAULT_PATH}]"]
    ]
    optFlags = [["json", None, "Print data for programs: one JSON object on a line; see clumpt(1)."]]
    synopsis = ""
    rest: tuple[str, ...] | None = None
    config: Config

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; ends the process if the words or the configuration cannot be used."""
        words = list(options or [])
        if "--" in words:
            cut = words.index("--")
            words, self.rest = words[:cut], tuple(words[cut + 1 :])
        try:
            super().parseOptions(words)
        except UsageError as wrong:
            self._end(f"{wrong}\nTry --help.", Status.USAGE)

    def getSynopsis(self) -> str:
        """How it is used, in one line."""
        return f"Usage: clumpt {self.synopsis}"

    def postOptions(self) -> None:
        """Read the configuration."""
        if self.rest is not None and not self.takes_rest():
            raise UsageError("words after -- are for --with command, or for the installer")
        above: Options | None = self.parent
        named = self["config"] or (above["config"] if above is not None else None)
        self.config = load(Path(named) if named else DEFAULT_PATH)

    def takes_rest(self) -> bool:
        """May there be words after C{--}?"""
        return False

    @deferred
    async def main(self, reactor: Any, stdout: TextIO) -> int:
        """Do it, and fire with the exit status."""
        desk = real_desk(self.config, reactor, stdout, sys.__stderr__ or nowhere())
        try:
            return int(await self.act(desk))
        finally:
            await desk.close()

    def act(self, desk: Desk) -> Deferred[int]:
        """What the verb does; fires with the exit status."""
        raise NotImplementedError
