"""A disk in memory that forgets what was not synced, as far as POSIX lets a real one forget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from random import Random
from typing import TypeVar

from attrs import define, field
from zope.interface import implementer

from clumpt.errors import NotHere, StoreFull
from clumpt.interfaces import IStorage
from clumpt.store.storage import Step, no_step, split

T = TypeVar("T")

#: C{choose(n)}: which of n possibilities comes true, from 0.
Choose = Callable[[int], int]
#: What L{MemoryDisk.location} begins with; nothing is there.
MEMORY = Path("/memory")
ENDLESS = 1 << 50


def every(run: Callable[[Choose], T]) -> Iterator[T]:
    """The results of C{run} for every way in which its choices can fall out."""
    path: list[int] = []
    while True:
        sizes: list[int] = []

        def choose(count: int, sizes: list[int] = sizes) -> int:
            sizes.append(count)
            if len(sizes) > len(path):
                path.append(0)
            return path[len(sizes) - 1]

        yield run(choose)
        while path and path[-1] + 1 == sizes[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


class _Kind(Enum):
    FOLDER = 0
    GONE = 1


@define(eq=False)
class _File:
    data: bytearray = field(factory=bytearray)
    kept: bytearray = field(factory=bytearray)
    pending: list[tuple[int, bytes]] = field(factory=list)


_Thing = _File | _Kind


def _put(data: bytearray, offset: int, more: bytes) -> None:
    if more and offset > len(data):
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(more)] = more


def _survived(file: _File, choose: Choose) -> bytearray:
    """What a power loss leaves of a file: any of the writes since its sync, and a part of the last."""
    data = bytearray(file.kept)
    for number, (offset, more) in enumerate(file.pending, 1):
        fate = choose(4 if number == len(file.pending) and len(more) > 1 else 2)
        half = len(more) // 2
        left = (b"", more, more[:half], more[:half] + bytes(len(more) - half))[fate]
        _put(data, offset, left)
    return data


@implementer(IStorage)
@define(eq=False)
class MemoryDisk:
    """
    Files in memory.

    @ivar limit: bytes that fit, None for no limit.
    @ivar step: told the name of each effect before it happens, and may raise.
    @ivar honest: False for a disk that says that it has synced, and has not.
    """

    _random: Random
    limit: int | None = None
    step: Step = no_step
    honest: bool = True
    _names: dict[str, _Thing] = field(factory=lambda: {"": _Kind.FOLDER}, init=False)
    _kept: dict[str, _Thing] = field(factory=lambda: {"": _Kind.FOLDER}, init=False)
    #: Changes of names in folders that were not synced since.
    _changes: list[tuple[str, _Thing]] = field(factory=list, init=False)

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Write C{data}, or what fits of it and raise L{StoreFull}."""
        self.step("write")
        thing = self._names.get(path)
        if not isinstance(thing, _File):
            thing = _File()
            self._name(path, thing)
        room = len(data)
        if self.limit is not None:
            room = max(0, min(room, len(thing.data) + self.free() - offset))
        _put(thing.data, offset, data[:room])
        thing.pending.append((offset, bytes(data[:room])))
        if room < len(data):
            raise StoreFull(f"{path}: the disk is full")

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most C{length} bytes from C{offset}."""
        return bytes(self._file(path).data[offset : offset + length])

    def sync(self, path: str) -> None:
        """Make the contents of a file durable."""
        self.step("sync")
        file = self._file(path)
        if self.honest:
            for offset, more in file.pending:
                _put(file.kept, offset, more)
            file.pending.clear()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name; a power loss may keep either name, both, or none."""
        self.step("rename")
        file = self._file(old)
        self._name(new, file)
        self._name(old, _Kind.GONE)

    def unlink(self, path: str) -> None:
        """Remove a file, if it is there."""
        self.step("unlink")
        if isinstance(self._names.get(path), _File):
            self._name(path, _Kind.GONE)

    def mkdir(self, path: str) -> None:
        """Make one folder, if it is missing."""
        self.step("mkdir")
        if path not in self._names:
            self._name(path, _Kind.FOLDER)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        self.step("sync-folder")
        self._folder(path)
        if not self.honest:
            return
        for name, thing in self._changes:
            if _folder_of(name) == path:
                _set(self._kept, name, thing)
        self._changes = [change for change in self._changes if _folder_of(change[0]) != path]

    def names(self, path: str) -> Sequence[str]:
        """The names in a folder, sorted."""
        return sorted(name.rpartition("/")[2] for name in self._names if name and _folder_of(name) == path)

    def size(self, path: str) -> int | None:
        """Bytes in a file, None if it is not there."""
        thing = self._names.get(path)
        return len(thing.data) if isinstance(thing, _File) else None

    def free(self) -> int:
        """Bytes that still fit."""
        return ENDLESS if self.limit is None else max(0, self.limit - self.used)

    @property
    def used(self) -> int:
        """Bytes in all files."""
        files = {thing for thing in self._names.values() if isinstance(thing, _File)}
        return sum(len(file.data) for file in files)

    def location(self, path: str) -> Path:
        """A path below L{MEMORY}, where no program finds anything; see L{at}."""
        return MEMORY.joinpath(*split(path))

    def at(self, location: Path) -> bytes:
        """The whole file at a L{location}, for an installer in memory."""
        return bytes(self._file(location.relative_to(MEMORY).as_posix()).data)

    def crash(self) -> None:
        """The process dies: the kernel has everything that was written, so nothing is lost."""

    def power_loss(self) -> None:
        """The power goes: any of what was not synced is lost."""
        left = self._left(self._random.randrange)
        self._names, self._kept, self._changes = left._names, left._kept, left._changes

    def after_power_loss(self) -> Iterator[MemoryDisk]:
        """Every disk that a power loss at this moment may leave."""
        return every(self._left)

    def bit_flip(self, path: str) -> None:
        """One bit of a file turns over, on the disk as in the cache; does nothing to an empty file."""
        file = self._file(path)
        if file.data:
            at, bit = self._random.randrange(len(file.data)), 1 << self._random.randrange(8)
            for data in (file.data, file.kept):
                if at < len(data):
                    data[at] ^= bit

    def _left(self, choose: Choose) -> MemoryDisk:
        kept = dict(self._kept)
        for name, thing in self._changes:
            if choose(2):
                _set(kept, name, thing)
        disk = MemoryDisk(self._random, self.limit, self.step, self.honest)
        files: dict[_File, _File] = {}
        # Sorted, so that a folder comes before what is in it.
        for name, thing in sorted(kept.items(), key=lambda item: item[0]):
            if name and disk._names.get(_folder_of(name)) is not _Kind.FOLDER:
                continue
            if isinstance(thing, _File):
                if thing not in files:
                    data = _survived(thing, choose)
                    files[thing] = _File(data, bytearray(data))
                thing = files[thing]
            disk._names[name] = thing
        disk._kept = dict(disk._names)
        return disk

    def _file(self, path: str) -> _File:
        split(path)
        thing = self._names.get(path)
        if not isinstance(thing, _File):
            raise NotHere(f"{path}: no such file")
        return thing

    def _folder(self, path: str) -> None:
        if self._names.get(path) is not _Kind.FOLDER:
            raise NotHere(f"{path}: no such folder")

    def _name(self, path: str, thing: _Thing) -> None:
        split(path)
        self._folder(_folder_of(path))
        _set(self._names, path, thing)
        self._changes.append((path, thing))


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _set(names: dict[str, _Thing], path: str, thing: _Thing) -> None:
    if thing is _Kind.GONE:
        names.pop(path, None)
    else:
        names[path] = thing
