"""The submit tool: C{clumpt VERB ...}, C{twistd clumpt-submit VERB ...} (R57-R65)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.python.usage import UsageError

from clumpt.apps.demo import DemoOptions
from clumpt.apps.demonstration.place import newest
from clumpt.apps.oneshot import OneShot, OneShotOptions, Status, one_shot
from clumpt.apps.verbs.again import RetryOptions, SeedVerbOptions, WithdrawOptions
from clumpt.apps.verbs.install import InstallOptions, RemoveOptions
from clumpt.apps.verbs.look import ListOptions, StatusOptions
from clumpt.apps.verbs.tell import HistoryOptions, InfoOptions, LogOptions
from clumpt.config import DEFAULT_PATH
from clumpt.kinds import nearest

#: The verb that is meant if none is named.
DEFAULT = "install"


class Options(OneShotOptions):
    """The words on the command line; each verb has its own."""

    synopsis = "[VERB] ..."
    longdesc = "Without a verb it installs; clumpt VERB --help tells more."
    optParameters: list[list[Any]] = [
        ["config", "c", None, f"The configuration file; see clumpt.ini(5).  [default: {DEFAULT_PATH}]"]
    ]
    subCommands: list[list[Any]] = [
        ["install", None, InstallOptions, "Install packages on the nodes of groups."],
        ["remove", None, RemoveOptions, "Remove packages from the nodes of groups."],
        ["status", None, StatusOptions, "How an update stands, or who is in step."],
        ["list", None, ListOptions, "The newest updates, and how many peers have done them."],
        ["history", None, HistoryOptions, "What was submitted, by whom and why, or one node's own history."],
        ["info", None, InfoOptions, "All that was signed about an update."],
        ["log", None, LogOptions, "What an update printed on a node."],
        ["retry", None, RetryOptions, "Try an update again where it failed."],
        ["withdraw", None, WithdrawOptions, "Keep an update from being run where it was not yet."],
        ["seed", None, SeedVerbOptions, "Bring an update to peers again, if its submitter was cut off."],
        ["demo", None, DemoOptions, "Try Clumpt out, with a cluster on this machine alone."],
    ]

    def getSynopsis(self) -> str:
        """How it is used, in one line."""
        return f"Usage: clumpt {self.synopsis}"

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; ends the process if the words or the configuration cannot be used."""
        super().parseOptions(self.with_verb(list(options or [])))

    def opt_demo(self) -> None:
        """Use the demonstration that runs on this machine (clumpt demo --keep)."""
        self["config"] = str(newest().config)

    def with_verb(self, words: list[str]) -> list[str]:
        """C{words} with the verb that is meant."""
        place = _after_options(words)
        if place == len(words) or words[place] in ("--help", "--version"):
            return words
        verbs = [verb for verb, *_ in self.subCommands]
        word = words[place]
        if word in verbs:
            return words
        hint = nearest(word, verbs)
        if hint and not os.path.exists(word):
            self._end(f"{word} is neither a verb nor a file{hint}", Status.USAGE)
        return [*words[:place], DEFAULT, *words[place:]]

    def postOptions(self) -> None:
        """See that there is something to do."""
        if self.subCommand is None:
            raise UsageError("say what to do: clumpt [install] FILE... -g GROUP, or a verb of clumpt --help")
        self.logger = getattr(self.subOptions, "logger", self.logger)
        self.grace = getattr(self.subOptions, "grace", self.grace)
        super().postOptions()


def _after_options(words: Sequence[str]) -> int:
    """How many words at the beginning are options of the tool itself."""
    place = 0
    while place < len(words):
        if words[place] in ("-c", "--config"):
            place += 2
        elif words[place] == "--demo" or words[place].startswith(("--config=", "-c")):
            place += 1
        else:
            break
    return min(place, len(words))


def makeService(options: Options) -> OneShot:
    """The service that twistd runs."""
    return one_shot(options, options.subOptions.main)
