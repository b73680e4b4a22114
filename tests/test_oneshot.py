"""Tools that do one thing and end; the parts of it that need no process (R96)."""

import signal
from collections.abc import Callable
from io import StringIO
from typing import Any, TextIO

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import Options, UsageError
from twisted.trial.unittest import SynchronousTestCase

from clumpt import errors
from clumpt.apps.oneshot import (
    GRACE,
    Main,
    OneShot,
    OneShotOptions,
    Status,
    last_words,
    message,
    status_of,
    steady,
)


class FakeReactor(MemoryReactorClock):
    """Counts how often it is stopped, and does at once what a signal handler asks for."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        function(*args)


class OneShotTests(SynchronousTestCase):
    """L{OneShot} works once, tells what went wrong, and stops the reactor."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.stdout, self.stderr = StringIO(), StringIO()
        self.handlers: dict[int, Callable[[int, object], None]] = {}

    def start(self, main: Main) -> OneShot:
        service = OneShot(self.reactor, main, self.stdout, self.stderr, self.handlers.__setitem__)
        service.startService()
        for hook, args, kwargs in self.reactor.whenRunningHooks:
            hook(*args, **kwargs)
        return service

    def ended(self, result: Deferred[int]) -> OneShot:
        service = self.start(lambda reactor, stdout: result)
        self.assertEqual(self.reactor.stopped, 1)
        return service

    def test_done(self) -> None:
        """The work gets the reactor and stdout, and says the status."""

        def main(reactor: Any, stdout: TextIO) -> Deferred[int]:
            self.assertIs(reactor, self.reactor)
            stdout.write("data\n")
            return succeed(Status.FAILED)

        self.assertEqual(self.start(main).status, 3)
        self.assertEqual((self.stdout.getvalue(), self.stderr.getvalue()), ("data\n", ""))

    def test_later(self) -> None:
        """The reactor runs until the work is done, and is stopped once."""
        work: Deferred[int] = Deferred()
        service = self.start(lambda reactor, stdout: work)
        self.assertEqual((service.status, self.reactor.stopped), (None, 0))
        work.callback(0)
        self.assertEqual((service.status, self.reactor.stopped), (0, 1))
        self.assertIsNone(service.stopService())

    def test_statuses(self) -> None:
        """Each kind of error has the status that the manual promises."""
        for error, status in (
            (errors.NothingMatched("x"), 7),
            (errors.BadInput("x"), 2),
            (errors.ConfigurationError("x"), 2),
            (errors.Conflict("x"), 2),
            (errors.DirectoryUnavailable("x"), 5),
            (errors.DirectoryRefused("x"), 6),
            (errors.Untrusted("x"), 6),
            (errors.IdentityError("x"), 6),
            (errors.Damaged("x"), 1),
        ):
            self.assertEqual(status_of(error), status, error)

    def test_expected(self) -> None:
        """An error of ours is told in its own words, without a traceback."""
        service = self.ended(fail(errors.ConfigurationError("a:1: wrong", "b:2: wrong too")))
        self.assertEqual(service.status, Status.USAGE)
        self.assertEqual(self.stderr.getvalue(), "clumpt: a:1: wrong\nclumpt: b:2: wrong too\n")

    def test_silent_error(self) -> None:
        """Even an error without words is told."""
        self.assertEqual(message(""), "clumpt: failed, and did not say why\n")

    def test_unexpected(self) -> None:
        """A bug is told with its traceback, whether it is raised or comes later."""

        def main(reactor: Any, stdout: TextIO) -> Deferred[int]:
            raise KeyError("seq")

        self.assertEqual(self.start(main).status, Status.UNEXPECTED)
        self.assertIn("unexpected: KeyError('seq')", self.stderr.getvalue())
        self.assertIn("Traceback", self.stderr.getvalue())

    def test_unread(self) -> None:
        """If nobody reads the data any more, the tool ends without a word."""
        self.assertEqual(self.ended(fail(BrokenPipeError())).status, 141)
        self.assertEqual(self.stderr.getvalue(), "")

    def test_unheard(self) -> None:
        """If nobody hears what is said any more, the tool ends all the same, with the same status."""

        def deaf(text: str) -> int:
            raise BrokenPipeError

        self.stderr.write = deaf  # type: ignore[method-assign]
        self.assertEqual(self.ended(fail(errors.DirectoryUnavailable("x"))).status, 5)
        self.setUp()
        self.stderr.write = deaf  # type: ignore[method-assign]
        self.assertEqual(self.ended(fail(ZeroDivisionError())).status, 1)

    def test_interrupted(self) -> None:
        """A signal cancels the work; the status tells which signal it was."""
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            self.setUp()
            service = self.start(lambda reactor, stdout: Deferred())
            self.handlers[number](number, None)
            self.assertEqual((service.status, self.reactor.stopped), (status, 1))
            self.assertEqual(self.stderr.getvalue(), "")
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def slow(self) -> tuple[OneShot, Deferred[int]]:
        """A tool whose work does not end when it is cancelled."""
        cleaned: Deferred[int] = Deferred()
        work: Deferred[int] = Deferred().addErrback(lambda _: cleaned)
        service = self.start(lambda reactor, stdout: work)
        service.interrupt(signal.SIGINT)
        self.assertEqual((service.status, self.reactor.stopped), (None, 0))
        return service, cleaned

    def test_clean_up(self) -> None:
        """Interrupted work may clean up; how that ends does not change the status."""
        service, cleaned = self.slow()
        cleaned.callback(0)
        self.assertEqual((service.status, self.reactor.stopped), (130, 1))

    def test_clean_up_too_long(self) -> None:
        """Clean-up that does not end is left alone, and what becomes of it does not matter."""
        service, cleaned = self.slow()
        self.reactor.advance(GRACE)
        self.assertEqual((service.status, self.reactor.stopped), (130, 1))
        cleaned.callback(0)
        service.interrupt(signal.SIGINT)
        self.assertEqual((service.status, self.reactor.stopped), (130, 1))

    def test_impatient(self) -> None:
        """A second signal ends the tool at once."""
        service, _ = self.slow()
        service.interrupt(signal.SIGINT)
        self.assertEqual((service.status, self.reactor.stopped), (130, 1))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopped(self) -> None:
        """If somebody else stops the reactor, that waits for the work to be cleaned up."""
        cleaned: Deferred[int] = Deferred()
        work: Deferred[int] = Deferred().addErrback(lambda _: cleaned)
        service = self.start(lambda reactor, stdout: work)
        stopping = service.stopService()
        self.assertNoResult(stopping)
        cleaned.callback(0)
        self.successResultOf(stopping)
        self.assertEqual((service.status, self.reactor.stopped), (143, 0))

    def test_last_words(self) -> None:
        """What was never finished is no success; what was is what it said."""
        self.assertEqual(last_words(self.start(lambda reactor, stdout: Deferred())), Status.UNEXPECTED)
        self.setUp()
        self.assertEqual(last_words(self.ended(succeed(4))), Status.SPREADING)

    def test_steady(self) -> None:
        """The clock is made monotonic, but never under a timer that is already set."""
        steady(self.reactor)
        self.assertNotEqual(self.reactor.seconds(), self.reactor.rightNow)
        self.reactor.seconds = lambda: 0.0
        self.reactor.callLater(1, lambda: None)
        with self.assertRaises(RuntimeError):
            steady(self.reactor)


class Twistd(Options):
    """As much of twistd's options as matters here."""

    def __init__(self, **given: object) -> None:
        super().__init__()
        self.update({"nodaemon": False, "pidfile": "twistd.pid", "no_save": False, "syslog": False}, **given)
        self.setdefault("logger", None)
        self.setdefault("logfile", None)


class Sub(OneShotOptions):
    optParameters = [["number", "n", 0, "A number.", int]]

    def postOptions(self) -> None:
        super().postOptions()
        if self["number"] == 13:
            raise errors.ConfigurationError("a.ini:1: unlucky")
        if self["number"] == 14:
            raise UsageError("14 is no number")


class OptionsTests(SynchronousTestCase):
    """L{OneShotOptions} steer twistd and end on mistakes."""

    def parsed(self, parent: Options | None, *words: str) -> Sub:
        options = Sub()
        options.parent = parent
        options.parseOptions(list(words))
        return options

    def test_steer(self) -> None:
        """twistd stays in the foreground, writes no files, and logs to stderr."""
        parent = Twistd()
        self.parsed(parent)
        self.assertEqual((parent["nodaemon"], parent["pidfile"], parent["no_save"]), (True, "", True))
        self.assertEqual(parent["logger"], "clumpt.apps.oneshot.stderr_observer")

    def test_own_log(self) -> None:
        """A log that was asked for is kept."""
        parent = Twistd(logfile="x.log")
        self.parsed(parent)
        self.assertIsNone(parent["logger"])

    def test_alone(self) -> None:
        """Without twistd, or below a command of our own, there is nothing to steer."""
        self.assertEqual(self.parsed(None, "-n", "3")["number"], 3)
        self.assertEqual(self.parsed(Options())["number"], 0)

    def ends(self, status: int, *words: str) -> str:
        stderr = StringIO()
        self.patch(__import__("sys"), "stderr", stderr)
        with self.assertRaises(SystemExit) as caught:
            self.parsed(None, *words)
        self.assertEqual(caught.exception.code, status)
        return stderr.getvalue()

    def test_mistakes(self) -> None:
        """Wrong words and a wrong configuration end the process with a message and status 2."""
        self.assertIn("clumpt: Try --help.\n", self.ends(2, "--colour"))
        self.assertIn("clumpt: 14 is no number\n", self.ends(2, "-n14"))
        self.assertEqual(self.ends(2, "-n13"), "clumpt: a.ini:1: unlucky\n")
        self.assertTrue(self.ends(2, "-nx").startswith("clumpt: invalid literal"))

    def test_version(self) -> None:
        """The version is that of Clumpt, not of Twisted."""
        stdout = StringIO()
        self.patch(__import__("sys"), "stdout", stdout)
        with self.assertRaises(SystemExit):
            self.parsed(None, "--version")
        self.assertRegex(stdout.getvalue(), r"^Clumpt \d")
