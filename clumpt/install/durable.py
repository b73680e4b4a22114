"""Files that are there whole after power loss, and a lock that its holder's death frees."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from attrs import define, field


def write_durably(path: Path, data: bytes) -> None:
    """
    Make C{data} the contents of C{path}: after power loss it is there whole, or not at all.

    Only one process at a time may do so; what one left that died in it goes with the next.
    """
    aside = path.with_name(f".{path.name}.aside")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    aside.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in C{path} durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@define
class Lock:
    """The right to run an installer on this node, freed by L{release} or by the death of the process."""

    _path: Path
    _descriptor: int | None = field(default=None, init=False)

    def take(self) -> bool:
        """Take it, without waiting; False if somebody else has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let others have it; does nothing if it was not taken."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
