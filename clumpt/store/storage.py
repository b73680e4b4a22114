"""The real disk: every effect that the store has on files, in one place."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen
from zope.interface import implementer

from clumpt.errors import ClumptError, Damaged, NotHere, StoreFull
from clumpt.interfaces import IStorage

#: Told the name of each effect just before it happens; the kill tests die in it.
Step = Callable[[str], None]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
#: The last name on a path must not be a link either: nobody can lead our writes elsewhere.
SAFE = os.O_NOFOLLOW | os.O_CLOEXEC
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def no_step(name: str) -> None:
    """Do nothing before an effect."""


def split(path: str) -> tuple[str, ...]:
    """The names in C{path}; raises ValueError for any that is not safe."""
    names = tuple(path.split("/")) if path else ()
    for name in names:
        if NAME.fullmatch(name) is None:
            raise ValueError(f"not a safe path: {path!r}")
    return names


def said(where: Path, error: OSError) -> ClumptError:
    """What a failed call on C{where} means to us, with what the operator can do."""
    text = f"{where}: {error.strerror or error}"
    if isinstance(error, FileNotFoundError):
        return NotHere(text)
    if error.errno in FULL:
        return StoreFull(f"{text}; make room on this disk")
    if error.errno == errno.EIO:
        return Damaged(f"{text}; the disk is failing, look at the kernel's log")
    return ClumptError(f"{text}; check that this folder is writable and belongs to the user that runs Clumpt")


@implementer(IStorage)
@frozen
class DiskStorage:
    """
    The files below one folder, readable by their owner alone.

    @ivar root: the folder; made by the first L{mkdir} if it is missing.
    @ivar step: told C{write}, C{sync}, C{rename}, C{unlink}, C{mkdir} or C{sync-folder} before each effect.
    """

    root: Path
    step: Step = no_step

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Write all of C{data} at C{offset}."""
        self.step("write")
        with self._opened(path, os.O_WRONLY | os.O_CREAT) as file:
            left = memoryview(data)
            while left:
                written = os.pwrite(file, left, offset)
                left, offset = left[written:], offset + written

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most C{length} bytes from C{offset}."""
        with self._opened(path, os.O_RDONLY) as file:
            data = os.pread(file, length, offset)
            if len(data) in (0, length):
                return data
            parts = [data]
            while data:
                offset, length = offset + len(data), length - len(data)
                parts.append(data := os.pread(file, length, offset))
            return b"".join(parts)

    def sync(self, path: str) -> None:
        """Make the contents of a file durable."""
        self.step("sync")
        with self._opened(path, os.O_RDONLY) as file:
            os.fsync(file)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self.step("rename")
        with self._parent(old) as (here, name), self._parent(new) as (there, other):
            os.rename(name, other, src_dir_fd=here, dst_dir_fd=there)

    def unlink(self, path: str) -> None:
        """Remove a file, if it is there."""
        self.step("unlink")
        with suppress(NotHere), self._parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def mkdir(self, path: str) -> None:
        """Make one folder, if it is missing."""
        self.step("mkdir")
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise said(self.root, error) from error
        with self._parent(path) as (folder, name), suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        self.step("sync-folder")
        with self._saying(path), self._folder(split(path)) as folder:
            os.fsync(folder)

    def names(self, path: str) -> Sequence[str]:
        """The names in a folder, sorted."""
        with suppress(NotHere), self._saying(path), self._folder(split(path)) as folder:
            return sorted(os.listdir(folder))
        return ()

    def size(self, path: str) -> int | None:
        """Bytes in a file, None if it is not there."""
        with suppress(NotHere), self._opened(path, os.O_RDONLY) as file:
            return os.fstat(file).st_size
        return None

    def free(self) -> int:
        """Bytes that an ordinary user may still write on this file system."""
        with self._saying(""):
            room = os.statvfs(self.root)
        return room.f_bavail * room.f_frsize

    def location(self, path: str) -> Path:
        """The absolute path of a file."""
        return self.root.joinpath(*split(path)).absolute()

    @contextmanager
    def _saying(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise said(self.root / path, error) from error

    def _descend(self, names: Sequence[str]) -> int:
        """Open a folder, following no link below the root; whoever asks closes it."""
        folder = os.open(self.root, os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names:
                inner = os.open(name, os.O_DIRECTORY | SAFE, dir_fd=folder)
                os.close(folder)
                folder = inner
        except OSError:
            os.close(folder)
            raise
        return folder

    @contextmanager
    def _folder(self, names: Sequence[str]) -> Iterator[int]:
        folder = self._descend(names)
        try:
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        *folders, name = split(path)
        with self._saying(path), self._folder(folders) as folder:
            yield folder, name

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        # For every piece that comes: so not with the managers above, one in another.
        *folders, name = split(path)
        try:
            folder = self._descend(folders)
            try:
                file = os.open(name, flags | SAFE, 0o600, dir_fd=folder)
            finally:
                os.close(folder)
            try:
                yield file
            finally:
                os.close(file)
        except OSError as error:
            raise said(self.root / path, error) from error
