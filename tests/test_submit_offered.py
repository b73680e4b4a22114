"""Files that are given away from where they lie (R63)."""

import os
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from clumpt.errors import BadInput
from clumpt.interfaces import IPieces
from clumpt.model import Package
from clumpt.pieces import Bits, HashList
from clumpt.store.offered import Offered


class OfferedTests(SynchronousTestCase):
    """L{Offered} gives pieces of local files, and only right ones."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.data = bytes(range(256)) * 2000
        self.path.write_bytes(self.data)
        self.offered = Offered()
        self.addCleanup(self.offered.withdraw)

    def package(self) -> Package:
        digest, pieces = self.offered.offer(self.path)
        return Package("p", "1", "all", "p.deb", digest, pieces)

    def test_interface(self) -> None:
        """It is what a server of pieces needs."""
        verifyObject(IPieces, self.offered)

    def test_pieces(self) -> None:
        """All pieces are there and match the list of hashes."""
        package = self.package()
        count = package.pieces.count
        self.assertEqual(self.offered.held(package), Bits.full(count))
        found = [self.offered.read(package, index) for index in range(count)]
        self.assertEqual(b"".join(filter(None, found)), self.data)
        HashList.checked(self.offered.hashes(package) or b"", package.pieces)
        for index in (-1, count):
            self.assertIsNone(self.offered.read(package, index))

    def test_replaced(self) -> None:
        """A file that is removed or replaced meanwhile is still given away as it was."""
        package = self.package()
        self.path.unlink()
        self.path.write_bytes(b"another")
        self.assertEqual(self.offered.read(package, 0), self.data[: package.pieces.size])

    def test_written_over(self) -> None:
        """What is written into the file is noticed: the piece is not there any more."""
        package = self.package()
        with self.path.open("r+b") as file:
            file.write(b"x")
        self.assertIsNone(self.offered.read(package, 0))
        self.assertIsNotNone(self.offered.read(package, 1))
        os.truncate(self.path, 0)
        self.assertIsNone(self.offered.read(package, 1))

    def test_not_offered(self) -> None:
        """Nothing is given that was not offered, was withdrawn, or was cut in another way."""
        package = self.package()
        other = evolve(package, pieces=evolve(package.pieces, size=2 * package.pieces.size))
        for wanted in (other, package):
            if wanted is package:
                self.offered.withdraw()
            self.assertEqual(self.offered.held(wanted), Bits())
            self.assertIsNone(self.offered.hashes(wanted))
            self.assertIsNone(self.offered.read(wanted, 0))

    def test_twice(self) -> None:
        """The same file twice is one offer, and no handle is lost."""
        before = len(os.listdir("/dev/fd"))
        for _ in range(3):
            self.package()
        self.offered.withdraw()
        self.assertEqual(len(os.listdir("/dev/fd")), before)

    def test_unusable(self) -> None:
        """What is no file, or has nothing in it, is refused with its name; no handle stays open."""
        empty, folder, pipe = (Path(self.mktemp()) for _ in range(3))
        empty.touch()
        folder.mkdir()
        os.mkfifo(pipe)
        before = len(os.listdir("/dev/fd"))
        for path, text in (
            (Path(self.mktemp()), "No such file"),
            (empty, "is empty"),
            (folder, "not a file"),
            (pipe, "not a file"),
        ):
            wrong = str(self.assertRaises(BadInput, self.offered.offer, path))
            self.assertIn(text, wrong)
            self.assertIn(str(path), wrong)
        self.assertEqual(len(os.listdir("/dev/fd")), before)
