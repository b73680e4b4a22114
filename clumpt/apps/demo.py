"""C{clumpt demo}: a cluster on this machine, in one command, that cleans up after itself (R79)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

from twisted.python.usage import UsageError

from clumpt.aio import deferred
from clumpt.apps.demonstration.directories import KINDS
from clumpt.apps.demonstration.flow import Demonstration, Show, Wishes
from clumpt.apps.demonstration.loopback import MOST_PEERS
from clumpt.apps.demonstration.show import Lines
from clumpt.apps.oneshot import ToolOptions, nowhere


class DemoOptions(ToolOptions):
    """The words after C{clumpt demo}."""

    synopsis = "demo [FILE...] [options]"
    longdesc = "Runs a cluster of 20 peers on this machine, installs packages on it, and cleans up."
    optParameters: list[list[Any]] = [
        ["peers", "n", 20, "How many peers.", int],
        ["directory", "d", "embedded", "The directory: embedded, or slapd for a real OpenLDAP."],
        ["timeout", "t", 120.0, "How many seconds one update may take.", float],
    ]
    optFlags = [
        ["json", None, "Print the summary as JSON, and nothing else."],
        ["processes", None, "Run every peer as a process of its own."],
    ]

    def parseArgs(self, *files: str) -> None:
        """Take the packages."""
        self.files = tuple(Path(file).absolute() for file in files)

    def postOptions(self) -> None:
        """Check the words."""
        if self["directory"] not in KINDS:
            raise UsageError(f"--directory is one of {', '.join(KINDS)}, not {self['directory']}")
        if not 2 <= self["peers"] <= MOST_PEERS:
            raise UsageError(f"--peers is a number from 2 to {MOST_PEERS}")
        for file in self.files:
            if not file.is_file():
                raise UsageError(f"{file} is not a file")

    @property
    def wishes(self) -> Wishes:
        """What is wished for."""
        return Wishes(
            self["peers"], self.files, self["directory"], bool(self["processes"]), float(self["timeout"])
        )

    @deferred
    async def main(self, reactor: Any, stdout: TextIO) -> int:
        """Do it, and fire with the exit status."""
        stderr = sys.__stderr__ or nowhere()
        show: Show = Lines(stderr, reactor.seconds)
        demonstration = Demonstration(reactor, self.wishes, show)
        try:
            await demonstration.open()
            summary = await demonstration.run()
            show.close()
            if self["json"]:
                stdout.write(summary.json + "\n")
            else:
                stdout.writelines(f"{line}\n" for line in summary.lines)
            stdout.flush()
            return summary.status
        finally:
            show.close()
            await demonstration.close()
