"""Real processes, killed at every step of what the store does; then the survivor looks at the pieces."""

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import execute
from twisted.trial.unittest import SynchronousTestCase

from clumpt.model import State
from clumpt.pieces import SMALLEST, Bits, digest_of
from clumpt.store import layout
from clumpt.store.journal import SqliteJournal
from clumpt.store.repository import FileRepository
from clumpt.store.storage import DiskStorage
from clumpt.testing.contracts.journal import DONE, HELD, entry
from clumpt.testing.contracts.repository import package_of, piece, some_bytes

DATA = some_bytes(4 * SMALLEST + 10)
PACKAGE, RAW = package_of(DATA, 2 * SMALLEST)
Step = Callable[[str], None]
Tell = Callable[[str], None]


def open_repository(root: Path, step: Step) -> FileRepository:
    opened: list[FileRepository] = []
    FileRepository.open(DiskStorage(root, step), execute).addCallback(opened.append)
    return opened[0]


def keep_package(root: Path, step: Step, tell: Tell) -> None:
    """Let a package arrive, and tell when it is here."""
    repository = open_repository(root, step)
    assembly = repository.assemble(PACKAGE)
    if assembly.needs_hashes():
        assembly.put_hashes(RAW)
    for index in (2, 0, 1):
        assembly.put(index, piece(PACKAGE, DATA, index))
    assembly.finish().addCallback(lambda _: tell("finished"))


def keep_states(root: Path, step: Step, tell: Tell) -> None:
    """Take an update through all its states, and tell after each what was promised."""
    root.mkdir(exist_ok=True)
    journal, damaged = SqliteJournal.open(root / "state.db", step)
    assert damaged is None
    tell("opened")
    if not journal.entries():
        journal.add_entries([entry(1), entry(2)])
    tell("known")
    for seq, outcome in ((1, DONE), (2, HELD)):
        if journal.states()[seq] in (State.DONE, State.HELD):
            continue
        tell(f"attempt {seq} {journal.intend(seq)}")
        journal.settle(seq, outcome, 1.0)
        tell(f"settled {seq}")


class KillTests(SynchronousTestCase):
    """SIGKILL before each step, in a process of its own."""

    def run_killed(
        self, work: Callable[[Path, Step, Tell], None], root: Path, at: int
    ) -> tuple[bool, list[str]]:
        """Do C{work}, killed at step C{at}: did it get to its end, and what did it tell before?"""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            steps = iter(range(1, 1_000_000))

            def step(name: str) -> None:
                if next(steps) == at:
                    os.kill(os.getpid(), signal.SIGKILL)

            def tell(text: str) -> None:
                os.write(writing, text.encode() + b"\n")

            try:
                work(root, step, tell)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a child never returns into the test runner
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as told:
            lines = told.read().splitlines()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            self.assertEqual(os.WTERMSIG(status), signal.SIGKILL)
            return False, lines
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        return True, lines

    def at_every_step(
        self, work: Callable[[Path, Step, Tell], None], look: Callable[[Path, list[str]], None]
    ) -> int:
        """Kill at every step, and once more at every third step of the second run; returns the kills."""
        kills = 0
        for at in range(1, 1000):
            root = Path(self.mktemp())
            done, told = self.run_killed(work, root, at)
            look(root, told)
            if done:
                return kills
            kills += 1
            again, more = self.run_killed(work, root, 1 + at % 7)
            look(root, told + more)
            kills += not again
            _, more = self.run_killed(work, root, 0)
            look(root, told + more)
        raise AssertionError("never came to an end")

    def look_at_package(self, root: Path, told: list[str]) -> None:
        """No wrong byte under a final name, and what was finished is here and goes on being so."""
        for file in root.glob("repo/??/*"):
            if digest := layout.digest_in(file.name):
                self.assertEqual(digest_of(file.read_bytes()), digest)
        repository = open_repository(root, lambda name: None)
        if "finished" in told:
            self.assertTrue(repository.holds(PACKAGE.sha256))
            self.assertEqual(repository.held(PACKAGE), Bits.full(3))
        for index in repository.held(PACKAGE):
            self.assertEqual(repository.read(PACKAGE, index), piece(PACKAGE, DATA, index))

    def look_at_states(self, root: Path, told: list[str]) -> None:
        """All that was told is written down."""
        if not root.exists():
            return
        journal, damaged = SqliteJournal.open(root / "state.db")
        try:
            self.assertIsNone(damaged)
            states = journal.states()
            for line in told:
                match line.split():
                    case ["known"]:
                        self.assertEqual(len(states), 2)
                    case ["attempt", seq, attempt]:
                        self.assertGreaterEqual(journal.attempts(int(seq)), int(attempt))
                    case ["settled", seq]:
                        self.assertEqual(journal.outcome(int(seq)), (DONE, HELD)[int(seq) - 1])
            attempts = [line for line in told if line.startswith("attempt")]
            self.assertEqual(len(attempts), len(set(attempts)), "an attempt was given out twice")
        finally:
            journal.close()

    def test_repository(self) -> None:
        """Whenever the process dies, packages are whole or still arriving."""
        self.assertGreater(self.at_every_step(keep_package, self.look_at_package), 20)

    def test_journal(self) -> None:
        """Whenever the process dies, the journal holds all that it had promised to keep."""
        self.assertGreater(self.at_every_step(keep_states, self.look_at_states), 15)
