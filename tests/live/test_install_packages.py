"""Packages as the real tools make them."""

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadInput
from clumpt.install.packages import Metadata, read_package
from tests.live.debs import make_deb

_SPEC = """Name: hello
Version: 2.10
Release: 3
Epoch: 1
Summary: says hello
License: MIT
BuildArch: noarch
%description
%files
"""


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
        spec = self.folder / "hello.spec"
        spec.write_text(_SPEC)
        subprocess.run(
            ["rpmbuild", "-bb", "--define", f"_topdir {self.folder}", spec], check=True, capture_output=True
        )
        [rpm] = self.folder.rglob("*.rpm")
        self.assertEqual(read_package(rpm), Metadata("hello", "1:2.10-3", "all", "rpm"))
