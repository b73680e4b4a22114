"""The repository, on a real disk and on one that loses power at every step."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

import clumpt.store.measure
import clumpt.store.repository
from clumpt.errors import BadInput, ClumptError, Damaged, NotHere, StoreFull
from clumpt.interfaces import IStorage
from clumpt.model import Package
from clumpt.pieces import LARGEST, MOST, SMALL, SMALLEST, Bits, Digest, digest_of
from clumpt.store import layout
from clumpt.store.measure import measure
from clumpt.store.repository import FINISHING, FileRepository
from clumpt.store.storage import DiskStorage
from clumpt.testing.contracts.repository import RepositoryContract, package_of, piece, some_bytes
from clumpt.testing.disk import MemoryDisk


class Later:
    """A thread that gets to its work when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.waiting.append((result, lambda: function(*arguments)))
        return result

    def work(self) -> None:
        result, function = self.waiting.pop(0)
        execute(function).chainDeferred(result)


class OnDisk:
    """Has a repository on a real disk."""

    def make(self, quota: int = 0) -> FileRepository:
        self.root = Path(self.mktemp())
        self.full = False
        self.quota = quota
        self.storage = DiskStorage(self.root, self.step)
        return self.restart()

    def restart(self) -> FileRepository:
        return self.successResultOf(FileRepository.open(self.storage, execute, self.quota))

    def step(self, name: str) -> None:
        if self.full and name == "write":
            raise StoreFull("no space left on device")

    def fill(self) -> None:
        self.full = True


class DiskRepositoryTests(OnDisk, RepositoryContract, SynchronousTestCase):
    """L{FileRepository} keeps the contract on a real disk."""

    def damage(self, digest: Digest) -> None:
        for path in (layout.whole(digest), layout.arriving(digest)):
            file = self.root / path
            if file.exists():
                file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


class MemoryRepositoryTests(RepositoryContract, SynchronousTestCase):
    """L{FileRepository} keeps the contract on a disk in memory."""

    def make(self, quota: int = 0) -> FileRepository:
        self.disk = MemoryDisk(Random(1))
        self.quota = quota
        return self.restart()

    def restart(self) -> FileRepository:
        self.disk.crash()
        return self.successResultOf(FileRepository.open(self.disk, execute, self.quota))

    def damage(self, digest: Digest) -> None:
        for path in (layout.whole(digest), layout.arriving(digest)):
            if data := self.disk.read(path, 0, 1) if self.disk.size(path) else b"":
                self.disk.write(path, 0, bytes([data[0] ^ 1]))

    def fill(self) -> None:
        self.disk.limit = 0


class FileTests(OnDisk, SynchronousTestCase):
    """What is special about files."""

    def setUp(self) -> None:
        self.repository = self.make()
        self.data = some_bytes(5 * SMALLEST + 100)
        self.source = Path(self.mktemp())
        self.source.write_bytes(self.data)
        self.package, self.raw = package_of(self.data)

    def assert_here(self, package: Package) -> None:
        pieces = [self.repository.read(package, index) for index in range(package.pieces.count)]
        self.assertEqual(b"".join(piece or b"" for piece in pieces), self.data)
        self.assertEqual(self.repository.path(package.sha256).read_bytes(), self.data)

    def test_measure(self) -> None:
        """A file is measured as its package will be checked."""
        digest, pieces, raw = measure(self.source)
        self.assertEqual((digest, pieces, raw), (self.package.sha256, self.package.pieces, self.raw))
        empty = Path(self.mktemp())
        empty.write_bytes(b"")
        self.assertEqual(measure(empty)[0], digest_of(b""))

    def test_cannot_measure(self) -> None:
        """A file that cannot be read is the operator's mistake."""
        for path in (self.root / "missing", self.root):
            with self.assertRaisesRegex(BadInput, "cannot be read"):
                measure(path)

    def test_too_large(self) -> None:
        """A file of more than the most pieces is refused before it is read."""
        with self.source.open("r+b") as file:
            file.truncate(LARGEST * MOST + 1)
        with self.assertRaisesRegex(BadInput, "too large"):
            measure(self.source)

    def test_growing(self) -> None:
        """A file that grows while it is measured is not complete yet."""
        real = clumpt.store.measure.cut

        def cut(*arguments: Any) -> Any:
            self.source.write_bytes(self.data + b"x")
            return real(*arguments)

        self.patch(clumpt.store.measure, "cut", cut)
        with self.assertRaisesRegex(BadInput, "wait until it is complete"):
            measure(self.source)

    def fail_reads(self, of: int) -> None:
        """From now on the disk fails to read pieces, or whatever is that long."""
        real = os.pread

        def failing(file: int, length: int, offset: int) -> bytes:
            if length == of:
                raise OSError(errno.EIO, "Input/output error")
            return real(file, length, offset)

        self.patch(os, "pread", failing)

    def test_unreadable(self) -> None:
        """What the disk does not give back is damaged."""
        self.successResultOf(self.repository.add_file(self.source, self.package))
        self.fail_reads(len(self.data) + 1)
        self.assertFalse(self.successResultOf(self.repository.check(self.package.sha256)))
        self.assertFalse(self.repository.holds(self.package.sha256))

    def test_unreadable_at_start(self) -> None:
        """What the disk does not give back at start is set aside, if its hashes are lost as well."""
        self.successResultOf(self.repository.add_file(self.source, self.package))
        (self.root / layout.hashes(self.package.sha256)).unlink()
        self.fail_reads(SMALLEST)
        self.repository = self.restart()
        self.assertFalse(self.repository.holds(self.package.sha256))

    def test_unreadable_while_arriving(self) -> None:
        """A piece that cannot be read is not passed on, nor held after a restart."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        assembly.put(0, piece(self.package, self.data, 0))
        assembly.put(1, piece(self.package, self.data, 1))
        self.fail_reads(SMALLEST)
        self.assertIsNone(self.repository.read(self.package, 0))
        self.assertEqual(assembly.held, Bits(0b10))
        self.repository = self.restart()
        self.assertEqual(self.repository.held(self.package), Bits())

    def test_many_lists(self) -> None:
        """However many packages are passed on, few of their hash lists are in memory."""
        self.patch(clumpt.store.repository, "MOST_LISTS", 2)
        for seed in range(4):
            data = some_bytes(2 * SMALLEST, seed)
            package, raw = package_of(data, SMALLEST)
            assembly = self.repository.assemble(package)
            assembly.put_hashes(raw)
            for index in range(2):
                assembly.put(index, piece(package, data, index))
            self.successResultOf(assembly.finish())
            self.assertEqual(self.repository.hashes(package), raw)
        self.assertEqual(len(self.repository._lists), 2)

    def test_one_piece(self) -> None:
        """Of a package of one piece there is no list of hashes: its own is enough, if it has its size."""
        data = some_bytes(100)
        package, raw = package_of(data)
        assembly = self.repository.assemble(package)
        assembly.put(0, data)
        self.successResultOf(assembly.finish())
        self.assertFalse((self.root / layout.hashes(package.sha256)).exists())
        self.assertEqual(self.repository.hashes(package), raw)
        longer = evolve(package, pieces=evolve(package.pieces, total=101))
        self.assertEqual((self.repository.held(longer), self.repository.hashes(longer)), (Bits(), None))
        self.repository = self.restart()
        self.assertEqual(self.repository.read(package, 0), data)
        self.assertTrue(self.successResultOf(self.repository.check(package.sha256)))
        self.assertFalse((self.root / layout.hashes(package.sha256)).exists())

    def test_add(self) -> None:
        """A local file is copied in, and again only if there is a reason to."""
        self.successResultOf(self.repository.add_file(self.source, self.package))
        self.assert_here(self.package)
        self.assertTrue(self.source.exists())
        self.source.unlink()
        self.successResultOf(self.repository.add_file(self.source, self.package))
        self.repository = self.restart()
        self.assert_here(self.package)

    def test_add_other_cut(self) -> None:
        """The file that is here already can be offered in the pieces that a newer update names."""
        self.successResultOf(self.repository.add_file(self.source, self.package))
        package, raw = package_of(self.data, 2 * SMALLEST)
        self.successResultOf(self.repository.add_file(self.source, package))
        self.assert_here(package)
        self.assertEqual(self.repository.hashes(package), raw)
        self.repository = self.restart()
        self.assert_here(package)

    def test_add_while_arriving(self) -> None:
        """A copy at hand is better than what arrives."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        assembly.put(0, piece(self.package, self.data, 0))
        self.successResultOf(self.repository.add_file(self.source, self.package))
        self.assert_here(self.package)
        with self.assertRaises(NotHere):
            assembly.put(1, piece(self.package, self.data, 1))

    def test_add_wrong(self) -> None:
        """A file that is longer, shorter or other than what was signed leaves no trace."""
        for data in (self.data + b"x", self.data[:-1], b"x" + self.data[1:], b""):
            self.source.write_bytes(data)
            self.failureResultOf(self.repository.add_file(self.source, self.package), BadInput)
        self.source.unlink()
        self.failureResultOf(self.repository.add_file(self.source, self.package), BadInput)
        self.assertEqual(list(self.repository.digests()), [])
        self.assertEqual([file for file in self.root.rglob("*") if file.is_file()], [])

    def test_add_full(self) -> None:
        """Without room nothing of it stays."""
        self.full = True
        self.failureResultOf(self.repository.add_file(self.source, self.package), StoreFull)
        self.full = False
        self.assertEqual([file for file in self.root.rglob("*") if file.is_file()], [])

    def test_strays(self) -> None:
        """What an interrupted run left is removed, what is damaged is set aside."""
        self.successResultOf(self.repository.add_file(self.source, self.package))
        repo, other = self.root / "repo", digest_of(b"other")
        strays = [
            repo / "arriving" / other,
            repo / "arriving" / f"{other}.copy",
            repo / "arriving" / self.package.sha256,
            repo / other[:2] / f"{other}.hashes",
        ]
        for stray in strays:
            stray.parent.mkdir(exist_ok=True)
            stray.write_bytes(b"x")
        cut_off = digest_of(b"cut off")
        (repo / cut_off[:2]).mkdir(exist_ok=True)
        (repo / cut_off[:2] / cut_off).write_bytes(b"cut")
        self.repository = self.restart()
        self.assertEqual([stray for stray in strays if stray.exists()], [])
        self.assertEqual(list(self.repository.digests()), [self.package.sha256])
        self.assertEqual((repo / "damaged" / cut_off).read_bytes(), b"cut")
        self.assertEqual(self.repository.usage(), len(self.data) + 3)
        self.assert_here(self.package)

    def test_lost_hashes(self) -> None:
        """A whole package without its hash list, or with a damaged one, gets it back."""
        self.successResultOf(self.repository.add_file(self.source, self.package))
        listed = self.root / layout.hashes(self.package.sha256)
        sound = listed.read_bytes()
        for damaged in (
            None,
            b"",
            sound[:-1],
            b"x" + sound[1:],
            sound[:-1] + b"?",
            sound.replace(b" 16384 ", b" 163 "),
        ):
            if damaged is None:
                listed.unlink()
            else:
                listed.write_bytes(damaged)
            self.repository = self.restart()
            self.assert_here(self.package)
            self.assertEqual(listed.read_bytes(), sound)
        listed.unlink()
        self.assertTrue(self.successResultOf(self.repository.check(self.package.sha256)))
        self.assertEqual(listed.read_bytes(), sound)

    def test_lost_hashes_of_another_cut(self) -> None:
        """How it was cut nobody knows until it is asked for; then the list is made once more, once."""
        package, raw = package_of(self.data, 2 * SMALLEST)
        self.successResultOf(self.repository.add_file(self.source, package))
        listed = self.root / layout.hashes(package.sha256)
        sound = listed.read_bytes()
        for lose in (self.lose_at_start, self.lose_while_checked):
            listed.unlink()
            lose(package)
            self.assertNotEqual(listed.read_bytes(), sound)
            self.assertIsNone(self.repository.hashes(package))
            self.assertEqual((self.repository.hashes(package), listed.read_bytes()), (raw, sound))
            self.assertEqual(self.repository.held(package), Bits.full(package.pieces.count))
            # Who has it cut in another way does not get it.
            self.assertIsNone(self.repository.hashes(self.package))
            self.assertEqual(listed.read_bytes(), sound)

    def lose_at_start(self, package: Package) -> None:
        self.repository = self.restart()

    def lose_while_checked(self, package: Package) -> None:
        self.repository._lists.clear()
        self.assertTrue(self.successResultOf(self.repository.check(package.sha256)))

    def test_vanished(self) -> None:
        """A package that somebody removed is not here any more."""
        self.successResultOf(self.repository.add_file(self.source, self.package))
        self.repository.path(self.package.sha256).unlink()
        self.assertFalse(self.successResultOf(self.repository.check(self.package.sha256)))
        self.assertFalse(self.repository.holds(self.package.sha256))

    def test_names(self) -> None:
        """Nothing but a digest can become a file name (H2)."""
        for name in ("../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n"):
            self.assertFalse(self.repository.holds(Digest(name)))
            self.repository.drop(Digest(name))
            self.assertFalse(self.successResultOf(self.repository.check(Digest(name))))
            with self.assertRaises(NotHere):
                self.repository.path(Digest(name))
            for path in (layout.whole, layout.arriving, layout.damaged, layout.hashes):
                with self.assertRaises(ValueError):
                    path(Digest(name))

    def test_link_in_the_way(self) -> None:
        """A link under the name of a package is not followed."""
        target = self.root / "target"
        target.write_bytes(b"precious")
        (self.root / layout.arriving(self.package.sha256)).symlink_to(target)
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        with self.assertRaises(ClumptError):
            assembly.put(0, piece(self.package, self.data, 0))
        self.assertEqual(target.read_bytes(), b"precious")


class ThreadTests(SynchronousTestCase):
    """What happens while a thread is at work."""

    def setUp(self) -> None:
        self.later = Later()
        self.disk = MemoryDisk(Random(1))
        opening = FileRepository.open(self.disk, self.later)
        self.later.work()
        self.repository = self.successResultOf(opening)
        self.data = some_bytes(2 * SMALLEST)
        self.package, self.raw = package_of(self.data)
        self.assembly = self.repository.assemble(self.package)
        self.assembly.put_hashes(self.raw)
        for index in (0, 1):
            self.assembly.put(index, piece(self.package, self.data, index))

    def test_finished_twice(self) -> None:
        """Two who want the same package finished are both told, after one piece of work."""
        both = [self.assembly.finish(), self.assembly.finish()]
        self.later.work()
        self.assertEqual([self.successResultOf(one) for one in both], [None, None])
        self.assertEqual(self.later.waiting, [])

    def arrived(self, number: int) -> Any:
        """One more package of which all pieces have come."""
        data = bytes([number]) * 1000
        package, _ = package_of(data)
        assembly = self.repository.assemble(package)
        assembly.put(0, data)
        return assembly

    def test_side_by_side(self) -> None:
        """Some packages are made durable at a time, not more."""
        finishing = [self.arrived(number).finish() for number in range(FINISHING + 3)]
        self.assertEqual(len(self.later.waiting), FINISHING)
        while self.later.waiting:
            self.later.work()
        self.assertEqual([self.successResultOf(one) for one in finishing], [None] * (FINISHING + 3))

    def test_copy_waits(self) -> None:
        """A local copy is not taken in while packages that arrived are made durable."""
        finishing = self.arrived(1).finish()
        source = Path(self.mktemp())
        source.write_bytes(bytes([1]) * 1000)
        adding = self.repository.add_file(source, package_of(source.read_bytes())[0])
        self.assertEqual(len(self.later.waiting), 1)
        self.later.work()
        self.successResultOf(finishing)
        while self.later.waiting:
            self.later.work()
        self.successResultOf(adding)

    def test_read_meanwhile(self) -> None:
        """Pieces can be read while the file gets its final name, and after."""
        self.assembly.finish()
        self.assertEqual(self.repository.read(self.package, 1), self.data[SMALLEST:])
        result, function = self.later.waiting.pop()
        function()
        self.assertFalse(self.repository.holds(self.package.sha256))
        self.assertEqual(self.repository.read(self.package, 1), self.data[SMALLEST:])
        result.callback(None)
        self.assertEqual(self.repository.read(self.package, 1), self.data[SMALLEST:])

    def test_dropped_meanwhile(self) -> None:
        """What is dropped while it is finished is gone when that is done."""
        finishing = self.assembly.finish()
        self.repository.drop(self.package.sha256)
        self.later.work()
        self.failureResultOf(finishing, NotHere)
        self.assertEqual((list(self.repository.digests()), self.repository.usage()), ([], 0))

    def test_wanted_again_meanwhile(self) -> None:
        """What is dropped while it is finished, and wanted again, stays."""
        finishing = self.assembly.finish()
        self.repository.drop(self.package.sha256)
        self.assertIs(self.repository.assemble(self.package), self.assembly)
        self.later.work()
        self.assertIsNone(self.successResultOf(finishing))
        self.assertTrue(self.repository.holds(self.package.sha256))

    def test_dropped_while_checked(self) -> None:
        """What is dropped while it is checked is not here when the check is done."""
        self.assembly.finish()
        self.later.work()
        checking = self.repository.check(self.package.sha256)
        self.repository.drop(self.package.sha256)
        self.later.work()
        self.assertFalse(self.successResultOf(checking))

    def test_failed_sync(self) -> None:
        """After a failed sync nothing of the file is trusted, and it can come again."""

        def fail(name: str) -> None:
            if name == "sync":
                raise Damaged("the disk is failing")

        finishing = self.assembly.finish()
        self.disk.step = fail
        self.later.work()
        self.failureResultOf(finishing, Damaged)
        self.disk.step = lambda name: None
        self.assertEqual((self.repository.held(self.package), self.repository.usage()), (Bits(), 0))
        self.assertIsNot(self.repository.assemble(self.package), self.assembly)

    def test_full_at_the_end(self) -> None:
        """A disk that turns out to be full at the sync says so, and nothing stays."""

        def fail(name: str) -> None:
            if name == "sync":
                raise StoreFull("no space left")

        finishing = self.assembly.finish()
        self.disk.step = fail
        self.later.work()
        self.failureResultOf(finishing, StoreFull)
        self.assertEqual(self.repository.usage(), 0)


class PowerLossTests(SynchronousTestCase):
    """Power may go before any step, and any of what was not synced may be lost."""

    #: Not the usual cut: the hash list cannot be made anew from the package alone.
    size, cut = 4 * SMALLEST + 10, 2 * SMALLEST
    #: So many states of the disk are looked at, at least, while a package arrives, or is copied.
    arriving, copying = 200, 100

    def setUp(self) -> None:
        self.data = some_bytes(self.size)
        self.package, self.raw = package_of(self.data, self.cut)
        self.count = self.package.pieces.count
        self.states = 0
        self.finished = False

    def open(self, disk: IStorage) -> FileRepository:
        return self.successResultOf(FileRepository.open(disk, execute))

    def arrive(self, repository: FileRepository) -> None:
        """Whatever is here, the package becomes whole."""
        assembly = repository.assemble(self.package)
        if assembly.needs_hashes():
            assembly.put_hashes(self.raw)
        for index in reversed(range(self.count)):
            if index not in assembly.held:
                self.assertTrue(assembly.put(index, piece(self.package, self.data, index)))
        self.successResultOf(assembly.finish())

    def look(self, disk: MemoryDisk) -> None:
        """Judge what a power loss left."""
        self.states += 1
        for shelf in disk.names("repo"):
            for name in disk.names(f"repo/{shelf}") if len(shelf) == 2 else ():
                if digest := layout.digest_in(name):
                    found = disk.read(layout.whole(digest), 0, 10**6)
                    self.assertEqual(digest_of(found), digest, "wrong bytes under a final name")
        repository = self.open(disk)
        here = repository.holds(self.package.sha256)
        self.assertTrue(here or not self.finished, "lost after it was finished")
        for index in repository.held(self.package):
            self.assertEqual(repository.read(self.package, index), piece(self.package, self.data, index))
        lacking = self.count - len(repository.held(self.package))
        self.assertFalse(here and lacking, "whole, but cannot be passed on")
        self.arrive(repository)
        self.assertEqual(self.open(disk).held(self.package), Bits.full(self.count))

    def watched(self, disk: MemoryDisk) -> MemoryDisk:
        def step(name: str) -> None:
            disk.step = lambda name: None
            for left in disk.after_power_loss():
                self.look(left)
            disk.step = step

        disk.step = step
        return disk

    def test_arriving(self) -> None:
        """A package that arrives is whole or not there; once finished it stays."""
        disk = self.watched(MemoryDisk(Random(1)))
        self.arrive(self.open(disk))
        self.finished = True
        disk.step("end")
        self.assertGreater(self.states, self.arriving)

    def test_copied(self) -> None:
        """So is one that is copied from a local file."""
        source = Path(self.mktemp())
        source.write_bytes(self.data)
        disk = MemoryDisk(Random(1))
        repository = self.open(disk)
        self.watched(disk)
        self.successResultOf(repository.add_file(source, self.package))
        self.finished = True
        disk.step("end")
        self.assertGreater(self.states, self.copying)

    def test_dropped(self) -> None:
        """So is one that is dropped, and one that comes again after that."""
        disk = MemoryDisk(Random(1))
        repository = self.open(disk)
        self.arrive(repository)
        self.watched(disk)
        repository.drop(self.package.sha256)
        self.arrive(repository)
        self.finished = True
        disk.step("end")

    def test_liar(self) -> None:
        """These tests find a disk that does not sync: so they would find a sync that is missing."""
        disk = MemoryDisk(Random(1), honest=False)
        self.arrive(self.open(disk))
        self.finished = True
        with self.assertRaises(self.failureException):
            for left in disk.after_power_loss():
                self.look(left)

    def test_random(self) -> None:
        """Many losses in a row, at random, never cost a finished package."""
        random = Random(11)
        disk = MemoryDisk(random)
        self.arrive(self.open(disk))
        for _ in range(30):
            disk.power_loss()
            repository = self.open(disk)
            self.assertTrue(repository.holds(self.package.sha256))
            data = some_bytes(random.randrange(1, SMALLEST), random.randrange(100))
            package, _raw = package_of(data)
            assembly = repository.assemble(package)
            assembly.put(0, data)
            if random.randrange(2):
                self.successResultOf(assembly.finish())


class SmallPowerLossTests(PowerLossTests):
    """The same of a package of one piece, of which no hash list is kept."""

    size, cut = 100, SMALL
    arriving, copying = 30, 30
