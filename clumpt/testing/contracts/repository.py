"""What every L{IRepository} does."""

from __future__ import annotations

from abc import abstractmethod
from random import Random
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadDocument, Damaged, NotHere, StoreFull
from clumpt.interfaces import IAssembly, IRepository
from clumpt.model import Package
from clumpt.pieces import SMALLEST, Bits, Digest, Pieces, digest_of

# A test case for the type checker alone: as a real one, it would be run without a subject.
if TYPE_CHECKING:
    Base = SynchronousTestCase
else:
    Base = object


def some_bytes(size: int, seed: int = 1) -> bytes:
    """Bytes of a package that are all different from each other."""
    return Random(seed).randbytes(size)


def package_of(data: bytes, size: int = SMALLEST) -> tuple[Package, bytes]:
    """A package of these bytes, cut into pieces of C{size} bytes, and its raw hash list."""
    raw = b"".join(bytes.fromhex(digest_of(data[at : at + size])) for at in range(0, len(data), size))
    pieces = Pieces(len(data), size, digest_of(raw))
    return Package("hello", "2.10-3", "all", "hello.deb", digest_of(data), pieces), raw


def piece(package: Package, data: bytes, index: int) -> bytes:
    """Piece C{index} of the package with these bytes."""
    offset = package.pieces.offset(index)
    return data[offset : offset + package.pieces.length(index)]


class RepositoryContract(Base):
    """A subclass says how to make a repository, to restart it, and to damage it."""

    @abstractmethod
    def make(self, quota: int = 0) -> IRepository:
        """A new, empty repository."""

    @abstractmethod
    def restart(self) -> IRepository:
        """The repository made last, after its process died."""

    @abstractmethod
    def damage(self, digest: Digest) -> None:
        """Change some bits in the first piece of a package, whole or arriving, unknown to the repository."""

    @abstractmethod
    def fill(self) -> None:
        """Let the disk be full from now on."""

    def setUp(self) -> None:
        """Begin with an empty repository and a package of four pieces."""
        super().setUp()
        self.data = some_bytes(3 * SMALLEST + 100)
        self.package, self.raw = package_of(self.data)
        self.repository = self.make()

    def fill_in(self, assembly: IAssembly, data: bytes, *indices: int) -> None:
        """Put pieces, all if none is named."""
        for index in indices or range(assembly.package.pieces.count):
            self.assertTrue(assembly.put(index, piece(assembly.package, data, index)))

    def store(self, data: bytes, package: Package, raw: bytes) -> None:
        """Let a package arrive as a whole."""
        assembly = self.repository.assemble(package)
        if assembly.needs_hashes():
            assembly.put_hashes(raw)
        self.fill_in(assembly, data)
        self.assertIsNone(self.successResultOf(assembly.finish()))

    def assert_whole(self, data: bytes, package: Package, raw: bytes) -> None:
        """The package is here, and can be passed on."""
        repository, count = self.repository, package.pieces.count
        self.assertTrue(repository.holds(package.sha256))
        self.assertIn(package.sha256, repository.digests())
        self.assertEqual(repository.held(package), Bits.full(count))
        self.assertEqual(repository.hashes(package), raw)
        pieces = [repository.read(package, index) for index in range(count)]
        self.assertEqual(pieces, [piece(package, data, index) for index in range(count)])

    def assert_nothing(self, package: Package) -> None:
        """There is no trace of the package."""
        repository = self.repository
        self.assertFalse(repository.holds(package.sha256))
        self.assertEqual(repository.held(package), Bits())
        self.assertEqual((repository.hashes(package), repository.read(package, 0)), (None, None))
        self.assertNotIn(package.sha256, repository.digests())
        with self.assertRaises(NotHere):
            repository.path(package.sha256)

    def test_empty(self) -> None:
        """Nothing is here at first."""
        self.assert_nothing(self.package)
        self.assertEqual((list(self.repository.digests()), self.repository.usage()), ([], 0))
        self.assertFalse(self.successResultOf(self.repository.check(self.package.sha256)))

    def test_arrives(self) -> None:
        """Pieces in any order make the package, which is here once it is finished, and after a restart."""
        assembly = self.repository.assemble(self.package)
        self.assertTrue(assembly.needs_hashes())
        assembly.put_hashes(self.raw)
        self.assertFalse(assembly.needs_hashes())
        self.fill_in(assembly, self.data, 2, 0, 3, 1)
        self.assertFalse(self.repository.holds(self.package.sha256))
        self.successResultOf(assembly.finish())
        self.assert_whole(self.data, self.package, self.raw)
        self.assertEqual(self.repository.path(self.package.sha256).name, self.package.sha256)
        self.assertEqual(self.repository.usage(), self.package.size)
        self.repository = self.restart()
        self.assert_whole(self.data, self.package, self.raw)
        self.assertEqual(self.repository.usage(), self.package.size)

    def test_sizes(self) -> None:
        """Any size will do: nothing, one piece or less, exactly some pieces, and one byte more."""
        for size in (0, 1, SMALLEST, SMALLEST + 1, 2 * SMALLEST):
            data = some_bytes(size, size)
            package, raw = package_of(data)
            self.assertEqual(self.repository.assemble(package).needs_hashes(), package.pieces.count > 1)
            self.store(data, package, raw)
            self.assert_whole(data, package, raw)
            self.assertTrue(self.successResultOf(self.repository.check(package.sha256)))
        self.repository = self.restart()
        self.assert_whole(data, package, raw)
        self.assertEqual(len(self.repository.digests()), 5)

    def test_cut_through(self) -> None:
        """A verified piece can be passed on before the rest is here."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.assertEqual(self.repository.hashes(self.package), self.raw)
        self.fill_in(assembly, self.data, 1)
        self.assertEqual(assembly.held, Bits(0b0010))
        self.assertEqual(self.repository.held(self.package), Bits(0b0010))
        self.assertEqual(self.repository.read(self.package, 1), piece(self.package, self.data, 1))
        for index in (-1, 0, 3, 4, 1000):
            self.assertIsNone(self.repository.read(self.package, index))
        self.assertEqual(self.repository.usage(), SMALLEST)

    def test_wrong_piece(self) -> None:
        """A piece that is not what was signed is not kept, whatever is wrong with it."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        good = piece(self.package, self.data, 0)
        bad = bytes([good[0] ^ 1]) + good[1:]
        for index, data in ((0, bad), (1, good), (0, good[:-1]), (0, good + b"x"), (0, b""), (-1, good)):
            self.assertFalse(assembly.put(index, data))
        self.assertFalse(assembly.put(4, good))
        self.assertEqual(assembly.held, Bits())
        self.assertTrue(assembly.put(0, good))
        self.assertTrue(assembly.put(0, good))
        self.assertFalse(assembly.put(0, bad))
        self.assertEqual(self.repository.read(self.package, 0), good)

    def test_wrong_hashes(self) -> None:
        """A list of hashes that is not the signed one is refused."""
        assembly = self.repository.assemble(self.package)
        for raw in (b"", self.raw[:-1], self.raw[:-1] + b"?", self.raw + self.raw[:32]):
            with self.assertRaises(BadDocument):
                assembly.put_hashes(raw)
        self.assertTrue(assembly.needs_hashes())
        assembly.put_hashes(self.raw)
        assembly.put_hashes(self.raw)

    def test_same_assembly(self) -> None:
        """Whoever asks for the assembly of a package gets the same one, until it is whole."""
        assembly = self.repository.assemble(self.package)
        self.assertIs(self.repository.assemble(self.package), assembly)
        assembly.put_hashes(self.raw)
        self.assertIs(self.repository.assemble(self.package), assembly)

    def test_whole_again(self) -> None:
        """To assemble what is whole is no work, and to finish it twice is none either."""
        assembly = self.repository.assemble(self.package)
        self.store(self.data, self.package, self.raw)
        self.successResultOf(assembly.finish())
        again = self.repository.assemble(self.package)
        self.assertEqual((again.held, again.needs_hashes()), (Bits.full(4), False))
        self.successResultOf(again.finish())
        self.assert_whole(self.data, self.package, self.raw)

    def test_too_early(self) -> None:
        """No piece without hashes; and what is not complete cannot be finished, but goes on arriving."""
        assembly = self.repository.assemble(self.package)
        with self.assertRaises(ValueError):
            assembly.put(0, piece(self.package, self.data, 0))
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data, 0, 1)
        self.failureResultOf(assembly.finish(), ValueError)
        self.fill_in(assembly, self.data, 2, 3)
        self.successResultOf(assembly.finish())
        self.assert_whole(self.data, self.package, self.raw)

    def test_resume(self) -> None:
        """After a restart only what is missing is needed."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data, 0, 3)
        self.repository = self.restart()
        self.assertEqual(self.repository.held(self.package), Bits(0b1001))
        self.assertEqual(self.repository.usage(), SMALLEST + 100)
        assembly = self.repository.assemble(self.package)
        self.assertEqual((assembly.held, assembly.needs_hashes()), (Bits(0b1001), False))
        self.fill_in(assembly, self.data, 1, 2)
        self.successResultOf(assembly.finish())
        self.assert_whole(self.data, self.package, self.raw)

    def test_resume_damaged(self) -> None:
        """Only what is still right counts after a restart."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data, 0, 3)
        self.damage(self.package.sha256)
        self.repository = self.restart()
        self.assertEqual(self.repository.held(self.package), Bits(0b1000))

    def test_damaged_while_arriving(self) -> None:
        """A piece that the disk did not keep is not passed on, and is wanted again."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data)
        self.damage(self.package.sha256)
        self.assertIsNone(self.repository.read(self.package, 0))
        self.assertEqual(assembly.held, Bits(0b1110))
        self.fill_in(assembly, self.data, 0)
        self.successResultOf(assembly.finish())
        self.assert_whole(self.data, self.package, self.raw)

    def test_damaged_at_the_end(self) -> None:
        """A package whose pieces did not come in order is read in the end; if it is wrong, it comes again."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        for index in reversed(range(self.package.pieces.count)):
            self.fill_in(assembly, self.data, index)
        self.damage(self.package.sha256)
        self.failureResultOf(assembly.finish(), Damaged)
        self.assert_nothing(self.package)
        self.assertEqual(self.repository.usage(), 0)
        self.store(self.data, self.package, self.raw)
        self.assert_whole(self.data, self.package, self.raw)

    def test_in_order(self) -> None:
        """If they came in order, it is not; whoever uses the file notices what the disk did to it."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data)
        self.damage(self.package.sha256)
        self.successResultOf(assembly.finish())
        self.assertFalse(self.successResultOf(self.repository.check(self.package.sha256)))

    def test_lying_list(self) -> None:
        """Pieces that are all right do not make a package whose own digest is another."""
        wrong = evolve(self.package, sha256=digest_of(b"something else"))
        assembly = self.repository.assemble(wrong)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data)
        self.failureResultOf(assembly.finish(), Damaged)
        self.assert_nothing(wrong)

    def test_damaged_whole(self) -> None:
        """A damaged package is neither passed on nor installed, and can be fetched again."""
        self.store(self.data, self.package, self.raw)
        told: list[Digest] = []
        self.repository.damaged = told.append
        self.assertTrue(self.successResultOf(self.repository.check(self.package.sha256)))
        self.damage(self.package.sha256)
        self.assertFalse(self.successResultOf(self.repository.check(self.package.sha256)))
        self.assertEqual(told, [self.package.sha256])
        self.assert_nothing(self.package)
        self.store(self.data, self.package, self.raw)
        self.assert_whole(self.data, self.package, self.raw)
        self.assertTrue(self.successResultOf(self.repository.check(self.package.sha256)))

    def test_damaged_when_read(self) -> None:
        """Damage that is found while a piece is read counts as well."""
        told: list[Digest] = []
        self.repository.damaged = told.append
        self.store(self.data, self.package, self.raw)
        self.damage(self.package.sha256)
        self.assertIsNone(self.repository.read(self.package, 0))
        self.assertEqual(told, [self.package.sha256])
        self.assert_nothing(self.package)

    def test_drop(self) -> None:
        """What is dropped is gone, whole or arriving, and its bytes are free."""
        self.repository.drop(self.package.sha256)
        self.store(self.data, self.package, self.raw)
        self.repository.drop(self.package.sha256)
        self.assert_nothing(self.package)
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data)
        self.repository.drop(self.package.sha256)
        self.assert_nothing(self.package)
        self.assertEqual(self.repository.usage(), 0)
        with self.assertRaises(NotHere):
            assembly.put(0, piece(self.package, self.data, 0))
        self.failureResultOf(assembly.finish(), NotHere)
        self.repository = self.restart()
        self.assert_nothing(self.package)
        self.store(self.data, self.package, self.raw)

    def test_quota(self) -> None:
        """What does not fit the quota is refused before it begins, and fits once there is room (H11)."""
        self.repository = self.make(quota=self.package.size + 10)
        assembly = self.repository.assemble(self.package)
        other, raw = package_of(some_bytes(11, 2))
        with self.assertRaisesRegex(StoreFull, "quota"):
            self.repository.assemble(other)
        self.assert_nothing(other)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data)
        self.successResultOf(assembly.finish())
        with self.assertRaises(StoreFull):
            self.repository.assemble(other)
        self.repository.drop(self.package.sha256)
        self.store(some_bytes(11, 2), other, raw)

    def test_damaged_makes_room(self) -> None:
        """What is kept only to be looked at gives way to what is wanted."""
        self.repository = self.make(quota=self.package.size + 10)
        self.store(self.data, self.package, self.raw)
        self.damage(self.package.sha256)
        self.assertFalse(self.successResultOf(self.repository.check(self.package.sha256)))
        self.assertEqual(self.repository.usage(), self.package.size)
        self.store(self.data, self.package, self.raw)
        self.assertEqual(self.repository.usage(), self.package.size)

    def test_forgotten_makes_room(self) -> None:
        """What began to arrive before the restart, and nobody wants since, gives way."""
        self.repository = self.make(quota=self.package.size + 10)
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data, 0)
        self.repository = self.restart()
        data = some_bytes(100, 2)
        self.store(data, *package_of(data))
        self.assert_nothing(self.package)

    def test_full(self) -> None:
        """On a full disk nothing arrives, and what has begun is not kept by halves."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data, 0)
        self.fill()
        with self.assertRaises(StoreFull):
            assembly.put(1, piece(self.package, self.data, 1))
        self.assertEqual(assembly.held, Bits(0b0001))
        self.assertEqual(self.repository.read(self.package, 0), piece(self.package, self.data, 0))
        with self.assertRaises(StoreFull):
            self.repository.assemble(package_of(b"small")[0]).put(0, b"small")

    def test_cut_anew(self) -> None:
        """The same bytes cut in another way are another arrival; pieces of the two never mix."""
        assembly = self.repository.assemble(self.package)
        assembly.put_hashes(self.raw)
        self.fill_in(assembly, self.data, 0)
        other, raw = package_of(self.data, 2 * SMALLEST)
        again = self.repository.assemble(other)
        self.assertEqual((again.held, self.repository.held(self.package)), (Bits(), Bits()))
        with self.assertRaises(NotHere):
            assembly.put(1, piece(self.package, self.data, 1))
        self.store(self.data, other, raw)
        self.assert_whole(self.data, other, raw)
        self.assertEqual(self.repository.held(self.package), Bits())
        self.assertIsNone(self.repository.read(self.package, 0))
