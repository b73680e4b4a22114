"""C{clumpt demo}: a cluster on this machine, in one command, that cleans up after itself (R79)."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError

from clumpt.aio import deferred, sleep
from clumpt.apps.demonstration.background import REPORT, leave_running, stay
from clumpt.apps.demonstration.directories import KINDS
from clumpt.apps.demonstration.figures import Figure, table
from clumpt.apps.demonstration.flow import Demonstration, Wishes, cluster, evaluate
from clumpt.apps.demonstration.leftovers import end_runs
from clumpt.apps.demonstration.loopback import MOST_PEERS
from clumpt.apps.demonstration.place import Found, found
from clumpt.apps.demonstration.show import show_on
from clumpt.apps.demonstration.summary import VERSION, Summary
from clumpt.apps.oneshot import Status, ToolOptions, nowhere
from clumpt.apps.words import AnyOrder
from clumpt.errors import BadInput, NothingMatched

#: The scenario, and the least peers that can play it, and the usual one.
PAPER = "paper"
LEAST_FOR = {"": 2, PAPER: 12}
#: Seconds that a demonstration may take to end, and between two looks whether it has.
PATIENCE, LOOK = 20.0, 0.1


class DemoOptions(AnyOrder, ToolOptions):
    """
    The words after C{clumpt demo}.

    @ivar words: as they were given.
    """

    synopsis = "[FILE...] [options] | --stop [FOLDER...]"
    longdesc = (
        "Runs a cluster of 20 peers on this machine, installs packages on it, and cleans up.  It needs no"
        " root, and touches nothing outside of a temporary folder.  FILE is a package to install on it:"
        " first on the nodes of one group, then on all.  --stop ends those that were left running, or only"
        " those in these FOLDERs."
    )
    optParameters: list[list[Any]] = [
        ["peers", "n", 20, "How many peers.", int],
        ["scenario", "s", "", "What is done instead: paper, the evaluation of the paper on Clumpt."],
        ["directory", "d", "embedded", "The directory: embedded, or slapd for a real OpenLDAP."],
        ["timeout", "t", 120.0, "How many seconds one update may take.", float],
    ]
    optFlags = [
        ["json", None, "Print the summary as JSON, and nothing else."],
        ["processes", None, "Run every peer as a process of its own."],
        ["keep", "k", "Leave it running, to play with: clumpt --demo status."],
        ["stop", None, "End what was left running, and clean up."],
    ]
    #: The demonstration keeps its own log.
    logger = "clumpt.apps.oneshot.mistakes_observer"
    #: Nothing may be left behind, however busy the machine is.
    grace = 60.0

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse; ends the process if the words cannot be used."""
        self.words = list(options or [])
        super().parseOptions(options)

    def parseArgs(self, *files: str) -> None:
        """Take the packages, or the folders of what is to be stopped."""
        self.files = tuple(Path(file).absolute() for file in files)

    def postOptions(self) -> None:
        """Check the words."""
        if self["stop"]:
            return
        if self["directory"] not in KINDS:
            raise UsageError(f"--directory is one of {', '.join(KINDS)}, not {self['directory']}")
        if self["scenario"] not in ("", PAPER):
            raise UsageError(f"--scenario is {PAPER}, not {self['scenario']}")
        if self["scenario"] and self.files:
            raise UsageError("the scenario makes its packages itself")
        least = LEAST_FOR[self["scenario"]]
        if not least <= self["peers"] <= MOST_PEERS:
            raise UsageError(f"--peers is a number from {least} to {MOST_PEERS}")
        for file in self.files:
            if not file.is_file():
                raise UsageError(f"{file} is not a file")

    @property
    def wishes(self) -> Wishes:
        """What is wished for."""
        return Wishes(
            self["peers"], self.files, self["directory"], bool(self["processes"]), float(self["timeout"])
        )

    def main(self, reactor: Any, stdout: TextIO) -> Deferred[int]:
        """Do it, and fire with the exit status."""
        stderr = sys.__stderr__ or nowhere()
        if self["stop"]:
            return stop(reactor, stderr, self.files)
        # The end of the terminal is to be cleaned up after, too.
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        report = os.environ.get(REPORT, "")
        if self["keep"] and not report:
            return leave_running(reactor, ["demo", *self.words], os.environ)
        if report:
            # Neither Ctrl-C nor the end of the terminal is meant for what is left running.
            os.setsid()
        return self._demonstrate(reactor, stdout, stderr, report)

    @deferred
    async def _demonstrate(self, reactor: Any, stdout: TextIO, stderr: TextIO, report: str) -> int:
        show = show_on(stderr, reactor.seconds)
        wished = cluster(reactor, self.wishes, show)
        try:
            if self["scenario"]:
                ending = self._paper(await evaluate(wished, self.wishes))
            else:
                ending = self._summary(await Demonstration(wished, self.wishes, show).run())
            show.close()
            status, lines = ending
            hints = running_hints(wished.place.config) if self["keep"] else more_hints()
            stdout.writelines(f"{line}\n" for line in (*lines, *([] if self["json"] else ["", *hints])))
            stdout.flush()
            if report:
                wished.place.keep()
                stay(status, report, wished.place.log)
                await Deferred()
            return status
        finally:
            try:
                show.close()
            finally:
                # Even if the terminal is gone.
                await wished.close()

    def _summary(self, summary: Summary) -> tuple[Status, Sequence[str]]:
        return summary.status, [summary.json] if self["json"] else summary.lines

    def _paper(self, figures: Sequence[Figure]) -> tuple[Status, Sequence[str]]:
        status = Status.DONE if all(figure.good for figure in figures) else Status.FAILED
        if not self["json"]:
            return status, list(table(figures))
        said = {
            "v": VERSION,
            "ok": status is Status.DONE,
            "peers": self["peers"],
            "directory": self["directory"],
        }
        return status, [json.dumps({**said, "figures": [figure.fields for figure in figures]})]


def running_hints(config: Path) -> Iterator[str]:
    """What to try with a demonstration that is left running."""
    yield "It is left running.  Try:"
    yield "  clumpt --demo status                 how everything stands"
    yield "  clumpt --demo install FILE -g all    install a package of yours on all of it"
    yield "  clumpt --demo log 2 node07           what an update printed on a node"
    yield f"  clumptconf -c {config} list    who is there"
    yield f"  less {config.parent.parent}/log"
    yield "  clumpt demo --stop                   end it, and remove everything"


def more_hints() -> Iterator[str]:
    """What else to try."""
    yield "Everything is being stopped and removed.  Try next:"
    yield "  clumpt demo --keep               leave it running, to play with"
    yield "  clumpt demo FILE...              with packages of yours"
    yield "  clumpt demo --scenario paper     the evaluation of the paper on Clumpt, replayed"
    yield "  clumpt demo --processes          every peer as a process of its own"
    yield "  clumpt demo --directory slapd    with a real OpenLDAP"


@deferred
async def stop(reactor: Any, stderr: TextIO, folders: Collection[Path] = ()) -> int:
    """
    End the demonstrations of this user that were left running, and remove what others left that were cut off.

    @param folders: end only those in here, in the foreground or not; none for all in the background.

    Fails with L{NothingMatched} if there are none such, with L{BadInput} if one does not end.
    """
    there = list(found())
    chosen = _chosen(there, folders)
    for one in chosen:
        if one.pid:
            await _end(one, reactor)
        await end_runs(one.folder, reactor)
        one.remove()
        stderr.write(f"clumpt: ended and removed {one.folder}\n")
    others = [] if folders else [one for one in there if one not in chosen]
    for one in others:
        stderr.write(
            f"clumpt: {one.folder} runs in a terminal (process {one.pid}) and goes on;"
            f" Ctrl-C there ends it, or clumpt demo --stop {one.folder}\n"
        )
    if not chosen:
        raise NothingMatched("no demonstration was left running" if others else "no demonstration is running")
    return Status.DONE


def _chosen(there: Sequence[Found], folders: Collection[Path]) -> Sequence[Found]:
    """Those that are to be ended; raises L{NothingMatched} for a folder that is none."""
    if not folders:
        return [one for one in there if one.kept or not one.pid]
    by_name = {one.folder.name: one for one in there}
    try:
        return [by_name[folder.name] for folder in folders]
    except KeyError as stranger:
        known = ", ".join(by_name) or "there are none"
        raise NothingMatched(f"{stranger.args[0]} is no demonstration of yours: {known}") from stranger


async def _end(one: Found, reactor: Any) -> None:
    with suppress(ProcessLookupError):
        os.kill(one.pid, signal.SIGTERM)
    until = reactor.seconds() + PATIENCE
    while one.folder.exists():
        if reactor.seconds() > until:
            raise BadInput(f"process {one.pid} does not end: kill it, and say clumpt demo --stop again")
        await sleep(reactor, LOOK)
