"""The packages held here (R22, R30), each under the name that its own bytes give it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import Deferred, DeferredLock, DeferredSemaphore
from twisted.logger import Logger
from zope.interface import implementer

from clumpt.aio import deferred, unattended
from clumpt.errors import ClumptError, Damaged, NotHere, StoreFull
from clumpt.interfaces import IRepository, IStorage
from clumpt.model import Package
from clumpt.pieces import SMALL, Bits, Digest, HashList, Pieces
from clumpt.store import keeping, layout
from clumpt.store.assembly import Assembly
from clumpt.store.scan import Found, scan

#: C{in_thread(function, *arguments)}: fires with the result, once a thread has come to it.
InThread = Callable[..., Deferred[Any]]

#: Bytes of the disk that packages leave free, for the journal and for everybody else.
SPARE = 16 * 1024 * 1024
#: Packages that are made durable at a time: the file system then waits for the disk once, not for each.
FINISHING = 8
#: Hash lists kept in memory, at most 32 KiB each.
MOST_LISTS = 64


@implementer(IRepository)
@define(eq=False)
class FileRepository:
    """
    Packages as files; begin with L{open}.

    Long work on the disk is done in threads: packages that have arrived are finished a few at a time;
    what reads whole packages once more is done one at a time, to be gentle to the node.

    @ivar damaged: called with the digest of a whole package that was set aside, as it is damaged.
    """

    _storage: IStorage
    _in_thread: InThread
    _quota: int
    _spare: int
    _found: Found
    damaged: Callable[[Digest], object] = field(default=lambda digest: None, init=False)
    _assemblies: dict[Digest, Assembly] = field(factory=dict, init=False)
    _lists: dict[Digest, tuple[Pieces, HashList]] = field(factory=dict, init=False)
    _turn: DeferredLock = Factory(DeferredLock)
    _finishing: DeferredSemaphore = Factory(lambda: DeferredSemaphore(FINISHING))
    log = Logger()

    @classmethod
    @deferred
    async def open(
        cls, storage: IStorage, in_thread: InThread, quota: int = 0, spare: int = SPARE
    ) -> FileRepository:
        """
        Look at what is on the disk, and clean up after an interrupted run.

        @param quota: bytes that packages may take, 0 for as many as the disk has.
        @param spare: bytes of the disk that are left free.

        Fires with the repository; fails with L{ClumptError} if the folder cannot be used.
        """
        return cls(storage, in_thread, quota, spare, await in_thread(scan, storage))

    def holds(self, digest: Digest) -> bool:
        """Is the whole package here?"""
        return digest in self._found.whole

    def digests(self) -> Collection[Digest]:
        """All whole packages here."""
        return tuple(sorted(self._found.whole))

    def path(self, digest: Digest) -> Path:
        """Where the whole package lies."""
        if not self.holds(digest):
            raise NotHere(f"package {digest} is not in the repository")
        return self._storage.location(layout.whole(digest))

    def usage(self) -> int:
        """Bytes in packages: whole, arriving and damaged."""
        found = self._found
        arrived = sum(assembly.arrived for assembly in self._assemblies.values())
        resumed = sum(sum(map(one.pieces.length, one.held)) for one in found.arrivals.values())
        return sum(found.whole.values()) + sum(found.damaged.values()) + arrived + resumed

    def held(self, package: Package) -> Bits:
        """The verified pieces here."""
        if self.holds(package.sha256):
            fits = self._list(package) is not None
            return Bits.full(package.pieces.count) if fits else Bits()
        assembly = self._arriving(package)
        return assembly.held if assembly else Bits()

    def hashes(self, package: Package) -> bytes | None:
        """The raw list of piece hashes."""
        listed = self._list(package)
        return listed.raw if listed else None

    def read(self, package: Package, index: int) -> bytes | None:
        """One piece, verified again, since disks forget."""
        listed = self._list(package)
        # "in" alone would take a negative index for a mistake of ours, and it comes from a peer.
        if listed is None or index < 0 or index not in self.held(package):
            return None
        data = self._bytes(package, index)
        if data is not None and listed.matches(index, data):
            return data
        if self.holds(package.sha256):
            self._quarantine(package.sha256)
        elif assembly := self._arriving(package):
            assembly.lose(index)
        return None

    def assemble(self, package: Package) -> Assembly:
        """The assembly for C{package}: the same one until it is whole."""
        if known := self._arriving(package):
            # Dropped while it was being finished, and wanted again before that was done.
            known.dropped = False
            return known
        digest, count = package.sha256, package.pieces.count
        assembly = Assembly(package, self._storage, self._finish)
        if self.holds(digest):
            assembly.held, assembly.hashes = Bits.full(count), HashList(b"")
            return assembly
        # What may have arrived was cut in another way.
        self.drop(digest)
        self._make_room(package.size)
        if count < 2:
            assembly.keep_hashes(layout.alone(digest, count))
        self._assemblies[digest] = assembly
        return assembly

    @deferred
    async def check(self, digest: Digest) -> bool:
        """Hash the whole package again, in its turn."""
        await self._turn.acquire()
        try:
            total = self._found.whole.get(digest)
            if total is None:
                return False
            if total > SMALL and keeping.load_list(self._storage, digest) is None:
                self._found.guessed.add(digest)
            if not await self._in_thread(keeping.recheck, self._storage, digest, total):
                self._quarantine(digest)
            return self.holds(digest)
        finally:
            self._turn.release()

    @deferred
    async def add_file(self, source: Path, package: Package) -> None:
        """
        Copy a local file in, as C{package}.

        Fires when it is durable; fails with L{clumpt.errors.BadInput} if the file is not C{package}, and
        with L{StoreFull}, both with nothing kept.
        """
        digest = package.sha256
        await self._turn.acquire()
        for _ in range(FINISHING):
            # The same package may be arriving.
            await self._finishing.acquire()
        try:
            if self.holds(digest) and self._list(package) is not None:
                return
            if not self.holds(digest):
                self.drop(digest)
            self._make_room(package.size)
            await self._in_thread(keeping.take_in, self._storage, source, package)
            self._arrived(package)
        except ClumptError:
            self._storage.unlink(layout.copying(digest))
            if not self.holds(digest):
                self._forget(digest)
            raise
        finally:
            for _ in range(FINISHING):
                self._finishing.release()
            self._turn.release()

    def drop(self, digest: Digest) -> None:
        """Forget a package, whole or arriving."""
        assembly = self._assemblies.get(digest)
        if assembly is not None:
            assembly.dropped = True
            if assembly.finishing:
                # The thread has the file; it is removed when the thread is done.
                return
        known = digest in self._found.whole or digest in self._found.arrivals or assembly is not None
        if known:
            self._forget(digest)

    def _finish(self, assembly: Assembly) -> Deferred[None]:
        # Who finishes it twice waits for the first time.
        return assembly.turn.run(self._finishing.run, self._finish_now, assembly)

    @deferred
    async def _finish_now(self, assembly: Assembly) -> None:
        package, digest = assembly.package, assembly.package.sha256
        if self.holds(digest):
            return
        if self._assemblies.get(digest) is not assembly:
            raise NotHere(f"{package.file} was dropped while it arrived")
        if not assembly.complete:
            raise ValueError(f"{package.file} is not complete")
        assembly.finishing = True
        try:
            await self._in_thread(keeping.finish, self._storage, digest, package.pieces, assembly.right)
        except StoreFull:
            self._forget(digest)
            raise
        except ClumptError as error:
            self._forget(digest)
            raise Damaged(str(error)) from error
        finally:
            assembly.finishing = False
        if assembly.dropped:
            self._forget(digest)
            raise NotHere(f"{package.file} was dropped while it arrived")
        self._arrived(package)

    def _arrived(self, package: Package) -> None:
        digest = package.sha256
        self._assemblies.pop(digest, None)
        self._found.arrivals.pop(digest, None)
        self._lists.pop(digest, None)
        self._found.whole[digest] = package.size

    def _forget(self, digest: Digest) -> None:
        for known in (self._assemblies, self._lists, self._found.arrivals, self._found.whole):
            known.pop(digest, None)
        keeping.remove(self._storage, digest)

    def _quarantine(self, digest: Digest) -> None:
        size = self._found.whole.pop(digest, None)
        self._lists.pop(digest, None)
        if size is None:
            return
        aside = layout.damaged(digest)
        self.log.error(
            "package {digest} is damaged on this disk, kept for you as {path}; it will be fetched again",
            digest=digest,
            path=self._storage.location(aside),
        )
        with suppress(NotHere):
            self._storage.rename(layout.whole(digest), aside)
            self._found.damaged[digest] = size
        self.damaged(digest)

    def _arriving(self, package: Package) -> Assembly | None:
        digest = package.sha256
        assembly = self._assemblies.get(digest)
        if assembly is None and digest in self._found.arrivals:
            begun = self._found.arrivals[digest]
            if begun.pieces == package.pieces:
                del self._found.arrivals[digest]
                assembly = Assembly(package, self._storage, self._finish, begun.held, begun.hashes)
                self._assemblies[digest] = assembly
        if assembly is None or assembly.package is not package and assembly.package.pieces != package.pieces:
            return None
        return assembly

    def _list(self, package: Package) -> HashList | None:
        """The piece hashes, if they are here and for this way of cutting the package."""
        digest = package.sha256
        if not self.holds(digest):
            assembly = self._arriving(package)
            return assembly.hashes if assembly else None
        if package.pieces.count < 2:
            fits = self._found.whole[digest] == package.size
            return layout.alone(digest, package.pieces.count) if fits else None
        if digest not in self._lists:
            kept = keeping.load_list(self._storage, digest)
            if kept is None:
                return None
            if len(self._lists) >= MOST_LISTS:
                del self._lists[next(iter(self._lists))]
            self._lists[digest] = kept
        pieces, listed = self._lists[digest]
        if pieces != package.pieces and digest in self._found.guessed:
            unattended(self._list_anew(package), self.log, "making the hashes of pieces anew")
        return listed if pieces == package.pieces else None

    @deferred
    async def _list_anew(self, package: Package) -> None:
        """Its hashes were lost, and are made as it is cut, which was not known before: once."""
        digest, pieces = package.sha256, package.pieces
        self._found.guessed.discard(digest)
        await self._turn.acquire()
        try:
            if self.holds(digest):
                await self._in_thread(keeping.relist, self._storage, digest, pieces.total, pieces.size)
                self._lists.pop(digest, None)
        finally:
            self._turn.release()

    def _bytes(self, package: Package, index: int) -> bytes | None:
        offset, length = package.pieces.offset(index), package.pieces.length(index)
        paths = [layout.whole(package.sha256)]
        if not self.holds(package.sha256):
            # While it is finished, a thread may have renamed it already.
            paths.insert(0, layout.arriving(package.sha256))
        for path in paths:
            try:
                return self._storage.read(path, offset, length)
            except (Damaged, NotHere):
                continue
        return None

    def _make_room(self, size: int) -> None:
        """Free what nobody needs until C{size} more bytes fit, or raise L{StoreFull}."""
        lacking = self._lacking(size)
        for digest in list(self._found.damaged):
            if lacking:
                self._storage.unlink(layout.damaged(digest))
                del self._found.damaged[digest]
                lacking = self._lacking(size)
        for digest in list(self._found.arrivals):
            if lacking:
                # Begun before this start, and nobody has asked for it since.
                self._forget(digest)
                lacking = self._lacking(size)
        if lacking:
            raise StoreFull(f"no room for a package of {size} bytes: {lacking}")

    def _lacking(self, size: int) -> str:
        """Why C{size} more bytes do not fit, empty if they do."""
        found = self._found
        coming = [assembly.package.pieces.total for assembly in self._assemblies.values()]
        coming += [arrival.pieces.total for arrival in found.arrivals.values()]
        taken = sum(coming) + sum(found.whole.values()) + sum(found.damaged.values())
        if self._quota and taken + size > self._quota:
            return f"{taken} of the quota of {self._quota} bytes are taken"
        missing = taken - self.usage()
        free = self._storage.free()
        if missing + size + self._spare > free:
            return f"{free} bytes are free on the disk, of which {missing + self._spare} are spoken for"
        return ""
