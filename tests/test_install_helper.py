"""The helper's own decisions, without a process."""

import time
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from clumpt.install import helper
from clumpt.install.command import Rules, command_for
from clumpt.install.helper import BAD_JOB, STAYED_BUSY, Helper
from clumpt.install.job import Job, job_name
from clumpt.install.spool import Spool
from clumpt.model import Action, Outcome, State
from tests.installing import an_entry, an_update, verify

NAME = job_name(1, 2)
DONE = Outcome(State.DONE, 0, "", 1.0)
RULES = Rules(frozenset({"command"}), timeout=100.0, lock_timeout=10.0)


class HelperTests(SynchronousTestCase):
    """When a helper runs something, and when it does not."""

    def setUp(self) -> None:
        self.spool = Spool(Path(self.mktemp()).absolute())
        self.spool.prepare()
        self.mark = self.spool.path / "ran"
        self.seconds = 0.0

    def put_down(self, program: str = "/usr/bin/touch", attempt: int = 2) -> None:
        entry = an_entry(an_update("command", Action.RUN, argv=(program, str(self.mark))))
        self.spool.write_job(Job(1, attempt, entry.envelope, (), (), RULES))

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def carry_out(self) -> int:
        return Helper(self.spool, verify, lambda: self.seconds, self.sleep).carry_out(NAME)

    def test_runs(self) -> None:
        """A job is run, once."""
        self.put_down()
        for _ in range(2):
            self.assertEqual(self.carry_out(), 0)
            outcome = self.spool.result(NAME)
            assert outcome is not None
            self.assertIs(outcome.state, State.DONE)
            self.assertEqual(self.mark.exists(), _ == 0)
            self.mark.unlink(missing_ok=True)

    def test_begun(self) -> None:
        """A job that was begun is never begun again."""
        self.put_down()
        self.spool.begin(NAME)
        self.assertEqual(self.carry_out(), 0)
        self.assertIsNone(self.spool.result(NAME))
        self.assertFalse(self.mark.exists())

    def test_earlier_success(self) -> None:
        """An earlier attempt that succeeded after all is the result of this one (promise 2)."""
        self.put_down()
        self.spool.finish(job_name(1, 1), DONE)
        self.assertEqual(self.carry_out(), 0)
        self.assertEqual(self.spool.result(NAME), DONE)
        self.assertFalse(self.mark.exists())

    def test_superseded(self) -> None:
        """A newer attempt takes the place of an older one."""
        self.put_down()
        self.put_down(attempt=3)
        self.assertEqual(self.carry_out(), 0)
        self.assertIsNone(self.spool.result(NAME))
        self.assertFalse(self.mark.exists())

    def test_busy(self) -> None:
        """Another helper's lock is waited for as long as its run may take, and not longer."""
        self.put_down()
        lock = self.spool.lock()
        lock.take()
        self.assertEqual(self.carry_out(), STAYED_BUSY)
        self.assertTrue(110 <= self.seconds < 111)
        self.assertIsNone(self.spool.result(NAME))
        lock.release()
        self.assertEqual(self.carry_out(), 0)
        self.assertTrue(self.mark.exists())

    def test_no_job(self) -> None:
        """Without a job there is nothing to do, and nothing to put down."""
        self.assertEqual(self.carry_out(), BAD_JOB)
        self.spool.file(NAME, "job").write_text("nonsense")
        self.assertEqual(self.carry_out(), BAD_JOB)
        self.assertIsNone(self.spool.result(NAME))

    def test_repair_hangs(self) -> None:
        """A repair that does not end is given up, and the update is run all the same (H6)."""

        def dirty(*words: Any) -> Any:
            command: Any = command_for(*words)
            return evolve(command, repair=("/bin/sleep", "60"), dirty="*")

        self.patch(helper, "command_for", dirty)
        self.patch(helper, "REPAIR", 0.2)
        self.put_down()
        Helper(self.spool, verify, time.monotonic, time.sleep).carry_out(NAME)
        outcome = self.spool.result(NAME)
        assert outcome is not None
        self.assertIs(outcome.state, State.DONE)
        self.assertTrue(self.mark.exists())
        self.assertIn(b"+ /bin/sleep 60", self.spool.output(1))
        self.assertLess(outcome.seconds, RULES.timeout / 2)

    def test_no_program(self) -> None:
        """A program that is not there is held: the administrator may install it."""
        self.put_down("/usr/bin/no-such-program")
        self.assertEqual(self.carry_out(), 0)
        self.assertEqual(
            self.spool.result(NAME),
            Outcome(State.HELD, None, "/usr/bin/no-such-program is not installed on this node"),
        )

    def test_not_executable(self) -> None:
        """A program that the system cannot execute says why."""
        script = self.spool.path / "script"
        script.write_text("no interpreter is named here")
        script.chmod(0o755)
        self.put_down(str(script))
        self.assertEqual(self.carry_out(), 0)
        outcome = self.spool.result(NAME)
        assert outcome is not None
        self.assertIs(outcome.state, State.HELD)
        self.assertIn("Exec format error", outcome.reason)
