"""The files between daemon and helper."""

import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import Damaged
from clumpt.install.command import Rules
from clumpt.install.durable import write_durably
from clumpt.install.job import Job, job_name
from clumpt.install.spool import KEPT, OUTPUT_LIMIT, Spool
from clumpt.model import Outcome, State

NAME = job_name(7, 1)
RULES = Rules(frozenset({"dpkg", "pip"}), root="/srv/x", programs={"pip": ("/opt/pip",)})


def a_job(seq: int = 7, attempt: int = 1) -> Job:
    return Job(seq, attempt, b"\x00envelope\xff", (b"root",), ("/repo/ab/abcd",), RULES)


class JobTests(SynchronousTestCase):
    """What the helper is told."""

    def test_text(self) -> None:
        """A job can be read as it was written."""
        self.assertEqual(Job.decode(a_job().encode()), a_job())

    @given(st.binary(max_size=60))
    def test_nonsense(self, raw: bytes) -> None:
        """What is no job is damage, whatever it is."""
        with self.assertRaises(Damaged):
            Job.decode(raw)

    def test_changed(self) -> None:
        """A job that lacks a field, has one too many or one of another type is damage."""
        whole = json.loads(a_job().encode())
        for key in whole:
            for value in (None, 5, {"x": "y"}):
                if (key, value) in (("seq", 5), ("attempt", 5)):
                    continue
                with self.assertRaises(Damaged, msg=f"{key}={value}"):
                    Job.decode(json.dumps({**whole, key: value}).encode())

    def test_other_version(self) -> None:
        """A job of another version is not guessed at."""
        whole = json.loads(a_job().encode())
        with self.assertRaisesRegex(Damaged, "version 2"):
            Job.decode(json.dumps({**whole, "v": 2}).encode())


class SpoolTests(SynchronousTestCase):
    """What is put down is found."""

    def setUp(self) -> None:
        self.spool = Spool(Path(self.mktemp()))
        self.spool.prepare()

    def test_private(self) -> None:
        """Nobody else may look into the spool."""
        self.spool.write_job(a_job())
        self.assertEqual(self.spool.path.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.spool.file(NAME, "job").stat().st_mode & 0o777, 0o600)

    def test_job(self) -> None:
        """A job that was put down is found; one that was not is damage."""
        self.spool.write_job(a_job())
        self.assertEqual(self.spool.job(NAME), a_job())
        with self.assertRaises(Damaged):
            self.spool.job(job_name(8, 1))

    def test_result(self) -> None:
        """A result is found as it was put down, with and without a beginning."""
        for seq, begin in ((7, True), (8, False)):
            name = job_name(seq, 1)
            self.assertIsNone(self.spool.result(name))
            self.assertFalse(self.spool.started(name))
            if begin:
                self.spool.begin(name)
            outcome = Outcome(State.FAILED, 2, "no " * 60, 1.5)
            self.spool.finish(name, outcome)
            self.assertEqual(self.spool.result(name), outcome)
            self.assertEqual(self.spool.started(name), begin)

    def test_room(self) -> None:
        """From the beginning of a job there is room on the disk for its result."""
        self.spool.begin(NAME)
        [reserve] = self.spool.path.glob(".*.result")
        self.assertGreaterEqual(reserve.stat().st_blocks * 512, 4096)
        self.spool.finish(NAME, Outcome(State.DONE, 0))
        self.assertFalse(reserve.exists())

    def test_damaged_result(self) -> None:
        """A result that cannot be read is an end that nobody knows."""
        for text in ("", "{}", '{"state": "sideways", "code": 0, "reason": "", "seconds": 1}'):
            self.spool.file(NAME, "result").write_text(text)
            outcome = self.spool.result(NAME)
            assert outcome is not None
            self.assertIs(outcome.state, State.HELD)
            self.assertTrue(outcome.reason.startswith("interrupted"))

    def test_success(self) -> None:
        """A success of any attempt is remembered (promise 2)."""
        self.spool.finish(NAME, Outcome(State.FAILED, 1))
        self.assertIsNone(self.spool.success(7))
        self.spool.finish(job_name(7, 2), Outcome(State.DONE, 0))
        self.spool.finish(job_name(7, 3), Outcome(State.FAILED, 1))
        self.assertEqual(self.spool.success(7), Outcome(State.DONE, 0))

    def test_superseded(self) -> None:
        """An attempt is over when a newer one was put down."""
        self.spool.write_job(a_job(attempt=2))
        self.assertTrue(self.spool.superseded(a_job(attempt=1)))
        self.assertFalse(self.spool.superseded(a_job(attempt=2)))
        self.assertFalse(self.spool.superseded(a_job(seq=8)))

    def test_output(self) -> None:
        """The end of the newest attempt's output is shown."""
        self.assertEqual(self.spool.output(7), b"")
        self.spool.write_output(NAME, b"first")
        self.spool.write_output(job_name(7, 10), b"x" * OUTPUT_LIMIT + b"tenth")
        self.spool.write_output(job_name(7, 9), b"ninth")
        self.assertEqual(self.spool.output(7), b"x" * (OUTPUT_LIMIT - 5) + b"tenth")

    def test_lock(self) -> None:
        """One at a time; letting go, or closing by death, frees it."""
        lock = self.spool.lock()
        self.assertFalse(self.spool.busy())
        self.assertTrue(lock.take())
        self.assertTrue(self.spool.busy())
        self.assertFalse(self.spool.lock().take())
        lock.release()
        lock.release()
        self.assertFalse(self.spool.busy())

    def test_prune(self) -> None:
        """The newest jobs are kept, and the one at hand."""
        for seq in range(1, KEPT + 11):
            name = job_name(seq, 1)
            self.spool.write_job(a_job(seq))
            self.spool.begin(name)
            self.spool.write_output(name, b"x")
            (self.spool.path / f".{name}.output").touch()
        self.spool.prune(job_name(3, 1))
        left = {path.name.partition("-")[0] for path in self.spool.path.glob("*.job")}
        self.assertEqual(left, {"3", *map(str, range(11, KEPT + 11))})
        self.assertFalse(self.spool.started(job_name(10, 1)))
        self.assertEqual(
            [path for path in self.spool.path.iterdir() if path.name.strip(".")[:5] == "10-1."], []
        )

    def test_stage(self) -> None:
        """What a helper that died left on the stage is gone."""
        (self.spool.stage(NAME) / "a.deb").write_bytes(b"a")
        self.assertEqual(list(self.spool.stage(job_name(8, 1)).iterdir()), [])
        self.assertEqual([path.name for path in (self.spool.path / "stage").iterdir()], ["8-1"])


class DurableTests(SynchronousTestCase):
    """Writing for good."""

    def test_link(self) -> None:
        """A symbolic link in the way is replaced, never followed."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "precious").write_bytes(b"precious")
        os.symlink("precious", folder / "file")
        os.symlink("precious", folder / ".file.aside")
        write_durably(folder / "file", b"new")
        self.assertEqual((folder / "precious").read_bytes(), b"precious")
        self.assertEqual((folder / "file").read_bytes(), b"new")
        self.assertEqual(len(list(folder.iterdir())), 2)
