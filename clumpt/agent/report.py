"""Tells the directory how far this peer is (R41, R54): coalesced, queued over outages, and true."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from clumpt.agent.job import Agenda
from clumpt.aio import deferred, unattended
from clumpt.errors import DirectoryRefused, DirectoryUnavailable, StoreFull
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory, IJournal
from clumpt.model import MOST_FAILURES, Failure, Outcome, PeerName, PeerStatus, Seq, State
from clumpt.provenance import Source
from clumpt.version import VERSION

#: Characters of a reason told.
MOST_REASON = 200
#: Seconds before the first and, doubled up to it, before the last retry.
RETRY, RETRY_MOST = 2.0, 300.0


def summarise(
    agenda: Agenda,
    peer: PeerName,
    head: Seq,
    outcome: Callable[[Seq], Outcome | None],
    at: Callable[[Seq], float],
    state: str,
    reason: str,
    seen: int,
    sources: tuple[Source, ...] = (),
) -> PeerStatus:
    """
    What C{peer} says of itself.

    @param outcome: how an update ended, by the journal; C{at} is when, in seconds since the epoch.
    """
    settled = agenda.settled(head)
    mark = settled.settled
    above = settled - IdSet.upto(mark)
    failures = []
    for seq in sorted(agenda.concerning()):
        how = agenda.states[seq]
        if how in (State.FAILED, State.HELD, State.SKIPPED):
            ended = outcome(seq) or Outcome(how)
            failures.append(Failure(seq, how, ended.code, int(at(seq)), ended.reason[:MOST_REASON]))
    return PeerStatus(
        peer, head, mark, str(above), tuple(failures[-MOST_FAILURES:]), state, reason, seen, VERSION, sources
    )


@define(eq=False)
class Reporter:
    """
    Sends a report some time after the first of several changes, and a sign of life now and then.

    @ivar delay: seconds over which changes are gathered into one report.
    @ivar status: what to say, made when it is sent.
    """

    _reactor: IReactorTime
    _random: Random
    _directory: IDirectory
    _journal: IJournal
    _delay: float
    _status: Callable[[], PeerStatus]
    _timer: IDelayedCall | None = field(default=None, init=False)
    _sending: Deferred[None] | None = field(default=None, init=False)
    #: Did something change while a report was being sent, which may not say it?
    _missed: bool = field(default=False, init=False)
    _retry: float = field(default=RETRY, init=False)
    _stopped: bool = field(default=False, init=False)
    #: What the directory said no to, so that it is logged once.
    _refused: str = field(default="", init=False)
    _log = Logger()

    def wake(self) -> None:
        """Something changed: report soon."""
        self._missed = True
        self._later(self._delay * self._random.uniform(0.5, 1.5))

    def answers(self) -> None:
        """
        The directory answers, and knows this peer: report soon, even if it did not take the last report.

        Who was removed and enrolled again may report again, which it may have been refused just before.
        """
        if (self._refused or self._retry > RETRY) and self._timer is not None and self._timer.active():
            self._timer.cancel()
        self.wake()

    def _later(self, seconds: float) -> None:
        if not self._stopped and self._sending is None and not (self._timer and self._timer.active()):
            self._timer = self._reactor.callLater(
                seconds, lambda: unattended(self.send(), self._log, "reporting")
            )

    def send(self) -> Deferred[None]:
        """Report now; fires when it was said or failed."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._sending is not None:
            return self._sending
        sending: Deferred[None] = self._send()
        if not sending.called:
            self._sending = sending
        return sending

    @deferred
    async def _send(self) -> None:
        changes = self._journal.changes()
        self._missed = False
        again = None
        try:
            await self._directory.report(self._status())
        except DirectoryUnavailable as trouble:
            self._log.warn("the directory could not be told, trying again: {trouble}", trouble=trouble)
            again = self._retry = min(self._retry * 2, RETRY_MOST)
        except DirectoryRefused as no:
            self._complain(str(no))
            again = RETRY_MOST
        else:
            self._retry, self._refused = RETRY, ""
            if not self._stopped:
                self._note(changes)
        finally:
            self._sending = None
        if self._stopped:
            return
        if again is not None:
            self._later(again * self._random.uniform(0.5, 1.5))
        elif self._missed:
            self.wake()

    def _complain(self, no: str) -> None:
        if no != self._refused:
            self._log.error("the directory refuses this peer's report, trying again: {no}", no=no)
        self._refused = no

    def _note(self, changes: int) -> None:
        try:
            self._journal.set_reported(changes)
        except StoreFull as full:
            # It will be told again, which changes nothing.
            self._log.warn("cannot write down what the directory was told: {full}", full=full)

    def stop(self) -> None:
        """Report nothing more; what was not reported is after the next start."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
