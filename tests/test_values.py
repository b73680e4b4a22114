"""The values of the ground floor."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadDocument
from clumpt.idset import IdSet
from clumpt.model import Address
from clumpt.pieces import MANY, MOST, Bits, HashList, Pieces, digest_of, piece_size

ids = st.sets(st.integers(1, 40))


class IdSetTests(SynchronousTestCase):
    """L{IdSet} is a set, whatever its ranges look like."""

    @given(ids, ids)
    def test_algebra(self, one: set[int], other: set[int]) -> None:
        """Union and difference are those of sets."""
        self.assertEqual(set(IdSet.of(one) | IdSet.of(other)), one | other)
        self.assertEqual(set(IdSet.of(one) - IdSet.of(other)), one - other)

    @given(ids)
    def test_text(self, some: set[int]) -> None:
        """What is written can be read, and says the same."""
        written = IdSet.of(some)
        self.assertEqual(IdSet.parse(str(written)), written)
        self.assertEqual(len(written), len(some))

    @given(ids)
    def test_settled(self, some: set[int]) -> None:
        """The mark is the last id before the first gap."""
        mark = IdSet.of(some).settled
        self.assertTrue(set(range(1, mark + 1)) <= some)
        self.assertNotIn(mark + 1, some)

    def test_nonsense(self) -> None:
        """What is no set of ids is refused."""
        for text in ("0", "4-2", "x", "1,,2"):
            with self.assertRaises(ValueError):
                IdSet.parse(text)


class PiecesTests(SynchronousTestCase):
    """How packages are cut."""

    @given(st.integers(0, 16 * 1024**3), st.integers(0, 2 * MANY))
    def test_whole(self, total: int, peers: int) -> None:
        """The pieces of any package for anybody add up to it, and are never too many."""
        pieces = Pieces(total, piece_size(total, peers), digest_of(b""))
        self.assertLessEqual(pieces.count, MOST)
        if pieces.count:
            last = pieces.count - 1
            self.assertEqual(pieces.offset(last) + pieces.length(last), total)

    def test_many_peers(self) -> None:
        """For thousands of peers pieces are smaller, unless they would be too many."""
        for total, few, many in (
            (20_000, 64, 64),
            (500_000, 16, 16),
            (20_000_000, 64, 32),
            (40_000_000, 128, 64),
            (600 * 1024 * 1024, 1024, 1024),
        ):
            sizes = [piece_size(total, peers) // 1024 for peers in (MANY - 1, MANY)]
            self.assertEqual(sizes, [few, many], total)

    @given(st.binary(max_size=100_000))
    def test_blame(self, data: bytes) -> None:
        """A piece is recognised by its own hash."""
        size = piece_size(len(data))
        cut = [data[at : at + size] for at in range(0, len(data), size)]
        raw = b"".join(bytes.fromhex(digest_of(piece)) for piece in cut)
        hashes = HashList.checked(raw, Pieces(len(data), size, digest_of(raw)))
        for index, piece in enumerate(cut):
            self.assertTrue(hashes.matches(index, piece))
            self.assertFalse(hashes.matches(index, piece + b"x"))

    def test_wrong_list(self) -> None:
        """A list that is not the signed one is refused."""
        pieces = Pieces(10, 16384, digest_of(b"y" * 32))
        for raw in (b"x" * 32, b"y" * 31, b""):
            with self.assertRaises(BadDocument):
                HashList.checked(raw, pieces)

    @given(st.sets(st.integers(0, 99)))
    def test_bits(self, some: set[int]) -> None:
        """A bit field is the set of its pieces, also over the wire."""
        bits = Bits()
        for index in some:
            bits = bits.with_bit(index)
        self.assertEqual(set(Bits.decode(bits.encode(100), 100)), some)
        with self.assertRaises(BadDocument):
            Bits.decode(bits.encode(100) + b"\0", 100)
        with self.assertRaises(BadDocument):
            Bits.decode(b"\xff" * 13, 100)


class AddressTests(SynchronousTestCase):
    """Where peers listen."""

    def test_text(self) -> None:
        """Names, IPv4 and IPv6 addresses survive being written."""
        for host in ("node1.example.org", "10.0.0.1", "fe80::1"):
            address = Address(host, 4417, 4418)
            self.assertEqual(Address.parse(str(address)), address)
