"""The words of a sub-command, options and others in any order, as C{clumptconf add n1 -g all} has them."""

from __future__ import annotations

import sys
from getopt import GetoptError, gnu_getopt
from typing import Any, NoReturn

from twisted.python.usage import Options, UsageError

from clumpt.version import VERSION


class AnyOrder(Options):
    """Options that may also stand behind what is no option; Twisted's own may not."""

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Put the options first, and parse."""
        # Any: Twisted keeps them for getopt and does not tell their types.
        short: Any = self.shortOpt
        long: Any = self.longOpt
        try:
            found, others = gnu_getopt(options or [], short, long)
        except GetoptError as wrong:
            raise UsageError(str(wrong)) from wrong
        ordered: list[str] = []
        for name, value in found:
            takes = f"{name[2:]}=" in long if name.startswith("--") else f"{name[1:]}:" in short
            ordered += [name, value] if takes else [name]
        super().parseOptions([*ordered, "--", *others])

    def opt_version(self) -> NoReturn:
        """Print the version of Clumpt and exit."""
        sys.stdout.write(f"Clumpt {VERSION}\n")
        raise SystemExit(0)
