"""
Tools that do one thing and end: in the foreground even under twistd, data on
stdout, talk on stderr, and an exit status that means something.

twistd by itself does none of this: it daemonises, takes stdout for the log and
always ends with 0 (twisted#11335).
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, TextIO

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorTime
from twisted.logger import FilteringLogObserver, LogLevel, LogLevelFilterPredicate, textFileLogObserver
from twisted.python.failure import Failure
from twisted.python.usage import Options, UsageError

from clumpt.errors import (
    BadInput,
    ClumptError,
    Conflict,
    DirectoryRefused,
    DirectoryUnavailable,
    IdentityError,
    NotAllowed,
    NothingMatched,
    Untrusted,
)
from clumpt.version import VERSION

#: Seconds that interrupted work may take to clean up, unless the tool says otherwise.
GRACE = 5.0

#: The exit status when whoever read the data has had enough, such as head(1).
_UNREAD = 128 + signal.SIGPIPE

#: What a tool does: it gets the reactor and the file for its data, and fires with its exit status.
Main = Callable[[Any, TextIO], Deferred[int]]


class Status(IntEnum):
    """What the exit status of a tool says; an interrupted tool ends with 128 and the signal's number."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    #: Some peers failed, or the rollout was halted.
    FAILED = 3
    #: The deadline passed; the update is still spreading.
    SPREADING = 4
    UNAVAILABLE = 5
    REFUSED = 6
    NOTHING_MATCHED = 7


#: The first class that an error belongs to says how the tool ends.
_STATUSES: tuple[tuple[type[ClumptError], Status], ...] = (
    (NothingMatched, Status.NOTHING_MATCHED),
    (BadInput, Status.USAGE),
    (Conflict, Status.USAGE),
    (DirectoryUnavailable, Status.UNAVAILABLE),
    (DirectoryRefused, Status.REFUSED),
    (NotAllowed, Status.REFUSED),
    (Untrusted, Status.REFUSED),
    (IdentityError, Status.REFUSED),
)


def status_of(error: ClumptError) -> Status:
    """How a tool ends that failed with C{error}."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), Status.UNEXPECTED)


def steady(reactor: Any) -> None:
    """
    Make C{reactor}'s clock monotonic, so that setting the node's clock moves no timer (twisted#2424).

    To be called before anything is scheduled, by every service maker.
    """
    if reactor.getDelayedCalls():
        raise RuntimeError("timers that were set by the wall clock would never fire")
    reactor.seconds = time.monotonic


def stderr_observer(level: Any = LogLevel.warn) -> FilteringLogObserver:
    """A log observer that tells warnings and worse on stderr; twistd is given its name."""
    return FilteringLogObserver(
        textFileLogObserver(sys.__stderr__ or nowhere()), [LogLevelFilterPredicate(defaultLogLevel=level)]
    )


def mistakes_observer() -> FilteringLogObserver:
    """The same for a tool that keeps the log in another place: only mistakes of the program are told."""
    return stderr_observer(LogLevel.critical)


class ToolOptions(Options):
    """Options whose mistakes end the process with L{Status.USAGE} and one message on stderr."""

    parent: Options | None = None

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse, and end the process if the words or the configuration cannot be used."""
        try:
            super().parseOptions(options)
        except UsageError as wrong:
            # What Twisted says of a value that cannot be, before our own words, tells nobody anything.
            said = str(wrong).removeprefix("Parameter type enforcement failed: ")
            self._end(f"{said}\nTry --help.", Status.USAGE)
        except ClumptError as wrong:
            self._end(str(wrong), status_of(wrong))

    def opt_version(self) -> NoReturn:
        """Print the version of Clumpt and exit."""
        sys.stdout.write(f"Clumpt {VERSION}\n")
        raise SystemExit(0)

    def _end(self, text: str, status: Status) -> NoReturn:
        sys.stderr.write(message(text))
        raise SystemExit(int(status))


class OneShotOptions(ToolOptions):
    """
    The options of a tool; they also tell twistd to stay out of its way.

    @ivar logger: the name of what makes the log observer.
    @ivar grace: seconds that the work may take to clean up when it is interrupted.
    """

    logger = "clumpt.apps.oneshot.stderr_observer"
    grace = GRACE

    def postOptions(self) -> None:
        """Steer twistd, whose own C{postOptions} comes after this one."""
        parent = self.parent
        if parent is None or "nodaemon" not in parent:
            return
        parent["nodaemon"] = True
        parent["no_save"] = True
        # A daemon's twistd.pid in this folder is none of our business.
        parent["pidfile"] = ""
        if not (parent["logger"] or parent["logfile"] or parent["syslog"]):
            parent["logger"] = self.logger


def message(text: str) -> str:
    """C{text} as a tool says it on stderr."""
    return "".join(f"clumpt: {line}\n" for line in text.splitlines() or ["failed, and did not say why"])


def tell(stderr: TextIO, text: str) -> None:
    """Say C{text}; that nobody listens any more is no reason not to go on."""
    with suppress(OSError):
        stderr.write(message(text))
        stderr.flush()


class OneShot(Service):
    """
    A service that works once and then stops the reactor.

    @ivar status: the exit status, None while the work goes on.
    @ivar stdout: where the work writes its data.
    @ivar stderr: where errors are told.
    """

    status: int | None = None

    def __init__(
        self,
        reactor: Any,
        main: Main,
        stdout: TextIO,
        stderr: TextIO,
        catch: Callable[[int, Callable[[int, object], None]], object] = signal.signal,
        grace: float = GRACE,
    ) -> None:
        self._reactor = reactor
        self._main = main
        self.stdout = stdout
        self.stderr = stderr
        self._catch = catch
        self._grace = grace
        self._work: Deferred[None] | None = None
        self._stopping: Deferred[None] | None = None
        self._signal = 0
        self._timer: IDelayedCall | None = None

    def startService(self) -> None:
        """Work as soon as the reactor runs."""
        super().startService()
        IReactorCore(self._reactor).callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None] | None:
        """Interrupt the work if it still goes on; fires when it has ended, or after its grace."""
        super().stopService()
        if self._work is None or self.status is not None:
            return None
        self._stopping = Deferred()
        self.interrupt(signal.SIGTERM)
        return self._stopping

    def interrupt(self, number: int) -> None:
        """
        Cancel the work, which may take its grace to clean up; a second time, end at once.

        @param number: the signal that says so.
        """
        if self.status is not None or self._work is None:
            return
        if self._signal:
            self._end(128 + self._signal)
            return
        self._signal = number
        self._timer = IReactorTime(self._reactor).callLater(self._grace, self._end, 128 + number)
        self._work.cancel()

    def _begin(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Python calls this between any two instructions: let the reactor take it from there.
            self._catch(number, lambda got, _: self._reactor.callFromThread(self.interrupt, got))
        self._work = maybeDeferred(self._main, self._reactor, self.stdout).addBoth(self._worked)

    def _worked(self, result: int | Failure) -> None:
        if self.status is not None:
            return
        status = self._judge(result)
        self._end(128 + self._signal if self._signal else status)

    def _judge(self, result: int | Failure) -> int:
        """The exit status; what went wrong is told on stderr."""
        if not isinstance(result, Failure):
            return int(result)
        error = result.value
        if isinstance(error, ClumptError):
            tell(self.stderr, str(error))
            return status_of(error)
        if isinstance(error, BrokenPipeError):
            return _UNREAD
        if not (self._signal and isinstance(error, CancelledError)):
            tell(self.stderr, f"unexpected: {error!r}\n{result.getTraceback()}")
        return Status.UNEXPECTED

    def _end(self, status: int) -> None:
        self.status = status
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._stopping is not None:
            self._stopping.callback(None)
        elif self.running:
            IReactorCore(self._reactor).stop()


def one_shot(options: OneShotOptions, main: Main) -> OneShot:
    """
    The service for a tool, to be returned by C{makeService}.

    Under twistd, which cannot do it, this also sees to the exit status of the process.
    """
    from twisted.internet import reactor

    steady(reactor)
    service = OneShot(
        reactor, main, sys.__stdout__ or nowhere(), sys.__stderr__ or nowhere(), grace=options.grace
    )
    if options.parent is not None:
        atexit.register(_exit, service)
    return service


def last_words(service: OneShot) -> int:
    """Send off what C{service} wrote, and give the exit status of the process."""
    status = Status.UNEXPECTED if service.status is None else service.status
    try:
        service.stdout.flush()
    except BrokenPipeError:
        return status or _UNREAD
    return status


def _exit(service: OneShot) -> None:
    # atexit calls what was registered last first: what modules register later is not lost.
    if status := last_words(service):
        with suppress(OSError):
            service.stderr.flush()
        os._exit(status)


def nowhere() -> TextIO:
    """Where the words go of a tool that was started with its stdout or stderr closed."""
    return Path(os.devnull).open("w", encoding="utf-8")
