"""
What package files say of themselves: name, version, architecture, and the
installer for them.  For the administrator's tools; a peer never looks inside.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from clumpt.errors import BadInput
from clumpt.install.command import COMMAND
from clumpt.model import PACKAGE_WORD

#: No metadata is longer, unpacked; and no compressed control archive.
LONGEST = 4 * 1024 * 1024
#: The architecture that fits every node.
ALL = "all"

_SYNONYMS = {
    "x86_64": "amd64",
    "x64": "amd64",
    "aarch64": "arm64",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
    "armv7l": "armhf",
    "armv7hl": "armhf",
    "armv7hnl": "armhf",
    "ppc64le": "ppc64el",
    "noarch": ALL,
    "any": ALL,
    "": ALL,
}
_TAR = re.compile(r"\.(tar|tar\.(gz|bz2|xz|zst|lzma|Z)|tgz|tbz2?|txz)$")
#: How compressed archives begin, by the end of their names.
_PACKED = {
    "gz": b"\x1f\x8b",
    "tgz": b"\x1f\x8b",
    "bz2": b"BZh",
    "tbz": b"BZh",
    "tbz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "txz": b"\xfd7zXZ\x00",
    "zst": b"\x28\xb5\x2f\xfd",
}
_TAR_NAME = re.compile(r"(?P<name>.+?)[-_]v?(?P<version>[0-9].*)")
_WHEEL_PLATFORM = re.compile(r"(?:many|musl)?linux(?:_?[0-9]+)*_(?P<arch>[a-z].*)")
_WHEEL_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = struct.Struct("16s12s6s6s8s10s2s")


@frozen
class Metadata:
    """
    What a package file says of itself, in the words of L{clumpt.model.Package}.

    @ivar arch: as the package manager names it; C{"all"} if it fits every node.
    @ivar installer: the installer to suggest for it.
    """

    name: str
    version: str
    arch: str
    installer: str


def fits(package: str, node: str) -> bool:
    """
    May a package of architecture C{package} be installed on a node of architecture C{node}?

    Different package managers' names for the same one are equal; a node of unknown architecture, an
    empty text, takes everything.
    """
    package, node = (_SYNONYMS.get(arch, arch) for arch in (package.lower(), node.lower()))
    return package == ALL or node in (ALL, package)


def read_package(path: Path) -> Metadata:
    """
    The metadata of the package in C{path}: a .deb, .rpm, .whl, or a tar archive.

    Raises L{BadInput} if it is none, cannot be read, or is named so that no peer would take it.
    """
    read = _reader(path)
    if read is None:
        kinds = ".deb, .rpm, .whl or .tar.gz"
        raise BadInput(f"not a package: {path} (expected {kinds}; any other file needs a command of its own)")
    try:
        with _opened(path) as file:
            found = read(path, file)
    except OSError as wrong:
        raise BadInput(f"not a package: {path}: {wrong.strerror or wrong}") from wrong
    except BadInput:
        raise
    except Exception as wrong:  # noqa: BLE001  # on damaged files the readers raise whatever they like
        why = wrong if isinstance(wrong, ValueError) else repr(wrong)
        raise BadInput(f"not a package: {path} is damaged or not what its name says: {why}") from wrong
    return _checked(path, found)


def any_file(path: Path) -> Metadata:
    """
    What can be said of a file that is no package, to be given to a command.

    Raises L{BadInput} if it cannot be read or sent.
    """
    try:
        _opened(path).close()
    except OSError as wrong:
        raise BadInput(f"cannot be sent: {path}: {wrong.strerror or wrong}") from wrong
    return _checked(path, Metadata(path.name, "0", ALL, COMMAND))


def _opened(path: Path) -> BinaryIO:
    # Not blocking: a pipe with nobody at its other end must not hold us up.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a file")
    return open(handle, "rb")


_Reader = Callable[[Path, BinaryIO], Metadata]


def _reader(path: Path) -> _Reader | None:
    by_suffix: Mapping[str, _Reader] = {".deb": _deb, ".rpm": _rpm, ".whl": _wheel}
    return by_suffix.get(path.suffix) or (_tar if _TAR.search(path.name) else None)


def _checked(path: Path, found: Metadata) -> Metadata:
    for what, word in (
        ("file name", path.name),
        ("name", found.name),
        ("version", found.version),
        ("architecture", found.arch),
    ):
        if not PACKAGE_WORD.fullmatch(word):
            raise BadInput(
                f"not a package: {path}: its {what} {word!r} may only have letters, digits and . _ + ~ : -"
            )
    return found


def _fields(text: bytes, *keys: str) -> list[str]:
    """The values of lines like C{Key: value}, empty for those that are not there."""
    said = BytesParser().parsebytes(text, headersonly=True)
    return [str(said[key] or "") for key in keys]


def _arch(said: str) -> str:
    return ALL if _SYNONYMS.get(said, said) == ALL else said


def _deb(path: Path, file: BinaryIO) -> Metadata:
    name, version, arch = _fields(_deb_control(path, file), "Package", "Version", "Architecture")
    return Metadata(name, version, _arch(arch), "dpkg")


def _deb_control(path: Path, file: BinaryIO) -> bytes:
    """The text of the file C{control}; only headers and the first small archive are read."""
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("no Debian archive")
    while header := file.read(_AR_HEADER.size):
        name, _, _, _, _, size, end = _AR_HEADER.unpack(header)
        length = int(size)
        if end != b"`\n" or length < 0:
            raise ValueError("a broken archive header")
        if name.startswith(b"control.tar.zst"):
            return _ask_dpkg(path)
        if name.startswith(b"control.tar"):
            return _control(file.read(min(length, LONGEST)))
        file.seek(length + length % 2, 1)
    raise ValueError("there is no control file in it")


def _control(archive: bytes) -> bytes:
    with tarfile.open(fileobj=BytesIO(archive)) as members:
        for member in members:
            if member.name in ("control", "./control") and member.size <= LONGEST:
                found = members.extractfile(member)
                return found.read() if found else b""
            if member.offset > LONGEST:
                break
    raise ValueError("there is no control file in it")


def _ask_dpkg(path: Path) -> bytes:
    """Python has no zstandard, which Ubuntu's packages are compressed with; dpkg-deb has."""
    try:
        return subprocess.run(
            ["dpkg-deb", "--field", path.absolute()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=True,
        ).stdout
    except FileNotFoundError as wrong:
        raise BadInput(
            f"to read {path}, which is compressed with zstd, dpkg-deb must be installed"
        ) from wrong
    except subprocess.SubprocessError as wrong:
        raise ValueError("dpkg-deb cannot read it") from wrong


def _rpm(path: Path, file: BinaryIO) -> Metadata:
    try:
        import rpmfile
    except ImportError as wrong:
        raise BadInput(f"to read {path}, install the extra: pip install 'clumpt[admin]'") from wrong
    with rpmfile.open(fileobj=file) as rpm:
        said = {key: rpm.headers[key].decode() for key in ("name", "version", "release", "arch")}
        # rpmfile's word for the epoch.
        epoch = rpm.headers.get("serial")
    if path.name.endswith((".src.rpm", ".nosrc.rpm")):
        raise ValueError("a source package, which cannot be installed")
    version = f"{epoch}:" * bool(epoch) + f"{said['version']}-{said['release']}"
    return Metadata(said["name"], version, _arch(said["arch"]), "rpm")


def _wheel(path: Path, file: BinaryIO) -> Metadata:
    *_, platform = path.stem.split("-")
    if path.stem.count("-") not in (4, 5):
        raise ValueError("a wheel is named NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
    with zipfile.ZipFile(file) as wheel:
        [inside] = [
            one for one in wheel.infolist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one.filename)
        ]
        with wheel.open(inside) as metadata:
            name, version = _fields(metadata.read(LONGEST), "Name", "Version")
    tag = platform.rpartition(".")[2]
    linux = _WHEEL_PLATFORM.fullmatch(tag)
    arch = linux["arch"] if linux else tag
    return Metadata(name, version, _arch(arch), "pip")


def _tar(path: Path, file: BinaryIO) -> Metadata:
    """An archive says nothing of itself but by its name; what is in it, tar looks at on each peer."""
    bare = _TAR.sub("", path.name)
    named = _TAR_NAME.fullmatch(bare)
    begins = file.read(6)
    if not begins:
        raise ValueError("it is empty")
    ending = path.name.rpartition(".")[2]
    if not begins.startswith(_PACKED.get(ending, b"")):
        raise ValueError(f"it does not begin as a .{ending} does")
    return Metadata(named["name"], named["version"], ALL, "tar") if named else Metadata(bare, "0", ALL, "tar")
