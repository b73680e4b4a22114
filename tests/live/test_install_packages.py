"""Packages as the real tools make them."""

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadInput
from clumpt.install.packages import Metadata, read_package
from tests.live.debs import make_deb
from tests.live.rpms import make_rpm


class RealPackageTests(SynchronousTestCase):
    """What dpkg-deb and rpmbuild make can be read."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def test_deb(self) -> None:
        """A Debian package of every compression, zstd of Ubuntu included."""
        if shutil.which("dpkg-deb") is None:
            self.skipTest("there is no dpkg-deb here")
        for compression in ("none", "gzip", "xz", "zstd"):
            deb = make_deb(self.folder / compression, compression=compression)
            self.assertEqual(read_package(deb), Metadata("hello", "1.0", "all", "dpkg"))

    def test_broken_zstd(self) -> None:
        """What dpkg-deb cannot read is no package."""
        if shutil.which("dpkg-deb") is None:
            self.skipTest("there is no dpkg-deb here")
        deb = make_deb(self.folder, compression="zstd")
        deb.write_bytes(deb.read_bytes()[:150])
        with self.assertRaisesRegex(BadInput, "not a package: .*dpkg-deb cannot read it"):
            read_package(deb)

    def test_rpm(self) -> None:
        """An RPM package, with its epoch."""
        if shutil.which("rpmbuild") is None:
            self.skipTest("there is no rpmbuild here")
        self.assertEqual(read_package(make_rpm(self.folder)), Metadata("hello", "1:2.10-3", "all", "rpm"))
