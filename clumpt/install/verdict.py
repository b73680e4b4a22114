"""What a run, or a look into a package, comes to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import define

from clumpt.install.command import Command
from clumpt.install.managers import Verdict, short_reason
from clumpt.install.process import Ended
from clumpt.model import Outcome, State

_LONGEST_LINE = 8192


def judge(command: Command, ended: Ended, output: str, seconds: float) -> tuple[Outcome, bool]:
    """How a run ended, and whether it did not happen because of somebody else's lock."""
    program = Path(command.program).name
    if ended.late:
        reason = f"{program} timed out after {command.timeout:g} s"
        return Outcome(State.FAILED, ended.code, reason, seconds), False
    verdict = command.manager.classify(ended.code, output) if command.manager else _plain(ended.code)
    if verdict is Verdict.DONE:
        return Outcome(State.DONE, ended.code, "", seconds), False
    if verdict is Verdict.LOCKED:
        return Outcome(State.HELD, None, f"locked: {short_reason(output)}", seconds), True
    how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"ended with {ended.code}"
    said = short_reason(output)
    return Outcome(
        State.FAILED, ended.code, f"{program} {how}" + (f": {said}" if said else ""), seconds
    ), False


@define
class Lines:
    """Looks for a line that C{wanted} recognises; a line longer than 8192 bytes is one, too."""

    _wanted: Callable[[bytes], object]
    found: bytes = b""
    _rest: bytes = b""

    def add(self, data: bytes) -> None:
        """Take in C{data}."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in (*lines, *([self._rest] if len(self._rest) > _LONGEST_LINE else [])):
            if not self.found and (len(line) > _LONGEST_LINE or self._wanted(line)):
                self.found = line
        self._rest = self._rest[: _LONGEST_LINE + 1]


def _plain(code: int) -> Verdict:
    return Verdict.FAILED if code else Verdict.DONE
