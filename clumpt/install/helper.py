"""
The helper: carries out one job of the spool, and outlives the daemon.

It trusts nothing that the daemon says: signature and digests are checked once
more, right before the run.  The daemon may die, restart or be upgraded by the
very package that is being installed; it finds the result in the spool.  For
the same reason nothing is imported after the start.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from attrs import define, evolve, field

from clumpt.errors import BadDocument, Damaged, Untrusted
from clumpt.install.command import Command, Rules, command_for
from clumpt.install.job import Job, JobName
from clumpt.install.process import GRACE, Tail, end, run, still_running
from clumpt.install.spool import OUTPUT_LIMIT, Spool
from clumpt.install.staging import stage
from clumpt.install.verdict import Lines, judge
from clumpt.model import Outcome, State, Update

#: Exit statuses of the helper (sysexits.h): the lock stayed taken; the job is not readable.
STAYED_BUSY = 75
BAD_JOB = 65
#: Seconds that a repair may take at most: what it runs may have hung before, and later updates wait (H6).
REPAIR = 600.0

_SHOWN_EVERY = 1.0
_PAUSES = (1.0, 2.0, 5.0, 10.0)


def no_step(name: str) -> None:
    """Where tests stop the helper; there is nothing to do otherwise."""


@define
class Helper:
    """
    Carries out jobs of one spool.

    @ivar verify: the update of a job, by its own check of signatures; raises L{BadDocument} or
        L{Untrusted}.
    @ivar now: seconds on a clock that never jumps.
    @ivar sleep: waits for some seconds.
    @ivar step: is told what was just done, by name.
    @ivar rules: what this node allows, if the helper has it from the administrators themselves; else the
        job says it.
    @ivar patience: seconds to let the run of a helper that died come to its end.
    @ivar grace: seconds between SIGTERM and SIGKILL.
    """

    _spool: Spool
    _verify: Callable[[Job], Update]
    _now: Callable[[], float]
    _sleep: Callable[[float], None]
    _rules: Rules | None = None
    _step: Callable[[str], None] = no_step
    _patience: float = 60.0
    _grace: float = GRACE
    _one: Tail = field(factory=lambda: Tail.of(OUTPUT_LIMIT), init=False)
    _all: Tail = field(factory=lambda: Tail.of(OUTPUT_LIMIT), init=False)
    _shown: float = field(default=float("-inf"), init=False)

    def carry_out(self, name: JobName) -> int:
        """Carry out the job, unless it was begun or has ended already; returns the exit status."""
        try:
            job = self._spool.job(name)
        except Damaged:
            return BAD_JOB
        if self._rules is not None:
            job = evolve(job, rules=self._rules)
        with self._lock(job.rules) as taken:
            if not taken:
                return STAYED_BUSY
            if not self._is_over(job):
                self._step("locked")
                self._end_leftovers()
                try:
                    outcome = self._spool.success(job.seq) or self._outcome(job)
                finally:
                    self._spool.clear_stage()
                self._spool.finish(name, outcome)
                self._step("recorded")
        return 0

    def _is_over(self, job: Job) -> bool:
        """Was the job begun or ended already, or given up for a newer attempt?"""
        begun = self._spool.started(job.name) or self._spool.result(job.name) is not None
        return begun or self._spool.superseded(job)

    @contextmanager
    def _lock(self, rules: Rules) -> Iterator[bool]:
        lock = self._spool.lock()
        until = self._now() + rules.timeout + rules.lock_timeout
        while not lock.take():
            if self._now() >= until:
                yield False
                return
            self._sleep(0.2)
        try:
            yield True
        finally:
            lock.release()

    def _end_leftovers(self) -> None:
        """A run whose helper died may still go on: two must never overlap."""
        until = self._now() + self._patience
        for leader in self._spool.leaders():
            while (pid := still_running(leader)) and self._now() < until:
                self._sleep(0.1)
            if pid:
                end(pid)
            leader.unlink(missing_ok=True)

    def _outcome(self, job: Job) -> Outcome:
        try:
            update = self._verify(job)
        except (BadDocument, Untrusted) as wrong:
            return Outcome(State.HELD, reason=f"refused: {wrong}")
        if update.seq != job.seq:
            return Outcome(State.HELD, reason=f"refused: the envelope is that of update {update.seq}")
        self._step("verified")
        try:
            packages = stage(update.packages, job.packages, self._spool.stage(job.name))
        except (Damaged, OSError) as wrong:
            return Outcome(State.HELD, reason=f"damaged: {wrong}")
        self._step("staged")
        command = command_for(update, job.rules, packages)
        if isinstance(command, Outcome):
            return command
        return self._run(job, command)

    def _run(self, job: Job, command: Command) -> Outcome:
        leader = self._spool.file(job.name, "leader")
        if not os.access(command.program, os.X_OK):
            return Outcome(State.HELD, reason=f"{command.program} is not installed on this node")
        try:
            suspicion = self._look_through(command, leader)
            if suspicion:
                return Outcome(State.FAILED, reason=suspicion)
            Path(job.rules.root).mkdir(parents=True, exist_ok=True)
            self._spool.begin(job.name)
        except (OSError, subprocess.SubprocessError) as wrong:
            return Outcome(State.HELD, reason=f"{command.program} cannot be run: {wrong}")
        self._step("begun")
        try:
            outcome = self._run_when_free(job, command, leader)
        except (OSError, subprocess.SubprocessError) as wrong:
            outcome = Outcome(State.HELD, reason=f"interrupted: {command.program} could not be run: {wrong}")
        self._show(job.name)
        self._step("ran")
        return outcome

    def _look_through(self, command: Command, leader: Path) -> str:
        """What is wrong with the contents of the packages, if anything."""
        if command.manager is None or command.manager.refuses is None:
            return ""
        for argv in command.checks:
            names = Lines(command.manager.refuses.fullmatch)
            # Only what is printed as a name counts as one.
            ended = run(
                argv, command.environment, command.timeout, names.add, self._now, leader, self._grace, False
            )
            if names.found:
                return f"the package holds the forbidden name {names.found[:100]!r}"
            if ended.code:
                return f"the package cannot be read: {Path(argv[0]).name} ended with {ended.code}"
        return ""

    def _run_when_free(self, job: Job, command: Command, leader: Path) -> Outcome:
        """Run, again and again while somebody else holds the package manager's lock."""
        began = self._now()
        pauses = iter(_PAUSES)
        pause = 0.0
        while True:
            outcome, locked = self._run_once(job, command, leader)
            pause = next(pauses, pause)
            if not locked or self._now() + pause > began + job.rules.lock_timeout:
                return outcome
            self._sleep(pause)

    def _run_once(self, job: Job, command: Command, leader: Path) -> tuple[Outcome, bool]:
        repairs = [command.repair] if command.repair and _dirty(job.rules.root, command.dirty) else []
        seconds = 0.0
        for argv in (*repairs, *command.runs):
            within = min(command.timeout, REPAIR) if argv in repairs else command.timeout
            take = partial(self._take, job.name)
            take(b"+ " + shlex.join(argv).encode() + b"\n")
            self._one = Tail.of(OUTPUT_LIMIT)
            ended = run(argv, command.environment, within, take, self._now, leader, self._grace)
            seconds += ended.seconds
            if argv in repairs:
                # Whether it helped, the run itself will tell.
                continue
            outcome, locked = judge(command, ended, bytes(self._one).decode(errors="replace"), seconds)
            if outcome.state is not State.DONE:
                return outcome, locked
        return Outcome(State.DONE, ended.code, "", seconds), False

    def _take(self, name: JobName, data: bytes) -> None:
        self._one.add(data)
        self._all.add(data)
        if self._now() >= self._shown + _SHOWN_EVERY:
            self._shown = self._now()
            self._show(name)

    def _show(self, name: JobName) -> None:
        # The output is for people; a full disk must not change how the run ends.
        with suppress(OSError):
            self._spool.write_output(name, bytes(self._all))


def _dirty(root: str, pattern: str) -> bool:
    return next(Path(root).glob(pattern), None) is not None
