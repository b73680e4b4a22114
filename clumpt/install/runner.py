"""
The daemon's side of an install: starts the helper, or finds that it is at work
or has ended already, and takes over its result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import define, field
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.aio import deferred, sleep
from clumpt.install.command import Rules, command_for
from clumpt.install.job import Job, JobName
from clumpt.install.managers import short_reason
from clumpt.install.spool import Spool
from clumpt.interfaces import IInstaller
from clumpt.model import Entry, Outcome, Seq, State

#: Seconds between two looks at a helper that an earlier daemon started.
LOOK = 0.5
#: Seconds before each start of a helper: one that dies before it begins anything is started again.
PAUSES = (0.0, 1.0, 5.0)
#: Seconds that a helper may take beyond the run itself: hashing, ending leftovers.
SLACK = 300.0
#: The exit status of a helper that found another one at work all the time (sysexits.h).
STAYED_BUSY = 75

_STILL_BUSY = Outcome(State.HELD, reason="locked: another install is still running on this node")
_SYSTEMD = Path("/run/systemd/system")
_SCOPE = ("/usr/bin/systemd-run", "--scope", "--quiet", "--collect")
#: A machine that goes down waits for the run, as long as systemd waits for anything (reboot.target), instead
#: of ending it in the middle: the signal says nothing to anybody.  What a run needs stays until it has ended.
#: Scopes can have all of these at least since version 239; what systemd-run does not know, it does not run.
_PATIENT = (
    "--description=Clumpt: packages are being installed",
    "--property=KillSignal=SIGCONT",
    "--property=TimeoutStopSec=30min",
    "--property=After=basic.target remote-fs.target network.target dbus.service",
)


def outside_service(helper: Sequence[str], uid: int, exists: Callable[[Path], bool]) -> tuple[str, ...]:
    """
    C{helper} so that it is not killed with the daemon's service.

    systemd kills the whole control group of a service that stops, sessions of its own included; so the
    helper needs a scope of its own where systemd runs and we may ask it.  Nor is it killed when the machine
    is told to go down, which waits for it.
    """
    if uid == 0 and exists(_SYSTEMD) and exists(Path(_SCOPE[0])):
        return (*_SCOPE, *_PATIENT, "--", *helper)
    return tuple(helper)


def is_program(path: str) -> bool:
    """Is there a program at C{path} that we may run?"""
    return os.access(path, os.X_OK)


@define(eq=False)
class _Exit(ProcessProtocol):
    """Tells when the helper itself exits, whoever still holds its descriptors."""

    status: Deferred[int | None] = field(factory=Deferred)

    def processExited(self, reason: Failure) -> None:
        """Pass on the exit status, None if it was killed."""
        ended = reason.value
        assert isinstance(ended, ProcessDone | ProcessTerminated)
        self.status.callback(ended.exitCode)


def no_step(name: str) -> None:
    """Where tests stop the daemon; there is nothing to do otherwise."""


@implementer(IInstaller)
@define(eq=False)
class HelperInstaller:
    """
    Runs each update in a detached helper.

    @ivar roots: gives the root envelopes in force, version 1 first.
    @ivar helper: the words that start the helper; the path of the job file is added.
    @ivar is_program: is there a program at this path?
    @ivar pauses: seconds before each start of a helper.
    @ivar step: is told what was just done, by name.
    """

    log = Logger()

    _clock: IReactorTime
    _processes: IReactorProcess
    _spool: Spool
    _rules: Rules
    _roots: Callable[[], Sequence[bytes]]
    _helper: tuple[str, ...]
    _is_program: Callable[[str], bool] = is_program
    _pauses: tuple[float, ...] = PAUSES
    _step: Callable[[str], None] = no_step

    @property
    def allowed(self) -> frozenset[str]:
        """The names of the installers that this node allows (H3)."""
        return self._rules.allowed

    @deferred
    async def run(self, entry: Entry, attempt: int, packages: Sequence[Path]) -> Outcome:
        """See L{IInstaller.run}."""
        self._spool.prepare()
        paths = tuple(str(path.absolute()) for path in packages)
        job = Job(entry.seq, attempt, entry.envelope, tuple(self._roots()), paths, self._rules)
        until = self._clock.seconds() + self._longest(len(packages))
        success = self._spool.success(entry.seq)
        if success is not None:
            return success
        if not self._known(job.name):
            refusal = self._refusal(entry, job)
            # While a helper is at work, only a helper may say no: it might be at work on this very job.
            if refusal is not None and not self._spool.busy():
                return refusal
            trouble = await self._begin(job, until)
            if trouble is not None:
                return trouble
        return await self._end(job.name, until)

    def output(self, seq: Seq) -> bytes:
        """See L{IInstaller.output}."""
        self._spool.prepare()
        return self._spool.output(seq)

    def _known(self, name: JobName) -> bool:
        """Was the job begun, or settled without a run?"""
        return self._spool.started(name) or self._spool.result(name) is not None

    def _last_words(self, name: JobName) -> str:
        """The line of a trace that names the mistake is the last."""
        return short_reason(self._spool.error(name).strip().rpartition("\n")[2])

    def _longest(self, runs: int) -> float:
        """Seconds after which nobody waits any more: another install, then all runs of this one."""
        return (self._rules.timeout + self._rules.lock_timeout) * (2 + runs) + SLACK

    def _refusal(self, entry: Entry, job: Job) -> Outcome | None:
        command = command_for(entry.update, self._rules, job.packages)
        if isinstance(command, Outcome):
            return command
        if not self._is_program(command.program):
            return Outcome(State.HELD, reason=f"{command.program} is not installed on this node")
        return None

    async def _begin(self, job: Job, until: float) -> Outcome | None:
        """Start helpers until one of them begins the job; None once it did, else why none does."""
        reason = ""
        for pause in self._pauses:
            if pause:
                await sleep(self._clock, pause)
            try:
                status = await self._start(job).addTimeout(until - self._clock.seconds(), self._clock)
            except TimeoutError:
                return _STILL_BUSY
            except OSError as wrong:
                return Outcome(State.HELD, reason=f"the install helper could not start: {wrong}")
            if self._known(job.name):
                return None
            if status == STAYED_BUSY:
                return _STILL_BUSY
            reason = f"the install helper ended with {status}: {self._last_words(job.name)}"
            self.log.warn("update {seq}: {reason}", seq=job.seq, reason=reason)
        return Outcome(State.HELD, reason=reason)

    def _start(self, job: Job) -> Deferred[int | None]:
        """Start one helper; fires with its exit status, None if it was killed.  Raises OSError."""
        self._spool.prune(job.name)
        self._spool.write_job(job)
        self._step("job")
        argv = (*self._helper, str(self._spool.file(job.name, "job")))
        exit_ = _Exit()
        with open(os.devnull, "r+b") as null, self._spool.file(job.name, "error").open("wb") as errors:
            descriptors = {0: null.fileno(), 1: null.fileno(), 2: errors.fileno()}
            self._processes.spawnProcess(exit_, argv[0], argv, env=None, path="/", childFDs=descriptors)
        self._step("helper")
        return exit_.status

    async def _end(self, name: JobName, until: float) -> Outcome:
        """Wait for the end of a job that was begun, by whomever."""
        while True:
            # In this order: the lock is let go after the result is there.
            busy = self._spool.busy()
            outcome = self._spool.result(name)
            if outcome is not None:
                return outcome
            if not busy:
                return Outcome(State.HELD, reason="interrupted: the install helper died during the run")
            if self._clock.seconds() >= until:
                return _STILL_BUSY
            await sleep(self._clock, LOOK)
