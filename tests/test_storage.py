"""Effects on files: the same on a disk and in memory, but for what a power loss leaves."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import ClumptError, Damaged, NotHere, StoreFull
from clumpt.interfaces import IStorage
from clumpt.store.storage import DiskStorage, said, split
from clumpt.testing.disk import MemoryDisk, every


class StorageContract:
    """What every L{IStorage} does."""

    make: Callable[[], IStorage]
    steps: list[str]

    def setUp(self) -> None:
        self.steps = []
        self.storage = self.make()
        self.storage.mkdir("a")
        self.storage.mkdir("b")

    def test_write_and_read(self) -> None:
        """Bytes are found where they were written; a gap is zeros."""
        self.storage.write("a/x", 4, b"four")
        self.assertEqual(self.storage.read("a/x", 0, 100), b"\0\0\0\0four")
        self.storage.write("a/x", 0, b"zero")
        self.assertEqual(self.storage.read("a/x", 2, 4), b"rofo")
        self.assertEqual(self.storage.read("a/x", 8, 4), b"")
        self.assertEqual(self.storage.size("a/x"), 8)

    def test_empty(self) -> None:
        """To write nothing makes an empty file."""
        self.storage.write("a/x", 0, b"")
        self.assertEqual((self.storage.size("a/x"), self.storage.names("a")), (0, ["x"]))

    def test_rename(self) -> None:
        """A file moves over whatever had the name."""
        self.storage.write("a/x", 0, b"new")
        self.storage.write("b/y", 0, b"older")
        self.storage.rename("a/x", "b/y")
        self.assertEqual(self.storage.read("b/y", 0, 9), b"new")
        self.assertIsNone(self.storage.size("a/x"))

    def test_unlink(self) -> None:
        """What is removed is gone, and what is gone can be removed."""
        self.storage.write("a/x", 0, b"1")
        self.storage.unlink("a/x")
        self.storage.unlink("a/x")
        self.assertEqual(list(self.storage.names("a")), [])

    def test_mkdir(self) -> None:
        """A folder that is there stays as it is."""
        self.storage.write("a/x", 0, b"1")
        self.storage.mkdir("a")
        self.assertEqual(list(self.storage.names("a")), ["x"])
        self.assertEqual(list(self.storage.names("")), ["a", "b"])

    def test_missing(self) -> None:
        """What is not there is said to be so."""
        self.assertEqual((self.storage.size("a/x"), list(self.storage.names("c"))), (None, []))
        for act in (
            lambda: self.storage.read("a/x", 0, 1),
            lambda: self.storage.sync("a/x"),
            lambda: self.storage.rename("a/x", "a/y"),
            lambda: self.storage.write("c/x", 0, b"1"),
            lambda: self.storage.mkdir("c/d"),
            lambda: self.storage.sync_folder("c"),
        ):
            with self.assertRaises(NotHere):
                act()

    def test_steps(self) -> None:
        """Each effect is told before it happens."""
        self.steps.clear()
        self.storage.write("a/x", 0, b"1")
        self.storage.sync("a/x")
        self.storage.rename("a/x", "a/y")
        self.storage.sync_folder("a")
        self.storage.unlink("a/y")
        self.assertEqual(self.steps, ["write", "sync", "rename", "sync-folder", "unlink"])

    def test_free(self) -> None:
        """There is room."""
        self.assertGreater(self.storage.free(), 0)

    def test_unsafe(self) -> None:
        """No path leads out of the root."""
        for path in ("..", "a/../../x", "/etc/x", "a//x", "a/.x", "a/x\n", "a/\0", "a/é"):
            with self.assertRaises(ValueError, msg=path):
                self.storage.write(path, 0, b"1")
            with self.assertRaises(ValueError, msg=path):
                self.storage.location(path)


class DiskStorageTests(StorageContract, SynchronousTestCase):
    """L{DiskStorage} keeps the contract."""

    def make(self) -> IStorage:
        self.root = Path(self.mktemp()) / "state"
        return DiskStorage(self.root, self.steps.append)

    def test_private(self) -> None:
        """Nobody but the owner can look."""
        self.storage.write("a/x", 0, b"1")
        for path in (self.root, self.root / "a", self.root / "a" / "x"):
            self.assertEqual(path.stat().st_mode & 0o077, 0)

    def test_links(self) -> None:
        """No link below the root is followed, to a file or to a folder."""
        elsewhere = Path(self.mktemp())
        elsewhere.mkdir()
        (elsewhere / "x").write_bytes(b"precious")
        (self.root / "link").symlink_to(elsewhere.absolute())
        (self.root / "a" / "x").symlink_to((elsewhere / "x").absolute())
        for path in ("link/x", "a/x"):
            with self.assertRaises(ClumptError):
                self.storage.write(path, 0, b"1")
            with self.assertRaises(ClumptError):
                self.storage.read(path, 0, 1)
        self.assertEqual((elsewhere / "x").read_bytes(), b"precious")

    def test_short(self) -> None:
        """What the kernel writes or reads by halves is completed."""
        real_write, real_read = os.pwrite, os.pread
        self.patch(os, "pwrite", lambda file, data, offset: real_write(file, data[:3], offset))
        self.patch(os, "pread", lambda file, length, offset: real_read(file, min(length, 4), offset))
        self.storage.write("a/x", 0, b"0123456789")
        self.assertEqual(self.storage.read("a/x", 1, 100), b"123456789")
        self.assertEqual(self.storage.read("a/x", 1, 7), b"1234567")

    def test_location(self) -> None:
        """Other programs get an absolute path."""
        self.storage.write("a/x", 0, b"1")
        self.assertTrue(self.storage.location("a/x").is_absolute())
        self.assertEqual(self.storage.location("a/x").read_bytes(), b"1")

    def test_errors(self) -> None:
        """The kernel's errors say whose fault it is and what to do."""
        for number, kind, text in (
            (errno.ENOSPC, StoreFull, "make room"),
            (errno.EDQUOT, StoreFull, "make room"),
            (errno.EIO, Damaged, "kernel's log"),
            (errno.ENOENT, NotHere, "No such file"),
            (errno.EACCES, ClumptError, "writable"),
            (errno.EROFS, ClumptError, "writable"),
        ):
            found = said(Path("/x"), OSError(number, os.strerror(number)))
            self.assertIs(type(found), kind)
            self.assertIn(text, str(found))

    def test_failing(self) -> None:
        """An error in any call arrives in our words."""

        def fail(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self.storage.write("a/x", 0, b"1")
        for name in ("fsync", "pread", "statvfs"):
            self.patch(os, name, fail)
        for act in (
            lambda: self.storage.sync("a/x"),
            lambda: self.storage.sync_folder("a"),
            lambda: self.storage.read("a/x", 0, 1),
            self.storage.free,
        ):
            with self.assertRaises(Damaged):
                act()

    def test_root_in_the_way(self) -> None:
        """A root that cannot be a folder is named."""
        path = Path(self.mktemp())
        path.write_bytes(b"")
        with self.assertRaisesRegex(ClumptError, path.name):
            DiskStorage(path).mkdir("a")


class MemoryDiskTests(StorageContract, SynchronousTestCase):
    """L{MemoryDisk} keeps the contract, and forgets as POSIX allows."""

    def make(self) -> IStorage:
        self.disk = MemoryDisk(Random(1), step=self.steps.append)
        return self.disk

    def left(self, path: str) -> set[bytes | None]:
        """What a power loss may leave of a file, None for nothing."""
        return {
            disk.read(path, 0, 99) if disk.size(path) is not None else None
            for disk in self.disk.after_power_loss()
        }

    def test_unsynced(self) -> None:
        """Without any sync all, nothing and anything between may be left."""
        self.disk.sync_folder("")
        self.disk.write("a/x", 0, b"1234")
        self.assertEqual(self.left("a/x"), {None, b"", b"12", b"12\0\0", b"1234"})

    def test_synced(self) -> None:
        """After a sync of file and folders, all of it is left."""
        self.disk.write("a/x", 0, b"1234")
        self.disk.sync("a/x")
        self.assertEqual(self.left("a/x"), {None, b"1234"})
        self.disk.sync_folder("a")
        self.assertEqual(self.left("a/x"), {None, b"1234"})
        self.disk.sync_folder("")
        self.assertEqual(self.left("a/x"), {b"1234"})
        self.disk.power_loss()
        self.assertEqual(self.disk.read("a/x", 0, 9), b"1234")

    def test_any_order(self) -> None:
        """The disk may have written the later of two writes and not the earlier."""
        for folder in ("a", ""):
            self.disk.write("a/x", 0, b"")
            self.disk.sync("a/x")
            self.disk.sync_folder(folder)
        self.disk.write("a/x", 0, b"1")
        self.disk.write("a/x", 1, b"2")
        self.assertEqual(self.left("a/x"), {b"", b"1", b"\0002", b"12"})

    def test_renamed(self) -> None:
        """A rename that was not synced leaves either name, both, or none."""
        self.disk.write("a/x", 0, b"1")
        self.disk.sync("a/x")
        for folder in ("a", ""):
            self.disk.sync_folder(folder)
        self.disk.rename("a/x", "b/x")
        found = {(disk.size("a/x"), disk.size("b/x")) for disk in self.disk.after_power_loss()}
        self.assertEqual(found, {(1, None), (None, 1), (1, 1), (None, None)})
        self.disk.sync_folder("b")
        found = {(disk.size("a/x"), disk.size("b/x")) for disk in self.disk.after_power_loss()}
        self.assertEqual(found, {(1, 1), (None, 1)})

    def test_process_dies(self) -> None:
        """The death of the process costs nothing."""
        self.disk.write("a/x", 0, b"1234")
        self.disk.crash()
        self.assertEqual(self.disk.read("a/x", 0, 9), b"1234")

    def test_full(self) -> None:
        """A full disk takes what fits, as a real one does, and tells."""
        self.disk.limit = 6
        self.disk.write("a/x", 0, b"1234")
        with self.assertRaises(StoreFull):
            self.disk.write("a/y", 0, b"1234")
        self.assertEqual((self.disk.read("a/y", 0, 9), self.disk.free()), (b"12", 0))
        self.disk.write("a/x", 0, b"4321")
        self.disk.unlink("a/y")
        self.assertEqual(self.disk.free(), 2)

    def test_flip(self) -> None:
        """One bit turns over, for good."""
        self.disk.write("a/x", 0, b"\0\0\0")
        self.disk.bit_flip("a/x")
        found = self.disk.read("a/x", 0, 9)
        self.assertEqual(int.from_bytes(found, "big").bit_count(), 1)

    def test_at(self) -> None:
        """An installer in memory finds what a path names."""
        self.disk.write("a/x", 0, b"1234")
        self.assertEqual(self.disk.at(self.disk.location("a/x")), b"1234")

    def test_liar(self) -> None:
        """A disk that lies about syncing loses what it said it had."""
        self.disk.honest = False
        self.disk.write("a/x", 0, b"12")
        self.disk.sync("a/x")
        for folder in ("a", ""):
            self.disk.sync_folder(folder)
        self.assertIn(None, self.left("a/x"))


class EveryTests(SynchronousTestCase):
    """L{every} leaves no possibility out."""

    def test_all(self) -> None:
        """Choices may depend on earlier ones."""
        found = list(every(lambda choose: (choose(2), choose(3)) if choose(2) else None))
        self.assertEqual(found, [None, *((one, other) for one in range(2) for other in range(3))])


class SplitTests(SynchronousTestCase):
    """Paths are names and slashes."""

    def test_split(self) -> None:
        """The empty path is the root."""
        self.assertEqual((split(""), split("a/b-c.d")), ((), ("a", "b-c.d")))
