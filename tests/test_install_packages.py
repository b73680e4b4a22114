"""What package files say of themselves."""

import builtins
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadInput
from clumpt.install.packages import Metadata, any_file, fits, read_package

CONTROL = b"""Package: hello
Version: 1:2.10-3+deb12u1~rc1
Architecture: amd64
Description: says hello
 to everybody
"""


def tar_of(name: str, data: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for member, content in (("./md5sums", b"x"), (name, data)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def ar_of(*members: tuple[str, bytes]) -> bytes:
    made = b"!<arch>\n"
    for name, data in members:
        made += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        made += data + b"\n" * (len(data) % 2)
    return made


def deb_of(control: bytes = CONTROL, suffix: str = ".xz", pack: Any = lzma.compress) -> bytes:
    packed = pack(tar_of("./control", control))
    return ar_of(("debian-binary", b"2.0\n"), (f"control.tar{suffix}", packed), ("data.tar.xz", b"..."))


def rpm_of(**said: bytes) -> bytes:
    """The lead, an empty signature, and a header of strings."""
    tags = {"name": 1000, "version": 1001, "release": 1002, "arch": 1022}
    index, store = b"", b""
    for key, value in said.items():
        index += b"".join(number.to_bytes(4, "big") for number in (tags[key], 6, len(store), 1))
        store += value + b"\0"

    def header(index: bytes, store: bytes) -> bytes:
        sizes = (len(index) // 16).to_bytes(4, "big") + len(store).to_bytes(4, "big")
        return b"\x8e\xad\xe8\x01\0\0\0\0" + sizes + index + store

    return b"\xed\xab\xee\xdb\x03" + b"\0" * 91 + header(b"", b"") + header(index, store) + b"payload"


def wheel_of(metadata: str = "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n\nText\n") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        wheel.writestr("hello-1.0.dist-info/METADATA", metadata)
        wheel.writestr("hello.py", "")
    return made.getvalue()


class ReadTests(SynchronousTestCase):
    """Names and versions come out of the files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def read(self, name: str, data: bytes) -> Metadata:
        return read_package(self.file(name, data))

    def refused(self, name: str, data: bytes, reason: str) -> None:
        with self.assertRaisesRegex(BadInput, reason):
            self.read(name, data)

    def test_deb(self) -> None:
        """A Debian package, whatever its control archive is compressed with."""
        for suffix, pack in ((".xz", lzma.compress), (".gz", gzip.compress), ("", bytes)):
            found = self.read("anything.deb", deb_of(CONTROL, suffix, pack))
            self.assertEqual(found, Metadata("hello", "1:2.10-3+deb12u1~rc1", "amd64", "dpkg"))

    def test_rpm(self) -> None:
        """An RPM package; noarch fits all."""
        said = {"name": b"hello", "version": b"2.10", "release": b"3.el9", "arch": b"noarch"}
        self.assertEqual(self.read("h.rpm", rpm_of(**said)), Metadata("hello", "2.10-3.el9", "all", "rpm"))
        self.refused("h.src.rpm", rpm_of(**said), "source package")
        del said["release"]
        self.refused("h.rpm", rpm_of(**said), "not a package: .*damaged")

    def test_no_rpmfile(self) -> None:
        """Without the reader for it, the operator is told what to install."""
        real = builtins.__import__

        def without(name: str, *rest: Any) -> Any:
            if name == "rpmfile":
                raise ImportError(name)
            return real(name, *rest)

        self.patch(builtins, "__import__", without)
        self.refused("h.rpm", b"", r"pip install 'clumpt\[admin\]'")

    def test_wheel(self) -> None:
        """A Python wheel; the architecture is in its name."""
        for tag, arch in (
            ("py3-none-any", "all"),
            ("cp311-cp311-linux_x86_64", "x86_64"),
            ("cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64", "x86_64"),
            ("1-cp311-cp311-musllinux_1_2_aarch64", "aarch64"),
            ("cp311-cp311-win_amd64", "win_amd64"),
        ):
            found = self.read(f"hello-1.0-{tag}.whl", wheel_of())
            self.assertEqual(found, Metadata("hello", "1.0", arch, "pip"))
        self.refused("hello.whl", wheel_of(), "a wheel is named")
        self.refused("hello-1.0-py3-none-any.whl", wheel_of("Name: hello\n"), "its version ''")
        self.refused("hello-1.0-py3-none-any.whl", b"PK", "damaged")

    def test_tar(self) -> None:
        """An archive has name and version in its file name, if anywhere."""
        for name, data, found in (
            ("hello-2.10.tar.gz", gzip.compress(b"x"), ("hello", "2.10")),
            ("my-site_v3.tar.xz", lzma.compress(b"x"), ("my-site", "3")),
            ("etc.tgz", gzip.compress(b"x"), ("etc", "0")),
            ("a-b-1.0-rc2.tar", b"x", ("a-b", "1.0-rc2")),
        ):
            self.assertEqual(self.read(name, data), Metadata(*found, "all", "tar"))
        self.refused("hello-1.tar", b"", "it is empty")
        self.refused("hello-1.tar.gz", b"<html>404</html>", "it does not begin as a .gz does")

    def test_no_package(self) -> None:
        """Anything else says what is expected instead."""
        self.refused("install.sh", b"#!/bin/sh\n", r"not a package: .*expected \.deb")
        self.refused("evil name.deb", deb_of(), "its file name 'evil name.deb' may only have")
        for path in (self.folder / "missing.deb", self.folder / "folder.deb"):
            if path.stem == "folder":
                path.mkdir()
            with self.assertRaisesRegex(BadInput, "not a package: "):
                read_package(path)

    def test_no_file(self) -> None:
        """A pipe with nobody at its other end, or what never ends, is refused at once."""
        os.mkfifo(self.folder / "pipe.deb")
        (self.folder / "zero.tar").symlink_to("/dev/zero")
        for name in ("pipe.deb", "zero.tar"):
            for read in (read_package, any_file):
                with self.assertRaisesRegex(BadInput, "it is not a file"):
                    read(self.folder / name)

    def test_evil_words(self) -> None:
        """What a package says of itself cannot become an option, a path or two words."""
        for word in (b"-rf", b"../x", b"a b", b"", b"\xff"):
            self.refused("a.deb", deb_of(CONTROL.replace(b"hello\n", word + b"\n", 1)), "its name")

    @given(st.data())
    def test_damaged(self, data: st.DataObject) -> None:
        """However a package is cut or changed, it is read or refused, and nothing else."""
        name, whole = data.draw(
            st.sampled_from(
                (
                    ("a.deb", deb_of()),
                    ("a.rpm", rpm_of(name=b"a", version=b"1", release=b"1", arch=b"noarch")),
                    ("a-1-py3-none-any.whl", wheel_of()),
                )
            )
        )
        at = data.draw(st.integers(0, len(whole)))
        changed = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
        try:
            self.read(name, changed)
        except BadInput as wrong:
            self.assertIn("not a package: ", str(wrong))

    def test_any_file(self) -> None:
        """Whatever can be read can be given to a command, under its own name."""
        path = self.file("setup.sh", b"")
        self.assertEqual(any_file(path), Metadata("setup.sh", "0", "all", "command"))
        for wrong in (self.folder / "missing", self.file("two words", b"")):
            with self.assertRaises(BadInput):
                any_file(wrong)


class FitsTests(SynchronousTestCase):
    """Which packages go on which nodes."""

    def test_table(self) -> None:
        """Names of the same architecture are equal, and some packages go everywhere."""
        for package, node, fit in (
            ("amd64", "x86_64", True),
            ("x86_64", "amd64", True),
            ("arm64", "aarch64", True),
            ("i686", "i386", True),
            ("all", "riscv64", True),
            ("noarch", "amd64", True),
            ("any", "amd64", True),
            ("riscv64", "riscv64", True),
            ("amd64", "", True),
            ("amd64", "arm64", False),
            ("win_amd64", "amd64", False),
            ("i386", "amd64", False),
        ):
            self.assertEqual(fits(package, node), fit, (package, node))
