"""Runs what is to be run, one at a time and in order (R26, R37, R53)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from clumpt.agent.job import Agenda, Fetch, Run, Settle
from clumpt.aio import deferred, sleep, unattended
from clumpt.errors import BadDocument, NotHere, StoreFull, Untrusted
from clumpt.interfaces import IInstaller, IJournal, IKeyring, IRepository
from clumpt.model import Entry, Interrupted, Outcome, Package, Seq, State

#: Seconds before a held update is looked at again.
HELD_PAUSE = 60.0
#: Runs of one update, the extra one after an interruption included (promise 2).
ATTEMPTS = 2
#: The word with which the installer begins the reason when the helper died inside a run.
INTERRUPTED = "interrupted"
#: ... when it found that a package is not the signed one ...
DAMAGED = "damaged"
#: ... and when the package manager was locked by somebody else all the time.
LOCKED = "locked"
#: Seconds before anything follows from an interruption: what ended the helper may be about to end us, too.
MOMENT = 1.0


def interrupted(outcome: Outcome | None) -> bool:
    """Did the helper die inside the run?"""
    return outcome is not None and outcome.state is State.HELD and outcome.reason.startswith(INTERRUPTED)


@define(eq=False)
class Queue:
    """
    Takes the agenda's next step until there is none.

    @ivar wall: seconds since the epoch.
    @ivar changed: called after each change of a state.
    """

    _reactor: IReactorTime
    _wall: Callable[[], float]
    _agenda: Agenda
    _journal: IJournal
    _repository: IRepository
    _installer: IInstaller
    _keyring: IKeyring
    _changed: Callable[[Seq], None]
    _running: Deferred[None] | None = field(default=None, init=False)
    _again: IDelayedCall | None = field(default=None, init=False)
    _moment: Deferred[None] | None = field(default=None, init=False)
    _paused: bool = field(default=False, init=False)
    _stopped: bool = field(default=False, init=False)
    _log = Logger()

    def wake(self) -> None:
        """Something changed: there may be something to run."""
        if self._running is None and not self._stopped and not self._paused:
            self._running = self._work()
            unattended(self._running, self._log, "running updates")
            if self._running.called:
                self._running = None

    @property
    def running(self) -> bool:
        """Is an update being run now?"""
        return self._running is not None

    def halt(self) -> None:
        """Run nothing any more until the process starts anew: the history was found forked."""
        self._paused = True

    def stop(self) -> None:
        """Begin nothing more; a run that is under way goes on in its helper and is adopted later."""
        self._stopped = True
        if self._again is not None and self._again.active():
            self._again.cancel()
        if self._moment is not None:
            self._moment.cancel()

    @deferred
    async def _work(self) -> None:
        try:
            while not (self._stopped or self._paused) and await self._one():
                pass
        except StoreFull as full:
            # Nothing is lost: what was run has its result in the spool, and is adopted then.
            self._log.error("cannot write the journal, trying again later: {full}", full=full)
            self._wake_later()
        finally:
            self._running = None

    async def _one(self) -> bool:
        """One step; False if nothing can be done now."""
        match self._agenda.next(self._wall(), self._installer.allowed, self._holds):
            case Settle(entry, state, reason):
                self._settle(entry, Outcome(state, None, reason))
                return True
            case Run(entry):
                return await self._run(entry)
            case Fetch():
                return False
        return False

    def _holds(self, package: Package) -> bool:
        return self._repository.holds(package.sha256)

    async def _run(self, entry: Entry) -> bool:
        try:
            # Again, right before it runs: roots and scopes may have changed since it came (promise 1).
            self._keyring.entry(entry.envelope)
        except (BadDocument, Untrusted) as wrong:
            self._settle(entry, Outcome(State.FAILED, None, f"no longer trusted: {wrong}"))
            return True
        try:
            paths = [self._repository.path(package.sha256) for package in entry.update.packages]
        except NotHere:
            return False
        begun = self._agenda.states[entry.seq] is State.INTENT
        attempt = self._journal.attempts(entry.seq) if begun else self._journal.intend(entry.seq)
        self._agenda.mark(entry.seq, State.INTENT)
        self._changed(entry.seq)
        outcome: Outcome = await self._installer.run(entry, attempt, paths)
        if interrupted(outcome):
            # When a machine goes down, a second run would be cut off as well, and be the last.
            self._moment = sleep(self._reactor, MOMENT)
            with suppress(CancelledError):
                await self._moment
        if self._stopped:
            # The journal may be closed; the helper's result is adopted at the next start.
            return False
        if outcome.state is State.HELD and outcome.reason.startswith(DAMAGED):
            return await self._damaged(entry, outcome)
        return self._judge(entry, attempt, outcome)

    async def _damaged(self, entry: Entry, outcome: Outcome) -> bool:
        """A package on this disk is not the signed one: it is set aside, and fetched again."""
        self._settle(entry, outcome)
        whole = True
        for package in entry.update.packages:
            whole = await self._repository.check(package.sha256) and whole
        if whole:
            self._wake_later()
        return not whole and not self._stopped

    def _judge(self, entry: Entry, attempt: int, outcome: Outcome) -> bool:
        if outcome.state is not State.HELD:
            # The installer keeps it until the next run, before which the journal is made durable.
            self._settle(entry, outcome, lazily=True)
            return True
        if interrupted(outcome):
            return self._interrupted(entry, attempt, outcome)
        if outcome.reason.startswith(LOCKED):
            return self._hold(entry, outcome)
        self._settle(entry, Outcome(State.FAILED, outcome.code, outcome.reason, outcome.seconds))
        return True

    def _interrupted(self, entry: Entry, attempt: int, outcome: Outcome) -> bool:
        if entry.update.interrupted is Interrupted.RERUN and attempt < ATTEMPTS:
            self._log.warn("update {seq} was interrupted: running it once more", seq=entry.seq)
            self._journal.intend(entry.seq)
            return True
        self._agenda.stuck.add(entry.seq)
        self._settle(entry, outcome)
        return False

    def _hold(self, entry: Entry, outcome: Outcome) -> bool:
        self._settle(entry, outcome)
        self._wake_later()
        return False

    def _wake_later(self) -> None:
        if self._again is None or not self._again.active():
            self._again = self._reactor.callLater(HELD_PAUSE, self.wake)

    def _settle(self, entry: Entry, outcome: Outcome, lazily: bool = False) -> None:
        self._journal.settle(entry.seq, outcome, self._wall(), lazily)
        self._agenda.mark(entry.seq, outcome.state)
        self._log.info(
            "update {seq} ({label}) is {state} {reason}",
            seq=entry.seq,
            label=entry.update.label,
            state=outcome.state.value,
            reason=outcome.reason,
        )
        self._changed(entry.seq)
