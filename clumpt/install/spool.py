"""
The spool: the files by which the daemon and the detached helper speak.

They may die and come back in any order, so that each file says one thing for
good: C{job} what to run, C{started} that it was begun, C{result} how it ended.
A lock, which the death of the helper frees, says that somebody is at work.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from attrs import asdict, frozen

from clumpt.errors import Damaged
from clumpt.install.durable import Lock, sync_directory, write_durably
from clumpt.install.job import Job, JobName, job_name
from clumpt.model import Outcome, Seq, State

#: What is kept of what a run printed.
OUTPUT_LIMIT = 64 * 1024
#: Finished jobs that are kept.
KEPT = 100
_RESERVE = 4096
_JOB_LIMIT = 16 * 1024 * 1024
_VERSION = 1
_FILE = re.compile(r"(\d+-\d+)\.(job|started|leader|result|output|error)")


@frozen
class Spool:
    """The spool in the folder C{path}, which belongs to this node alone."""

    path: Path

    def prepare(self) -> None:
        """Make the folder if it is not there."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def file(self, name: JobName, kind: str) -> Path:
        """Where this file of a job lies."""
        return self.path / f"{name}.{kind}"

    def lock(self) -> Lock:
        """The one lock of this spool, not yet taken."""
        return Lock(self.path / "lock")

    def busy(self) -> bool:
        """Is a helper at work?"""
        lock = self.lock()
        free = lock.take()
        lock.release()
        return not free

    def write_job(self, job: Job) -> None:
        """Put down what is to be run."""
        write_durably(self.file(job.name, "job"), job.encode())

    def job(self, name: JobName) -> Job:
        """What was put down.  Raises L{Damaged} if it is not there or not readable."""
        try:
            with self.file(name, "job").open("rb") as file:
                return Job.decode(file.read(_JOB_LIMIT))
        except OSError as wrong:
            raise Damaged(f"job {name} cannot be read: {wrong}") from wrong

    def begin(self, name: JobName) -> None:
        """
        Put down, before it happens, that the job is being run: from now on its end may be unknown.

        Also takes the room for the result, since an install may well fill the disk.  Raises OSError if
        there is none.
        """
        with self._reserve(name).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _RESERVE)
        write_durably(self.file(name, "started"), b"")

    def started(self, name: JobName) -> bool:
        """Was the job begun?"""
        return self.file(name, "started").exists()

    def finish(self, name: JobName, outcome: Outcome) -> None:
        """Put down how the job ended."""
        said = json.dumps({"v": _VERSION, **asdict(outcome)}).encode()
        reserve = self._reserve(name)
        with reserve.open("r+b" if reserve.exists() else "w+b") as file:
            file.write(said)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        reserve.rename(self.file(name, "result"))
        sync_directory(self.path)

    def result(self, name: JobName) -> Outcome | None:
        """How the job ended, None if that was not put down."""
        try:
            said = json.loads(self.file(name, "result").read_bytes())
            return Outcome(State(said["state"]), said["code"], said["reason"], said["seconds"])
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as wrong:
            return Outcome(State.HELD, reason=f"interrupted: the result file is damaged ({wrong!r})")

    def success(self, seq: Seq) -> Outcome | None:
        """How the attempt at C{seq} that succeeded ended, None if none is known to."""
        for attempt in self._attempts_at(seq):
            outcome = self.result(job_name(seq, attempt))
            if outcome is not None and outcome.state is State.DONE:
                return outcome
        return None

    def superseded(self, job: Job) -> bool:
        """Was a newer attempt at the same update put down?"""
        return any(
            attempt > job.attempt and self.file(job_name(job.seq, attempt), "job").exists()
            for attempt in self._attempts_at(job.seq)
        )

    def write_output(self, name: JobName, output: bytes) -> None:
        """Show what the run printed so far; not durable, for people only."""
        path = self.file(name, "output")
        aside = path.with_name(f".{path.name}")
        aside.write_bytes(output[-OUTPUT_LIMIT:])
        aside.rename(path)

    def output(self, seq: Seq) -> bytes:
        """The end of what the newest attempt at C{seq} printed, empty if there is none."""
        for attempt in self._attempts_at(seq):
            path = self.file(job_name(seq, attempt), "output")
            if path.exists():
                return path.read_bytes()[-OUTPUT_LIMIT:]
        return b""

    def error(self, name: JobName) -> str:
        """What the helper of a job had to say of itself; empty, or the trace of a mistake."""
        path = self.file(name, "error")
        return path.read_bytes()[-OUTPUT_LIMIT:].decode(errors="replace") if path.exists() else ""

    def stage(self, name: JobName) -> Path:
        """An empty folder for the packages of a job."""
        self.clear_stage()
        folder = self.path / "stage" / name
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def clear_stage(self) -> None:
        """Remove all staged packages; only for who has the lock."""
        shutil.rmtree(self.path / "stage", ignore_errors=True)

    def leaders(self) -> Sequence[Path]:
        """The files that name the processes of runs of which nobody saw the end."""
        return sorted(self.path.glob("*.leader"))

    def prune(self, keep: JobName) -> None:
        """Remove all but the newest jobs, and never C{keep}."""
        names = [job_name(*pair) for pair in sorted(self._attempts())[:-KEPT]]
        for name in names:
            if name != keep:
                # What a helper that died left half written has a dot before its name.
                for path in (*self.path.glob(f"{name}.*"), *self.path.glob(f".{name}.*")):
                    path.unlink(missing_ok=True)

    def _reserve(self, name: JobName) -> Path:
        return self.path / f".{name}.result"

    def _attempts_at(self, seq: Seq) -> list[int]:
        """The attempts at C{seq}, the newest first."""
        return sorted((attempt for number, attempt in self._attempts() if number == seq), reverse=True)

    def _attempts(self) -> set[tuple[Seq, int]]:
        found = (_FILE.fullmatch(path.name) for path in self.path.iterdir())
        pairs = (match[1].split("-") for match in found if match)
        return {(int(seq), int(attempt)) for seq, attempt in pairs}
