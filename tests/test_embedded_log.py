"""The log: nothing that was answered for is ever lost (R13, R15)."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from clumpt.errors import BadInput, Damaged, IdentityError
from clumpt.ldap.embedded.disk import DiskLogFile
from clumpt.ldap.embedded.log import ILogFile, Log
from clumpt.ldap.embedded.store import Store
from clumpt.testing.logfile import MemoryLogFile
from tests.embedded_case import BASE, SCHEMA, EmbeddedCase, new_store
from tests.ldapclient import REPLACE

RECORDS = [{"n": number, "text": "x" * number} for number in range(5)]


def loaded(content: bytes) -> list[Any]:
    return list(Log(MemoryLogFile(content), Clock()).load())


class LogTests(SynchronousTestCase):
    """Records in a file."""

    def setUp(self) -> None:
        self.clock, self.file = Clock(), MemoryLogFile()
        self.log = Log(self.file, self.clock)
        self.assertEqual(list(self.log.load()), [])
        self.told: list[str] = []

    def keep(self, *records: Any) -> None:
        for record in records:
            self.log.append(record)
        self.clock.advance(0)

    def test_remembers(self) -> None:
        """What was kept is there again, in order."""
        self.keep(*RECORDS[:2])
        self.keep(*RECORDS[2:])
        self.assertEqual(loaded(self.file.durable), RECORDS)

    def test_one_sync_a_turn(self) -> None:
        """All changes of one turn cost one fsync."""
        self.keep(*RECORDS)
        self.assertEqual(self.file.syncs, 1)

    def test_settled_waits(self) -> None:
        """Nobody is told before everything is durable; afterwards nobody waits."""
        self.log.append(RECORDS[0])
        self.log.settled(lambda: self.told.append(self.file.durable.decode()))
        self.assertEqual(self.told, [])
        self.clock.advance(0)
        self.assertIn('"n":0', self.told[0])
        self.log.settled(lambda: self.told.append("at once"))
        self.assertEqual(self.told[1:], ["at once"])

    def test_torn_anywhere(self) -> None:
        """Cut at any byte, the log holds the whole turns before the cut, and goes on from there."""
        for record in RECORDS:
            self.keep(record)
        content = self.file.durable
        for size in range(len(content) + 1):
            file = MemoryLogFile(content[:size])
            log = Log(file, self.clock)
            whole = content[:size].count(b"\n")
            self.assertEqual(list(log.load()), RECORDS[:whole])
            log.append({"new": size})
            self.clock.advance(0)
            self.assertEqual(loaded(file.durable), [*RECORDS[:whole], {"new": size}])

    def test_end_before_middle(self) -> None:
        """A last line of which the end reached the disk, but not the middle, was never answered for."""
        self.keep(*RECORDS)
        size = len(self.file.durable)
        self.keep({"text": "y" * 100})
        hole = self.file.durable[:size] + b"\0" * 60 + self.file.durable[size + 60 :]
        self.assertEqual(loaded(hole), RECORDS)

    def test_damaged_anywhere(self) -> None:
        """One wrong bit before the last line is noticed, never passed over."""
        for record in RECORDS:
            self.keep(record)
        content = self.file.durable
        for place in range(content.rindex(b"\n", 0, -1)):
            wrong = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            with self.assertRaises(Damaged):
                loaded(wrong)

    def test_missing_line(self) -> None:
        """A line that is missing in the middle is noticed too."""
        for record in RECORDS:
            self.keep(record)
        lines = self.file.durable.splitlines(keepends=True)
        for missing in range(len(lines) - 1):
            with self.assertRaises(Damaged):
                loaded(b"".join(lines[:missing] + lines[missing + 1 :]))

    def test_broken(self) -> None:
        """After a failed write or fsync the log is broken for good, and whoever waits can see it."""
        for step in ("append", "sync"):
            file = MemoryLogFile(failing={step})
            log = Log(file, self.clock)
            log.append(RECORDS[0])
            log.settled(lambda log=log: self.told.append(type(log.broken).__name__))
            self.clock.advance(0)
            file.failing.clear()
            log.append(RECORDS[1])
            self.clock.advance(0)
            self.assertEqual(file.durable, b"")
        self.assertEqual(self.told, ["OSError", "OSError"])

    def test_rewritten(self) -> None:
        """A rewritten log says what it was given, and what is appended later."""
        self.keep(*RECORDS)
        self.log.append({"pending": 1})
        self.log.rewrite([{"all": n} for n in range(1234)])
        self.log.settled(lambda: self.told.append("settled"))
        self.keep({"later": 1})
        self.assertEqual(loaded(self.file.durable), [*({"all": n} for n in range(1234)), {"later": 1}])
        self.assertEqual((self.log.length, self.told), (1235, ["settled"]))

    def test_not_rewritten(self) -> None:
        """Without room for another file the log goes on as it was."""
        self.keep(*RECORDS)
        self.file.failing.add("write_aside")
        self.log.rewrite([{"all": 1}])
        self.keep({"later": 1})
        self.assertEqual(loaded(self.file.durable), [*RECORDS, {"later": 1}])
        self.assertIsNone(self.log.broken)

    def test_swap_fails(self) -> None:
        """If nobody knows which of two files is the log, nothing more is answered for."""
        self.file.failing.add("swap")
        self.log.rewrite([{"all": 1}])
        self.assertIsNotNone(self.log.broken)

    def test_close(self) -> None:
        """Closing keeps what is pending and leaves no timer behind."""
        self.log.append(RECORDS[0])
        self.log.close()
        self.assertEqual(loaded(self.file.durable), RECORDS[:1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @given(st.binary(max_size=200))
    def test_any_bytes(self, content: bytes) -> None:
        """Whatever the file holds, it is read, or cut, or refused as damaged."""
        try:
            self.assertEqual(loaded(content), [])
        except Damaged:
            self.assertIn(b"\n", content)


class LogFileContract:
    """What every L{ILogFile} must do."""

    def make_file(self) -> Any:
        raise NotImplementedError

    def test_interface(self) -> None:
        """It has all that the interface names."""
        file = self.make_file()
        self.assertTrue(verifyObject(ILogFile, file))
        file.close()

    def test_grows(self) -> None:
        """What is appended is read, in order; what is cut off is not."""
        file = self.make_file()
        self.assertEqual(file.read(), b"")
        file.append(b"one")
        file.append(b"two")
        file.sync()
        self.assertEqual(file.read(), b"onetwo")
        file.cut(4)
        file.append(b"three")
        file.sync()
        self.assertEqual(file.read(), b"onetthree")
        file.close()

    def test_aside(self) -> None:
        """What is written aside counts from the swap on, and grows then."""
        file = self.make_file()
        file.append(b"one")
        file.sync()
        file.write_aside([b"t", b"wo"])
        self.assertEqual(file.read(), b"one")
        file.swap()
        self.assertEqual(file.read(), b"two")
        file.append(b"!")
        file.sync()
        self.assertEqual(file.read(), b"two!")
        file.close()


class MemoryFileTests(LogFileContract, SynchronousTestCase):
    """L{MemoryLogFile} keeps the contract."""

    def make_file(self) -> Any:
        return MemoryLogFile()

    def test_crash(self) -> None:
        """A crash leaves what was synced, and as much of the rest as the test says."""
        file = MemoryLogFile()
        file.append(b"kept")
        file.sync()
        file.append(b"perhaps")
        self.assertEqual(file.crash().read(), b"kept")
        self.assertEqual(file.crash(3).read(), b"keptper")


class DiskTests(LogFileContract, SynchronousTestCase):
    """L{DiskLogFile} keeps the contract, on a real disk."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.clock = Clock()

    def make_file(self) -> Any:
        return DiskLogFile(self.path)

    def test_remembers(self) -> None:
        """What was kept, cut and replaced is what the next process finds."""
        file = DiskLogFile(self.path)
        log = Log(file, self.clock)
        self.assertEqual(list(log.load()), [])
        log.append(RECORDS[0])
        self.clock.advance(0)
        log.rewrite(RECORDS)
        log.append({"later": 1})
        log.close()
        with self.path.open("ab") as torn:
            torn.write(b"torn")
        for _ in range(2):
            file = DiskLogFile(self.path)
            self.assertEqual(list(Log(file, self.clock).load()), [*RECORDS, {"later": 1}])
            file.close()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_one_process(self) -> None:
        """Two servers on one log would destroy it: the second is refused."""
        file = DiskLogFile(self.path)
        with self.assertRaises(BadInput) as caught:
            DiskLogFile(self.path)
        self.assertIn("another process", str(caught.exception))
        file.close()
        DiskLogFile(self.path).close()

    def test_no_room_aside(self) -> None:
        """A file that could not be written aside leaves nothing behind."""

        def pieces() -> Any:
            yield b"some"
            raise OSError(28, "No space left on device")

        file = DiskLogFile(self.path)
        with self.assertRaises(OSError):
            file.write_aside(pieces())
        file.close()
        self.assertEqual(sorted(p.name for p in self.path.parent.glob(f"{self.path.name}*.new")), [])


class StoreLogTests(EmbeddedCase):
    """A directory with a log."""

    def logged(self, file: MemoryLogFile) -> Store:
        return new_store(log=Log(file, self.clock))

    def test_kill_between_write_and_fsync(self) -> None:
        """However much of the unfinished turn reaches the disk, what was answered for is there."""
        file = MemoryLogFile()
        self.serve(self.logged(file))
        admin = self.admin()
        self.assertEqual(self.ask(admin.modify(BASE, (REPLACE, "clumptInitial", ["50"]))), 0)
        file.failing.add("sync")
        admin.modify(BASE, (REPLACE, "clumptInitial", ["60"])).addErrback(lambda _: None)
        self.settle()
        unfinished = len(file.read()) - len(file.durable)
        self.assertGreater(unfinished, 100)
        for kept in range(unfinished):
            survivor = self.logged(file.crash(kept))
            settings = survivor.get(survivor.top).attributes
            self.assertEqual(list(settings["clumptinitial"].values), [50])

    def test_answers_wait(self) -> None:
        """No answer leaves before the change is durable, and no reader sees what might be lost."""
        file = MemoryLogFile()
        self.serve(self.logged(file))
        writer, reader = self.admin(), self.admin()
        waiting = writer.modify(BASE, (REPLACE, "clumptInitial", ["50"]))
        reading = reader.search(BASE, 0)
        for wire in self.wires:
            wire.carry()
        for wire in self.wires:
            wire.carry()
        self.assertNoResult(waiting)
        self.assertNoResult(reading)
        self.settle()
        self.assertEqual(self.successResultOf(waiting), 0)
        self.assertEqual(self.successResultOf(reading)[1][BASE]["clumptInitial"], [b"50"])

    def test_disk_full(self) -> None:
        """When nothing can be kept any more, every client is told and nobody gets in again."""
        file = MemoryLogFile()
        self.serve(self.logged(file))
        admin, other = self.admin(), self.admin()
        file.failing.add("append")
        lost = admin.modify(BASE, (REPLACE, "clumptInitial", ["50"]))
        self.settle()
        self.failureResultOf(lost, ConnectionDone)
        self.assertEqual([notice.resultCode for notice in admin.notices], [52])
        refused = other.search(BASE)
        self.settle()
        self.failureResultOf(refused, ConnectionDone)
        self.connect()
        self.settle()
        self.assertTrue(self.wires[-1].server_side.disconnected)

    def test_restart(self) -> None:
        """Everything is there after a restart: entries, removals, order, uniqueness."""
        file = MemoryLogFile()
        self.serve(self.logged(file))
        admin = self.admin()
        for number in (2, 1, 3):
            self.assertEqual(self.ask(admin.add(*update(number))), 0)
        self.assertEqual(self.ask(admin.delete(update(2)[0])), 0)
        before = self.ask(admin.search(BASE))
        self.serve(self.logged(file.crash()))
        admin = self.admin()
        self.assertEqual(self.ask(admin.search(BASE)), before)
        dn, attributes = update(4)
        self.assertEqual(self.ask(admin.add(dn, {**attributes, "clumptSubmitId": ["s1"]})), 19)

    def test_shortened(self) -> None:
        """A log that says everything many times over is rewritten, and says the same."""
        file = MemoryLogFile()
        self.serve(self.logged(file))
        self.store._rewrite_at = 50
        admin = self.admin()
        for value in range(100):
            self.assertEqual(self.ask(admin.modify(BASE, (REPLACE, "clumptInitial", [str(value + 1)]))), 0)
        self.assertLess(file.durable.count(b'"entry"'), 70)
        again = self.logged(file.crash())
        self.assertEqual(list(again.get(again.top).attributes["clumptinitial"].values), [100])
        self.assertEqual(len(again), len(self.store))

    def test_wrong_log(self) -> None:
        """A log of another base, of a later program, or with entries no schema allows is refused."""
        file = MemoryLogFile()
        self.logged(file)
        self.clock.advance(0)
        with self.assertRaises(IdentityError):
            Store("o=other", SCHEMA, Log(file.crash(), self.clock))
        for header, record in (
            ({"format": 99}, {}),
            ({"format": 1, "base": BASE}, {"entry": "bogus=1", "gone": {}, "come": {}}),
            ({"format": 1, "base": BASE}, {"removed": BASE}),
            ({"format": 1, "base": BASE}, {"entry": BASE, "gone": {}, "come": {"bogus": []}}),
            ({"format": 1, "base": BASE}, {}),
        ):
            file = MemoryLogFile()
            log = Log(file, self.clock)
            log.append(header)
            log.append(record)
            self.clock.advance(0)
            with self.assertRaises(Damaged):
                Store(BASE, SCHEMA, Log(file, self.clock))


def update(number: int) -> tuple[str, dict[str, list[str]]]:
    return f"clumptSeq={number},ou=updates,{BASE}", {
        "objectClass": ["clumptUpdate"],
        "clumptSeq": [str(number)],
        "clumptSubmitId": [f"s{number}"],
        "clumptEnvelope": ["{}"],
    }
