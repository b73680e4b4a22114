"""
An installer that installs nothing, for simulations: virtual time, and a record
of what happened that no crash of the node can touch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from clumpt.aio import deferred, sleep
from clumpt.interfaces import IInstaller
from clumpt.model import Action, Entry, Outcome, Seq, State, Update
from clumpt.pieces import digest_of


@frozen
class Fate:
    """
    What is to become of one run.

    @ivar outcome: how it ends, if nothing comes between.
    @ivar seconds: how long it takes.
    @ivar works: does it change the node?  A run that found a lock, for one, does not.
    """

    outcome: Outcome
    seconds: float
    works: bool = True


#: What is to become of this attempt at this update.
Plan = Callable[[Update, int, Random], Fate]


def success(update: Update, attempt: int, random: Random) -> Fate:
    """It succeeds, in 0.1 to 5 seconds."""
    seconds = random.uniform(0.1, 5.0)
    return Fate(Outcome(State.DONE, 0, "", seconds), seconds)


def failure(update: Update, attempt: int, random: Random) -> Fate:
    """It fails, half done, in 0.1 to 5 seconds."""
    seconds = random.uniform(0.1, 5.0)
    return Fate(Outcome(State.FAILED, 1, "the installer ended with 1", seconds), seconds)


def hang(update: Update, attempt: int, random: Random) -> Fate:
    """It hangs, and is killed when its time is over: after its own limit, or an hour."""
    seconds = float(update.timeout or 3600)
    return Fate(Outcome(State.FAILED, -9, f"the installer timed out after {seconds:g} s", seconds), seconds)


def locked(update: Update, attempt: int, random: Random) -> Fate:
    """Somebody else has the package manager, for longer than anybody waits."""
    return Fate(Outcome(State.HELD, None, "locked: by somebody else", 600.0), 600.0, works=False)


@define
class Ran:
    """
    The truth about one run.

    @ivar began: when the helper began it.
    @ivar effect: when it changes the node, a moment within the run; None if it never does.
    @ivar ends: when the result is there.
    @ivar outcome: the result; none is put down if the power fails before C{ends}.
    """

    seq: Seq
    attempt: int
    began: float
    effect: float | None
    ends: float
    outcome: Outcome
    cut: bool = False


@define(eq=False)
class MemoryMachine:
    """
    The part of a node that a crash of the daemon does not touch: its helpers and their spool.

    The moments of a run are drawn when it begins, so that it needs no timer and goes on while the
    daemon is dead.

    @ivar runs: the truth, in the order of beginning.
    """

    _clock: IReactorTime
    _random: Random
    plan: Plan = success
    runs: list[Ran] = field(factory=list)

    def find(self, seq: Seq, attempt: int) -> Ran | None:
        """The run of this attempt, None if it was never begun."""
        found = (ran for ran in self.runs if (ran.seq, ran.attempt) == (seq, attempt))
        return next(found, None)

    def success(self, seq: Seq) -> Outcome | None:
        """How C{seq} succeeded, None if no result says that it did."""
        now = self._clock.seconds()
        found = (ran.outcome for ran in self.runs if ran.seq == seq and not ran.cut and ran.ends <= now)
        return next((outcome for outcome in found if outcome.state is State.DONE), None)

    def settle(self, entry: Entry, attempt: int, outcome: Outcome) -> Ran:
        """Put down an outcome without a run."""
        now = self._clock.seconds()
        return self._keep(Ran(entry.seq, attempt, now, None, now, outcome))

    def begin(self, entry: Entry, attempt: int) -> Ran:
        """Begin a run, as soon as the one before has ended."""
        fate = self.plan(entry.update, attempt, self._random)
        began = max([self._clock.seconds(), *(ran.ends for ran in self.runs)])
        effect = began + self._random.uniform(0.0, fate.seconds) if fate.works else None
        return self._keep(Ran(entry.seq, attempt, began, effect, began + fate.seconds, fate.outcome))

    def power_loss(self) -> None:
        """The helper dies with everything else: what has not happened by now never will."""
        now = self._clock.seconds()
        for ran in self.runs:
            if ran.ends > now:
                ran.cut, ran.ends = True, now
                if ran.effect is not None and ran.effect > now:
                    ran.effect = None
        # A job that still waited for its turn was never begun: it may be, later.
        self.runs = [ran for ran in self.runs if ran.began < now or not ran.cut]

    def effects(self, seq: Seq) -> int:
        """How often C{seq} has changed this node up to now."""
        now = self._clock.seconds()
        return sum(ran.seq == seq and ran.effect is not None and ran.effect <= now for ran in self.runs)

    def _keep(self, ran: Ran) -> Ran:
        self.runs.append(ran)
        return ran


@implementer(IInstaller)
@define(eq=False)
class MemoryInstaller:
    """
    The daemon's side of a L{MemoryMachine}; made anew at each start of the daemon.

    @ivar clock: the daemon's own, which stops with it.
    @ivar read: gives the bytes of a package.
    """

    _clock: IReactorTime
    _machine: MemoryMachine
    allowed: frozenset[str]
    _read: Callable[[Path], bytes] = Path.read_bytes

    @deferred
    async def run(self, entry: Entry, attempt: int, packages: Sequence[Path]) -> Outcome:
        """See L{IInstaller.run}."""
        success = self._machine.success(entry.seq)
        if success is not None:
            return success
        ran = self._machine.find(entry.seq, attempt)
        if ran is None:
            if entry.update.installer not in self.allowed:
                return Outcome(
                    State.HELD, reason=f"installer {entry.update.installer} is not allowed on this node"
                )
            ran = self._start(entry, attempt, packages)
        if ran.ends > self._clock.seconds():
            await sleep(self._clock, ran.ends - self._clock.seconds())
        if ran.cut:
            return Outcome(State.HELD, reason="interrupted: the install helper died during the run")
        return ran.outcome

    def output(self, seq: Seq) -> bytes:
        """See L{IInstaller.output}."""
        attempts = [ran.attempt for ran in self._machine.runs if ran.seq == seq]
        return f"attempt {max(attempts)} at update {seq}\n".encode() if attempts else b""

    def _start(self, entry: Entry, attempt: int, packages: Sequence[Path]) -> Ran:
        wrong = self._wrong(entry.update, packages)
        if wrong is not None:
            return self._machine.settle(entry, attempt, wrong)
        return self._machine.begin(entry, attempt)

    def _wrong(self, update: Update, packages: Sequence[Path]) -> Outcome | None:
        if update.action is Action.WITHDRAW:
            return Outcome(State.FAILED, reason="a withdrawal has nothing to run")
        if len(packages) != len(update.packages):
            return Outcome(
                State.HELD, reason=f"damaged: {len(packages)} files for {len(update.packages)} packages"
            )
        for package, path in zip(update.packages, packages, strict=True):
            if digest_of(self._read(path)) != package.sha256:
                return Outcome(
                    State.HELD, reason=f"damaged: {package.file} is not the package that was signed"
                )
        return None
