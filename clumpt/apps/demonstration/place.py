"""Where everything of a demonstration is: one temporary folder, and a part of the loopback."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import IO

from attrs import define, field, frozen

from clumpt.apps.demonstration.loopback import LDAPS, Net
from clumpt.errors import BadInput, NothingMatched

#: How the names of the folders begin.
PREFIX = "clumpt-demo-"
#: The file that holds the process id of a demonstration and is locked as long as it runs.
_LOCK = "running"
#: The file that tells one that is left running in the background from one in somebody's terminal.
_KEPT = "kept"


@frozen
class Found:
    """
    The folder of a demonstration, which may run (C{pid}) or have been cut off (0).

    @ivar kept: was it left running, so that no terminal waits for its end?
    """

    folder: Path
    pid: int
    kept: bool = False

    @property
    def config(self) -> Path:
        """The administrator's configuration."""
        return self.folder / "admin" / "clumpt.ini"

    def remove(self) -> None:
        """Leave nothing behind."""
        for folder, _, _ in os.walk(self.folder):
            # Packages may have made folders that their owner may not write to.
            with suppress(OSError):
                os.chmod(folder, 0o700)
        shutil.rmtree(self.folder, ignore_errors=True)


@define(eq=False)
class Place:
    """
    The place of a demonstration of this process.

    @ivar folder: which nobody else may enter.
    """

    folder: Path
    net: Net
    _lock: IO[str] = field(init=False)

    @_lock.default
    def _mark(self) -> IO[str]:
        file = (self.folder / _LOCK).open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file

    @classmethod
    def make(cls, net: Net) -> Place:
        """A new one; raises L{BadInput} if there is no room."""
        try:
            return cls(Path(mkdtemp(prefix=PREFIX)).resolve(), net)
        except OSError as trouble:
            raise BadInput(f"no folder can be made in {gettempdir()}: {trouble.strerror}") from trouble

    @property
    def config(self) -> Path:
        """The administrator's configuration."""
        return Found(self.folder, os.getpid()).config

    @property
    def etc(self) -> Path:
        """What is in C{/etc} of the administrator's machine."""
        return self.config.parent

    @property
    def tls(self) -> Path:
        """What the directory server shows and trusts."""
        return self.etc / "clumpt" / "directory"

    @property
    def packages(self) -> Path:
        """Packages that are made here."""
        return self.folder / "packages"

    @property
    def log(self) -> Path:
        """What is said on the way, and what goes wrong."""
        return self.folder / "log"

    @property
    def nodes(self) -> Path:
        """A folder for each node."""
        return self.folder / "nodes"

    def etc_of(self, name: str) -> Path:
        """What is in C{/etc} of a node."""
        return self.nodes / name

    def config_of(self, name: str) -> Path:
        """The configuration of a node."""
        return self.etc_of(name) / "clumpt.ini"

    def state_of(self, name: str) -> Path:
        """What is in C{/var/lib/clumpt} of a node."""
        return self.nodes / name / "state"

    def root_of(self, name: str) -> Path:
        """What a node installs into, instead of its C{/}."""
        return self.nodes / name / "root"

    @property
    def uris(self) -> tuple[str, ...]:
        """Where the directory is."""
        return (f"ldaps://{self.net.directory}:{LDAPS}",)

    def keep(self) -> None:
        """It is left running, until somebody ends it."""
        (self.folder / _KEPT).touch()

    def remove(self) -> None:
        """Leave nothing behind."""
        Found(self.folder, 0).remove()
        self._lock.close()


def found() -> Iterator[Found]:
    """The demonstrations of this user, the newest first."""
    folders = [path for path in Path(gettempdir()).glob(f"{PREFIX}*") if _ours(path)]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(FileNotFoundError), (folder / _LOCK).open() as file:
            pid = 0 if _free(file) else int(file.read() or 0)
            yield Found(folder.resolve(), pid, (folder / _KEPT).exists())


def newest() -> Found:
    """The newest demonstration that runs; raises L{NothingMatched} if none does."""
    for one in found():
        if one.pid and one.config.exists():
            return one
    raise NothingMatched("no demonstration is running: start one with clumpt demo --keep")


def _ours(folder: Path) -> bool:
    return not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.getuid()


def _free(file: IO[str]) -> bool:
    """Does nobody hold the lock any more?"""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
