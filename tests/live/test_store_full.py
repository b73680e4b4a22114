"""A real file system that has no room."""

import os
import subprocess
from pathlib import Path

from twisted.internet.defer import execute
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from clumpt.errors import StoreFull
from clumpt.pieces import SMALLEST, Bits
from clumpt.store.journal import SqliteJournal
from clumpt.store.repository import FileRepository
from clumpt.store.storage import DiskStorage
from clumpt.testing.contracts.journal import DONE, entry
from clumpt.testing.contracts.repository import package_of, piece, some_bytes


class FullTests(SynchronousTestCase):
    """A file system in memory of half a megabyte."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "clumpt-test", str(self.root)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
            raise SkipTest("cannot mount a file system here")
        self.addCleanup(subprocess.run, ["umount", str(self.root)], check=True)

    def hog(self) -> Path:
        """Somebody else takes all the room there is."""
        path = self.root / "hog"
        with path.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return path
        raise AssertionError("endless")

    def test_repository(self) -> None:
        """A package is refused before it begins or while it arrives, and arrives once there is room."""
        storage = DiskStorage(self.root)
        repository = self.successResultOf(FileRepository.open(storage, execute, spare=0))
        too_large, _ = package_of(bytes(600_000))
        with self.assertRaisesRegex(StoreFull, "free on the disk"):
            repository.assemble(too_large)
        data = some_bytes(5 * SMALLEST)
        package, raw = package_of(data)
        assembly = repository.assemble(package)
        assembly.put_hashes(raw)
        assembly.put(0, piece(package, data, 0))
        hog = self.hog()
        with self.assertRaisesRegex(StoreFull, "make room"):
            assembly.put(1, piece(package, data, 1))
        self.assertEqual(repository.held(package), Bits(1))
        with self.assertRaises(StoreFull):
            repository.assemble(package_of(b"small")[0])
        hog.unlink()
        for index in range(1, 5):
            self.assertTrue(assembly.put(index, piece(package, data, index)))
        self.successResultOf(assembly.finish())
        self.assertTrue(repository.holds(package.sha256))

    def test_journal(self) -> None:
        """What cannot be written is refused, and nothing that was written is lost by it."""
        journal, _ = SqliteJournal.open(self.root / "state.db")
        self.addCleanup(journal.close)
        journal.add_entries([entry(1)])
        hog = self.hog()
        with self.assertRaisesRegex(StoreFull, "make room"):
            for number in range(1000):
                journal.cache(str(number), bytes(4096))
        self.assertEqual(len(journal.entries()), 1)
        hog.unlink()
        journal.intend(1)
        journal.settle(1, DONE, 1.0)
        self.assertEqual(journal.outcome(1), DONE)
