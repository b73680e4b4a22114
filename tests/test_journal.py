"""The journal: what a peer must not forget."""

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

import clumpt.store.database
import clumpt.store.journal
from clumpt.errors import ClumptError, Conflict, Damaged, StoreFull
from clumpt.interfaces import IJournal
from clumpt.model import Outcome, State
from clumpt.store.database import said
from clumpt.store.journal import SqliteJournal
from clumpt.testing.contracts.journal import DONE, FAILED, HELD, SKIPPED, JournalContract, entry
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.memory_journal import MemoryJournal


def killed(journal: SqliteJournal, folder: Path) -> SqliteJournal:
    """A journal as its process leaves it when it is killed: the files, and nothing else."""
    folder.mkdir()
    for file in journal._path.parent.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    journal.close()
    return SqliteJournal.open(folder / journal._path.name)[0]


class Folder(SynchronousTestCase):
    """Has a folder of its own, and closes what it opened in it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.path = self.folder / "state.db"

    def open(self, path: Path | None = None) -> tuple[SqliteJournal, Path | None]:
        journal, damaged = SqliteJournal.open(path or self.path)
        self.addCleanup(journal.close)
        return journal, damaged


class SqliteJournalTests(JournalContract, Folder):
    """L{SqliteJournal} keeps the contract."""

    def setUp(self) -> None:
        Folder.setUp(self)
        JournalContract.setUp(self)

    def make(self) -> IJournal:
        number = len(list(self.folder.iterdir()))
        folder = self.folder / str(number)
        folder.mkdir()
        return self.open(folder / "state.db")[0]

    def restart(self, journal: SqliteJournal) -> IJournal:
        again = killed(journal, journal._path.parent / "again")
        self.addCleanup(again.close)
        return again


class MemoryJournalTests(JournalContract, SynchronousTestCase):
    """L{MemoryJournal} keeps the contract, over losses of power too."""

    def make(self) -> IJournal:
        self.disk = MemoryDisk(Random(7))
        return MemoryJournal(self.disk)

    def restart(self, journal: IJournal) -> IJournal:
        self.disk.power_loss()
        return MemoryJournal(self.disk)


class PlantedBugTests(SynchronousTestCase):
    """The lazy journal is good for something: it forgets."""

    def test_forgets(self) -> None:
        """A power loss may take the tail, never the middle, of what a lazy journal wrote."""
        lost = set()
        for seed in range(30):
            disk = MemoryDisk(Random(seed))
            journal = MemoryJournal(disk, lazy=True)
            for seq in range(1, 6):
                journal.add_entries([entry(seq)])
            disk.crash()
            self.assertEqual(len(MemoryJournal(disk).entries()), 5)
            disk.power_loss()
            left = list(MemoryJournal(disk).entries())
            self.assertEqual(left, [entry(seq).envelope for seq in range(1, len(left) + 1)])
            lost.add(5 - len(left))
        self.assertGreater(len(lost), 2)

    def test_full(self) -> None:
        """What does not fit is not remembered, and what is written next is not lost by that."""
        disk = MemoryDisk(Random(1))
        journal = MemoryJournal(disk)
        journal.cache("a", b"1")
        disk.limit = (disk.size("journal") or 0) + 20
        with self.assertRaises(StoreFull):
            journal.cache("a", b"2" * 100)
        self.assertEqual(journal.cached("a"), b"1")
        disk.limit = None
        journal.cache("b", b"3")
        disk.power_loss()
        again = MemoryJournal(disk)
        self.assertEqual((again.cached("a"), again.cached("b")), (b"1", b"3"))

    def test_lazily(self) -> None:
        """What may be lost can be lost with the power, unless something that may not came after it."""
        left: dict[bool, set[bytes | None]] = {False: set(), True: set()}
        for later in left:
            for seed in range(20):
                disk = MemoryDisk(Random(seed))
                journal = MemoryJournal(disk)
                journal.cache("a", b"old")
                journal.cache("a", b"new", lazily=True)
                journal.set_reported(7)
                may_be = [
                    (one.cached("a"), one.reported()) for one in journal.left(lambda: MemoryDisk(Random(1)))
                ]
                self.assertEqual(may_be, [(b"old", 0), (b"new", 0), (b"new", 7)])
                if later:
                    journal.cache("b", b"1")
                disk.power_loss()
                left[later].add(MemoryJournal(disk).cached("a"))
        self.assertEqual(left, {False: {b"old", b"new"}, True: {b"new"}})


class SqliteFileTests(Folder):
    """What is special about a file."""

    def test_pragmas(self) -> None:
        """A commit is on the disk when it returns: WAL, and synced each time."""
        journal, _ = self.open()
        ask = journal._connection.execute
        self.assertEqual(ask("PRAGMA journal_mode").fetchone(), ("wal",))
        self.assertEqual(ask("PRAGMA synchronous").fetchone(), (2,))

    def test_lazily(self) -> None:
        """What may be lost does not wait for the disk; all else does, also after it, and after a failure."""
        seen: list[int] = []
        journal, _ = self.open()
        ask = journal._connection.execute
        journal._step = lambda name: seen.append(ask("PRAGMA synchronous").fetchone()[0])
        journal.cache("a", b"1", lazily=True)
        journal.cache("a", b"2")
        self.assertEqual(seen, [1, 1, 2, 2])
        journal.add_entries([entry(1)])
        seen.clear()
        journal.settle(1, Outcome(State.FAILED, 1), 1.0, lazily=True)
        self.assertEqual(seen, [1, 1])
        seen.clear()
        journal.set_reported(1)
        self.assertEqual(seen, [1, 1])
        step = journal._step
        journal._step = lambda name: 1 / 0
        self.assertRaises(ZeroDivisionError, journal.cache, "a", b"3", lazily=True)
        journal._step = step
        seen.clear()
        journal.cache("a", b"4")
        self.assertEqual(seen, [2, 2])

    def test_private(self) -> None:
        """Only the owner can read what it holds."""
        journal, _ = self.open()
        journal.cache("a", b"1")
        for file in self.folder.iterdir():
            self.assertEqual(file.stat().st_mode & 0o077, 0, file)

    def test_one_process(self) -> None:
        """Two daemons cannot use one journal."""
        journal, _ = self.open()
        with self.assertRaisesRegex(ClumptError, "another Clumpt process"):
            SqliteJournal.open(self.path)
        journal.close()
        self.open()

    def test_unusable(self) -> None:
        """A folder that cannot be used is named, and nothing is made of it."""
        with self.assertRaisesRegex(ClumptError, "check the rights"):
            SqliteJournal.open(self.folder / "missing" / "state.db")
        self.path.symlink_to(self.folder / "elsewhere")
        with self.assertRaisesRegex(ClumptError, "check the rights"):
            SqliteJournal.open(self.path)

    def test_other_sqlite(self) -> None:
        """Where SQLite cannot promise to keep a commit, there is no journal."""
        self.patch(clumpt.store.database, "PRAGMAS", {"journal_mode": "wal", "synchronous": 7})
        with self.assertRaisesRegex(ClumptError, "synchronous"):
            SqliteJournal.open(self.path)

    def test_no_sync(self) -> None:
        """A disk that fails while the journal is opened is named, and no journal comes of it."""
        self.open()[0].close()

        def fail(file: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(os, "fsync", fail)
        with self.assertRaisesRegex(ClumptError, "Input/output error; look at the disk"):
            SqliteJournal.open(self.path)
        self.path.write_bytes(b"junk" * 1000)
        with self.assertRaisesRegex(ClumptError, "cannot be moved aside"):
            SqliteJournal.open(self.path)

    def test_unopened(self) -> None:
        """What SQLite says when it does not even open a file is said in our words."""

        def fail(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("unable to open database file")

        self.patch(sqlite3, "connect", fail)
        with self.assertRaisesRegex(ClumptError, "unable to open.*check that it is writable"):
            SqliteJournal.open(self.path)

    def test_failing_at_start(self) -> None:
        """A disk that fails while the journal is read is not taken for a damaged journal."""
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ

        def fail(*_: object) -> None:
            raise error

        self.patch(clumpt.store.database, "_prepare", fail)
        with self.assertRaisesRegex(Damaged, "look at the disk"):
            SqliteJournal.open(self.path)
        self.assertEqual(list(self.folder.glob("*damaged*")), [])

    def test_newer(self) -> None:
        """A journal of a newer Clumpt is neither used nor thrown away."""
        journal, _ = self.open()
        journal._connection.execute("PRAGMA user_version=99")
        journal.close()
        with self.assertRaisesRegex(ClumptError, "newer Clumpt"):
            SqliteJournal.open(self.path)
        self.assertTrue(self.path.exists())

    def test_full(self) -> None:
        """Without room nothing changes, and later it goes on."""
        journal, _ = self.open()
        (pages,) = journal._connection.execute("PRAGMA page_count").fetchone()
        journal._connection.execute(f"PRAGMA max_page_count={pages}")
        with self.assertRaisesRegex(StoreFull, "make room"):
            journal.cache("a", b"x" * 100_000)
        self.assertIsNone(journal.cached("a"))
        journal._connection.execute("PRAGMA max_page_count=1000000")
        journal.cache("a", b"x")
        self.assertEqual(journal.cached("a"), b"x")

    def test_odd_reason(self) -> None:
        """Whatever a command printed, its success is recorded."""
        journal, _ = self.open()
        journal.add_entries([entry(1)])
        journal.settle(1, Outcome(State.DONE, 0, "\udcff"), 1.0)
        journal.settle(1, Outcome(State.DONE, 0, "\udcff"), 1.0)
        self.assertEqual(journal.outcome(1), Outcome(State.DONE, 0, "?"))

    def test_damage_while_open(self) -> None:
        """After an error of the disk the journal is not used any more: what it holds is unknown."""
        journal, _ = self.open()
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

        def fail(name: str) -> None:
            raise error

        journal._step = fail
        with self.assertRaisesRegex(Damaged, "look at the disk"):
            journal.cache("a", b"1")
        journal._step = lambda name: None
        for use in (journal.entries, journal.changes, lambda: journal.cache("a", b"1")):
            with self.assertRaises(Damaged):
                use()

    def test_errors(self) -> None:
        """What SQLite says is said in our words."""
        for code, kind in (
            (sqlite3.SQLITE_FULL, StoreFull),
            (sqlite3.SQLITE_CORRUPT_INDEX, Damaged),
            (sqlite3.SQLITE_BUSY, ClumptError),
            (sqlite3.SQLITE_READONLY, ClumptError),
        ):
            error = sqlite3.OperationalError("so")
            error.sqlite_errorcode = code
            self.assertIs(type(said(self.path, error)), kind)

    def test_history_bounded(self) -> None:
        """The history keeps the newest lines only."""
        journal, _ = self.open()
        journal.add_entries([entry(1)])
        self.patch(clumpt.store.journal, "MOST_HISTORY", 2)
        for number in range(4):
            journal.settle(1, Outcome(State.FAILED, number), float(number))
        self.assertEqual([line.at for line in journal.history()], [2.0, 3.0])


class DamageTests(Folder):
    """A damaged journal is never taken for an empty one."""

    def setUp(self) -> None:
        super().setUp()
        journal, _ = self.open()
        journal.add_entries([entry(seq) for seq in range(1, 100)])
        journal.settle(1, DONE, 1.0)
        journal.close()
        self.sound = self.path.read_bytes()

    def opened(self, data: bytes) -> tuple[list[bytes], Path | None]:
        """What is there when the file holds C{data}."""
        for old in self.folder.glob("*damaged*"):
            old.unlink()
        self.path.write_bytes(data)
        journal, damaged = SqliteJournal.open(self.path)
        try:
            return list(journal.entries()), damaged
        finally:
            journal.close()

    def test_truncated(self) -> None:
        """Cut anywhere, it is moved aside and kept; what is made instead remembers that."""
        for size in range(0, len(self.sound), 1500):
            entries, damaged = self.opened(self.sound[:size])
            assert damaged is not None, size
            self.assertEqual(entries, [])
            self.assertTrue(damaged.read_bytes().startswith(self.sound[:size]))

    def test_told_until_mended(self) -> None:
        """Every start tells of the damage until it was dealt with."""
        self.path.write_bytes(b"nothing that SQLite knows" * 100)
        journal, damaged = self.open()
        assert damaged is not None
        journal.close()
        journal, again = self.open()
        self.assertEqual(again, damaged)
        journal.mended()
        journal.close()
        self.assertIsNone(self.open()[1])

    def test_removed(self) -> None:
        """Somebody who removes the file does not make every update run again."""
        self.path.unlink()
        self.assertIsNotNone(self.open()[1])

    def test_log_goes_along(self) -> None:
        """The log of a damaged journal stays with it, and never meets the new one."""
        wal = self.folder / "state.db-wal"
        wal.write_bytes(b"log")
        _, damaged = self.opened(b"junk" * 1000)
        assert damaged is not None
        self.assertFalse(wal.exists() and wal.read_bytes() == b"log")

    def test_flipped(self) -> None:
        """Whatever bit turns over, the journal opens, is moved aside, or is refused in our words."""
        random = Random(5)
        kinds = set()
        for _ in range(60):
            data = bytearray(self.sound)
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            try:
                entries, damaged = self.opened(bytes(data))
            except ClumptError:
                kinds.add("refused")
                continue
            self.assertEqual(len(entries), 0 if damaged else 99)
            kinds.add("aside" if damaged else "same")
        self.assertIn("same", kinds)


OUTCOMES = st.sampled_from([DONE, FAILED, HELD, SKIPPED])


class JournalMachine(RuleBasedStateMachine):
    """The real journal and the one in memory do the same, whatever is done, killed or unplugged."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.disk = MemoryDisk(Random(3))
        self.memory = MemoryJournal(self.disk)
        self.place = self.folder / str(len(list(self.folder.iterdir())))
        self.place.mkdir()
        self.real, _ = SqliteJournal.open(self.place / "state.db")

    def teardown(self) -> None:
        self.real.close()

    def both(self, name: str, *arguments: object) -> None:
        results = []
        for journal in (self.memory, self.real):
            try:
                results.append(getattr(journal, name)(*arguments))
            except (Conflict, ValueError, KeyError) as error:
                results.append(type(error))
        assert results[0] == results[1], results

    @rule(first=st.integers(-1, 1), count=st.integers(0, 3))
    def add(self, first: int, count: int) -> None:
        head = len(self.memory.entries())
        start = max(1, head + 1 + first)
        self.both("add_entries", [entry(seq) for seq in range(start, start + count)])

    @rule(seq=st.integers(1, 4))
    def go_on(self, seq: int) -> None:
        self.both("intend", seq)

    @rule(seq=st.integers(1, 4), outcome=OUTCOMES, at=st.floats(0, 1e10))
    def settle(self, seq: int, outcome: Outcome, at: float) -> None:
        self.both("settle", seq, outcome, at)

    @rule(number=st.integers(0, 9))
    def keep(self, number: int) -> None:
        self.both("set_reported", number)
        self.both("cache", "k", b"%d" % number)

    @precondition(lambda self: self.count < 3)
    @rule()
    def restart(self) -> None:
        self.count += 1
        self.disk.power_loss()
        self.memory = MemoryJournal(self.disk)
        self.real = killed(self.real, self.real._path.parent / "again")

    @invariant()
    def same(self) -> None:
        for name in ("entries", "states", "history", "changes", "reported"):
            assert getattr(self.memory, name)() == getattr(self.real, name)(), name
        for seq in range(1, 5):
            for name in ("outcome", "settled_at", "attempts"):
                assert getattr(self.memory, name)(seq) == getattr(self.real, name)(seq), name


class MachineTests(SynchronousTestCase):
    """L{JournalMachine}, run."""

    def test_same(self) -> None:
        """Both journals agree in every state that hypothesis reaches."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)

        class Machine(JournalMachine):
            pass

        Machine.folder = folder
        case = Machine.TestCase()
        case.settings = settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        case.runTest()
