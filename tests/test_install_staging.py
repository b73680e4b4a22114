"""Packages are checked as they lie on the disk, and staged under their own names."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import Damaged
from clumpt.install.staging import stage
from tests.installing import package_of


class StageTests(SynchronousTestCase):
    """What is staged is what was signed (promise 1)."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.stage = self.folder / "stage"
        self.stage.mkdir(parents=True)
        self.path = self.folder / "hello.deb"
        self.path.write_bytes(b"hello" * 1000)
        self.package = package_of(self.path)

    def refused(self, reason: str) -> None:
        with self.assertRaisesRegex(Damaged, reason):
            stage([self.package], [str(self.path)], self.stage)
        self.assertEqual(list(self.stage.iterdir()), [])

    def test_name(self) -> None:
        """A package that is kept under its digest gets its own name back, without a copy."""
        kept = self.path.rename(self.folder / self.package.sha256)
        [staged] = stage([self.package], [str(kept)], self.stage)
        self.assertEqual(staged, str(self.stage / "hello.deb"))
        self.assertEqual(Path(staged).read_bytes(), b"hello" * 1000)
        self.assertTrue(Path(staged).samefile(kept))

    def test_copy(self) -> None:
        """Where no link can be made, a copy is, which is checked as well."""
        other = Path("/dev/shm")
        if not other.is_dir() or other.stat().st_dev == self.folder.stat().st_dev:
            self.skipTest("there is no other file system here")
        path = other / f"clumpt-{self.package.sha256}"
        path.write_bytes(self.path.read_bytes())
        self.addCleanup(path.unlink)
        [staged] = stage([self.package], [str(path)], self.stage)
        self.assertEqual(Path(staged).read_bytes(), b"hello" * 1000)

    def test_changed(self) -> None:
        """One changed byte, wherever it is, is seen."""
        data = bytearray(self.path.read_bytes())
        for at in (0, len(data) // 2, len(data) - 1):
            self.path.write_bytes(data[:at] + b"?" + data[at + 1 :])
            self.refused("is not the package that was signed")

    def test_size(self) -> None:
        """Bytes more or less are seen before anything is hashed."""
        self.path.write_bytes(b"hello" * 1000 + b"!")
        self.refused("has 5001 bytes instead of 5000")
        self.path.write_bytes(b"")
        self.refused("has 0 bytes")

    def test_link(self) -> None:
        """A symbolic link in the place of a package is not followed."""
        real = self.path.rename(self.folder / "real")
        self.path.symlink_to(real)
        with self.assertRaises(OSError):
            stage([self.package], [str(self.path)], self.stage)

    def test_missing(self) -> None:
        """As many files as packages, no more and no fewer."""
        with self.assertRaisesRegex(Damaged, "0 files for 1 packages"):
            stage([self.package], [], self.stage)

    def test_same_name(self) -> None:
        """Two packages of one update cannot have the same file name: the second would hide the first."""
        with self.assertRaises(FileExistsError):
            stage([self.package] * 2, [str(self.path)] * 2, self.stage)
