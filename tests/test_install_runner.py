"""The daemon's side of an install, with a helper that does what the test wants."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from clumpt.install.command import Rules
from clumpt.install.job import job_name
from clumpt.install.runner import LOOK, STAYED_BUSY, HelperInstaller, outside_service
from clumpt.install.spool import Spool
from clumpt.interfaces import IInstaller
from clumpt.model import Action, Outcome, State
from tests.installing import an_entry, an_update

NAME = job_name(1, 1)
DONE = Outcome(State.DONE, 0, "", 1.0)
RULES = Rules(frozenset({"command"}), timeout=100.0, lock_timeout=10.0)
ENTRY = an_entry(an_update("command", Action.RUN, argv=("/bin/true",)))


class FakeProcesses:
    """Starts nothing; keeps who waits for what."""

    def __init__(self) -> None:
        self.started: list[tuple[IProcessProtocol, Sequence[str]]] = []
        self.trouble: OSError | None = None

    def spawnProcess(self, protocol: IProcessProtocol, program: str, argv: Sequence[str], **_: Any) -> None:
        if self.trouble:
            raise self.trouble
        self.started.append((protocol, argv))

    def exits(self, code: int | None) -> None:
        """The newest helper exits, or is killed for None."""
        reason = ProcessDone(0) if code == 0 else ProcessTerminated(exitCode=code, signal=None if code else 9)
        self.started[-1][0].processExited(Failure(reason))


class RunnerTests(SynchronousTestCase):
    """Whatever the helper does, there is an outcome, and it is true."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.processes = FakeProcesses()
        self.spool = Spool(Path(self.mktemp()))
        self.spool.prepare()
        self.programs: Callable[[str], bool] = lambda path: True

    def installer(self, rules: Rules = RULES) -> HelperInstaller:
        return HelperInstaller(
            self.clock,
            self.processes,  # type: ignore[arg-type]  # one method of it
            self.spool,
            rules,
            lambda: [b"root"],
            ("/usr/bin/helper", "--fast"),
            lambda path: self.programs(path),
        )

    def run_it(self, rules: Rules = RULES) -> Deferred[Outcome]:
        return IInstaller(self.installer(rules)).run(ENTRY, 1, [Path("/repo/a")])  # type: ignore[no-any-return]

    def held(self, waiting: Deferred[Outcome], beginning: str) -> None:
        outcome = self.successResultOf(waiting)
        self.assertEqual((outcome.state, outcome.code), (State.HELD, None))
        self.assertTrue(outcome.reason.startswith(beginning), outcome.reason)

    def test_run(self) -> None:
        """The helper is started with the job; what it puts down is the outcome."""
        waiting = self.run_it()
        [(_, argv)] = self.processes.started
        self.assertEqual(argv, ("/usr/bin/helper", "--fast", str(self.spool.file(NAME, "job"))))
        job = self.spool.job(NAME)
        self.assertEqual((job.envelope, job.roots, job.packages), (ENTRY.envelope, (b"root",), ("/repo/a",)))
        self.assertNoResult(waiting)
        self.spool.begin(NAME)
        self.spool.finish(NAME, DONE)
        self.processes.exits(0)
        self.assertEqual(self.successResultOf(waiting), DONE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_known(self) -> None:
        """What has a result is not started again, even if the node's rules have changed since."""
        self.spool.finish(NAME, Outcome(State.FAILED, 1))
        waiting = self.run_it(Rules(frozenset()))
        self.assertEqual(self.successResultOf(waiting), Outcome(State.FAILED, 1))
        self.assertEqual(self.processes.started, [])

    def test_success_of_another_attempt(self) -> None:
        """What succeeded once does not run again under another number (promise 2)."""
        self.spool.finish(job_name(1, 4), DONE)
        self.assertEqual(self.successResultOf(self.run_it()), DONE)
        self.assertEqual(self.processes.started, [])

    def test_refused(self) -> None:
        """What the node does not allow, or has no program for, is not put down at all."""
        self.held(self.run_it(Rules(frozenset({"dpkg"}))), "installer command is not allowed on this node")
        self.programs = lambda path: False
        self.held(self.run_it(), "/bin/true is not installed on this node")
        self.assertEqual(list(self.spool.path.glob("*.job")), [])

    def test_refusal_waits(self) -> None:
        """While some helper is at work, it might be at this very job: then only a helper may refuse it."""
        lock = self.spool.lock()
        lock.take()
        self.addCleanup(lock.release)
        waiting = self.run_it(Rules(frozenset({"dpkg"})))
        self.assertNoResult(waiting)
        self.spool.finish(NAME, DONE)
        self.processes.exits(0)
        self.assertEqual(self.successResultOf(waiting), DONE)

    def test_dies_early(self) -> None:
        """A helper that dies before it begins anything is started again, after pauses, and not for ever."""
        waiting = self.run_it()
        for code, pause in ((None, 0.0), (1, 1.0), (1, 5.0)):
            self.clock.advance(pause)
            self.spool.file(NAME, "error").write_text("Traceback:\n  somewhere\nImportError: no zope\n")
            self.assertNoResult(waiting)
            self.processes.exits(code)
        self.held(waiting, "the install helper ended with 1: ImportError: no zope")
        self.assertEqual(len(self.processes.started), 3)

    def test_dies_inside(self) -> None:
        """A helper that dies after it began is not started again: nobody knows how far it came."""
        waiting = self.run_it()
        self.spool.begin(NAME)
        self.processes.exits(None)
        self.held(waiting, "interrupted: ")
        self.held(self.run_it(), "interrupted: ")
        self.assertEqual(len(self.processes.started), 1)

    def test_stayed_busy(self) -> None:
        """A helper that waited for another one in vain did not fail."""
        waiting = self.run_it()
        self.processes.exits(STAYED_BUSY)
        self.held(waiting, "locked: ")

    def test_never_exits(self) -> None:
        """A helper that never exits is not waited for without end."""
        waiting = self.run_it()
        self.clock.advance(629)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.held(waiting, "locked: ")
        self.processes.exits(0)

    def test_cannot_start(self) -> None:
        """No process, or no room on the disk: held, with the system's own words."""
        self.processes.trouble = OSError(11, "Resource temporarily unavailable")
        self.held(self.run_it(), "the install helper could not start: [Errno 11] Resource temporarily")

    def test_adopt(self) -> None:
        """A helper that an earlier daemon started is waited for, and its result taken."""
        lock = self.spool.lock()
        lock.take()
        self.spool.begin(NAME)
        waiting = self.run_it()
        self.clock.pump([LOOK] * 5)
        self.assertNoResult(waiting)
        self.spool.finish(NAME, DONE)
        lock.release()
        self.clock.advance(LOOK)
        self.assertEqual(self.successResultOf(waiting), DONE)
        self.assertEqual(self.processes.started, [])

    def test_adopted_dies(self) -> None:
        """An adopted helper that dies inside the run is noticed by its lock."""
        lock = self.spool.lock()
        lock.take()
        self.spool.begin(NAME)
        waiting = self.run_it()
        lock.release()
        self.clock.advance(LOOK)
        self.held(waiting, "interrupted: ")

    def test_adopted_never_ends(self) -> None:
        """An adopted helper is not waited for without end either."""
        lock = self.spool.lock()
        lock.take()
        self.addCleanup(lock.release)
        self.spool.begin(NAME)
        waiting = self.run_it()
        self.clock.pump([LOOK] * 2000)
        self.held(waiting, "locked: ")

    def test_cancel(self) -> None:
        """Who does not wait any more leaves the helper alone."""
        waiting = self.run_it()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.processes.exits(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_output(self) -> None:
        """The output is that of the newest attempt, and empty before the first."""
        self.assertEqual(self.installer().output(1), b"")
        self.spool.write_output(NAME, b"hello")
        self.assertEqual(self.installer().output(1), b"hello")

    def test_allowed(self) -> None:
        """The allow-list is that of the node."""
        self.assertEqual(self.installer().allowed, {"command"})


class ScopeTests(SynchronousTestCase):
    """Under systemd the helper gets a scope of its own."""

    def test_scope(self) -> None:
        """Only root may ask, and only where there is a systemd to be asked."""
        helper = ("/usr/bin/clumpt-install-helper",)
        words = outside_service(helper, 0, lambda path: True)
        self.assertEqual(words[:2], ("/usr/bin/systemd-run", "--scope"))
        self.assertEqual(words[-2:], ("--", *helper))
        self.assertEqual(outside_service(helper, 1000, lambda path: True), helper)
        self.assertEqual(outside_service(helper, 0, lambda path: path.name != "system"), helper)
        self.assertEqual(outside_service(helper, 0, lambda path: path.name != "systemd-run"), helper)
