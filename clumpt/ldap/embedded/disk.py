"""The log's file on a real disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from attrs import define, field
from zope.interface import implementer

from clumpt.errors import BadInput
from clumpt.ldap.embedded.log import ILogFile

#: The log holds password hashes.
_MODE = 0o600


@implementer(ILogFile)
@define(eq=False)
class DiskLogFile:
    """
    The file C{path}, made if it is not there; its folder must be there.

    Raises L{BadInput} if another process uses it.
    """

    path: Path
    _file: int = field(init=False)
    _lock: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise BadInput(f"another process serves the directory in {self.path}: stop it first") from error
        self._open()
        self._sync_folder()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.path, flags, _MODE)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @property
    def _aside(self) -> Path:
        return self.path.with_name(self.path.name + ".new")

    def read(self) -> bytes:
        """All that is in it."""
        return self.path.read_bytes()

    def cut(self, size: int) -> None:
        """Keep only the first C{size} bytes."""
        os.ftruncate(self._file, size)
        os.fsync(self._file)

    def append(self, data: bytes) -> None:
        """Write C{data} at the end."""
        _write(self._file, data)

    def sync(self) -> None:
        """Make durable what was appended."""
        os.fdatasync(self._file)

    def write_aside(self, data: Iterable[bytes]) -> None:
        """Write the file C{path.new}; it is removed again if that fails."""
        try:
            file = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
            try:
                for piece in data:
                    _write(file, piece)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError:
            self._aside.unlink(missing_ok=True)
            raise

    def swap(self) -> None:
        """Rename C{path.new} to C{path}."""
        self._aside.rename(self.path)
        self._sync_folder()
        os.close(self._file)
        self._open()

    def close(self) -> None:
        """Let go of the file and of the lock."""
        os.close(self._file)
        os.close(self._lock)


def _write(file: int, data: bytes) -> None:
    """A write may take only a part."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
