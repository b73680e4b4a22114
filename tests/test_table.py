"""The update table, whatever comes in whatever order."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt import table as table_module
from clumpt.errors import BadDocument
from clumpt.idset import IdSet
from clumpt.model import Entry
from clumpt.pieces import Digest, digest_of
from clumpt.table import Table, Taken
from clumpt.testing import strategies
from clumpt.testing.keys import Deployment


def chain_of(length: int) -> tuple[Deployment, list[Entry]]:
    deployment = Deployment()
    for _ in range(length):
        deployment.sign()
    return deployment, deployment.entries


#: Made once, because signing is the slow part.
SITE, CHAIN = chain_of(8)
ORIGIN = SITE.keyring().origin


def other(entry: Entry, prev: Digest | None = None) -> Entry:
    """Another entry of the same seq, as a second history has one."""
    update = evolve(entry.update, why="other", prev=prev or entry.update.prev)
    return SITE.submit_key.sign_update(update)


arrivals = st.lists(st.sampled_from(CHAIN), max_size=24)
orders = st.permutations(CHAIN)
places = st.integers(0, len(CHAIN))


class OrderTests(SynchronousTestCase):
    """The order of arrival does not matter (R25, R26)."""

    def assert_whole(self, table: Table, chain: list[Entry]) -> None:
        self.assertEqual((table.head, table.after(0)), (len(chain), chain))
        self.assertEqual(table.top, chain[-1].digest if chain else ORIGIN)
        self.assertIsNone(table.fork)

    @given(strategies.entries())
    def test_in_order(self, signed: tuple[Deployment, list[Entry]]) -> None:
        """A chain that comes in order joins entry by entry, and is found again."""
        deployment, chain = signed
        table = Table(deployment.keyring().origin)
        for entry in chain:
            self.assertEqual(table.take(entry), (Taken.ADDED, [entry]))
            self.assertEqual((table.top, table[entry.seq]), (entry.digest, entry))
        self.assert_whole(table, chain)

    @given(orders)
    def test_any_order(self, order: list[Entry]) -> None:
        """Any order gives the same table, and each entry joins once, in order of seq."""
        table, joined = Table(ORIGIN), []
        for entry in order:
            joined += table.take(entry)[1]
        self.assert_whole(table, CHAIN)
        self.assertEqual(joined, CHAIN)

    @given(arrivals)
    def test_at_any_time(self, arrived: list[Entry]) -> None:
        """At any time the head is the last seq before the first gap, and all that came is known."""
        table, seen = Table(ORIGIN), IdSet()
        for entry in arrived:
            known_before = entry.seq in seen
            seen = seen.with_id(entry.seq)
            taken, joined = table.take(entry)
            self.assertEqual(taken is Taken.KNOWN, known_before)
            self.assertEqual(bool(joined), taken is Taken.ADDED)
            self.assertEqual((table.known, table.head), (seen, seen.settled))
            self.assert_whole(table, CHAIN[: seen.settled])

    @given(orders, st.integers(1, 4))
    def test_bounded_waiting(self, order: list[Entry], most: int) -> None:
        """However many come too early, few are kept; the others join when they come again."""
        self.patch(table_module, "MOST_WAITING", most)
        table = Table(ORIGIN)
        for entry in order:
            taken, _ = table.take(entry)
            self.assertIn(taken, (Taken.ADDED, Taken.WAITING))
            self.assertLessEqual(len(table.known) - table.head, most)
        for entry in CHAIN:
            table.take(entry)
        self.assert_whole(table, CHAIN)

    def test_lookup(self) -> None:
        """What is not in the chain is not found, also if it waits beyond a gap."""
        table = Table(ORIGIN)
        for entry in (CHAIN[0], CHAIN[1], CHAIN[3]):
            table.take(entry)
        for seq in (-1, 0, 3, 4, 9):
            self.assertRaises(KeyError, table.__getitem__, seq)
        found = [table.digest_at(seq) for seq in (-1, 0, 1, 2, 3, 4)]
        self.assertEqual(found, [None, ORIGIN, CHAIN[0].digest, CHAIN[1].digest, None, None])
        self.assertEqual(table.after(1), [CHAIN[1]])


class SameTests(SynchronousTestCase):
    """What came before is known by its bytes."""

    def test_same(self) -> None:
        """All that are chained or wait are found, and nothing else is."""
        table = Table(ORIGIN)
        self.assertIsNone(table.same(CHAIN[0].envelope))
        for entry in (*CHAIN[:2], CHAIN[3]):
            table.take(entry)
        for entry in (*CHAIN[:2], CHAIN[3]):
            self.assertEqual(table.same(entry.envelope), entry)
        for stranger in (CHAIN[2], CHAIN[4], other(CHAIN[3])):
            self.assertIsNone(table.same(stranger.envelope))

    def test_fork(self) -> None:
        """What contradicts the chain is not known, even if it waited."""
        table = Table(ORIGIN)
        false = other(CHAIN[1], prev=ORIGIN)
        for entry in (false, CHAIN[0]):
            table.take(entry)
        self.assertEqual((table.head, table.fork), (1, false))
        self.assertIsNone(table.same(false.envelope))


class ForkTests(SynchronousTestCase):
    """Two histories that were signed do not go unseen."""

    @given(orders, st.sampled_from(CHAIN), places)
    def test_two_of_one_seq(self, order: list[Entry], forked: Entry, place: int) -> None:
        """A second entry of a seq is seen, whenever it comes; the table stays one chain."""
        second = other(forked)
        table, told = Table(ORIGIN), []
        for entry in [*order[:place], second, *order[place:]]:
            told.append(table.take(entry)[0])
        self.assertIsNotNone(table.fork)
        self.assert_chained(table)
        self.assertGreaterEqual(table.head, forked.seq - 1)

    @given(orders, st.sampled_from(CHAIN), places)
    def test_other_past(self, order: list[Entry], forked: Entry, place: int) -> None:
        """So is an entry that speaks of another past, even where nobody has one of its seq."""
        successor = other(forked, prev=digest_of(b"elsewhere"))
        table = Table(ORIGIN)
        for entry in [*order[:place], successor, *order[place:]]:
            if entry.seq != forked.seq or entry is successor:
                table.take(entry)
        self.assertIsNotNone(table.fork)
        self.assert_chained(table)
        self.assertEqual(table.head, forked.seq - 1)

    @given(orders)
    def test_evidence(self, order: list[Entry]) -> None:
        """The first contradiction is kept, and is one of the two."""
        second, third = other(CHAIN[2]), other(CHAIN[5])
        table = Table(ORIGIN)
        for entry in [*order, second, third]:
            table.take(entry)
        self.assertEqual(table.fork, second)
        self.assertEqual(table.after(0), CHAIN)

    def test_answer(self) -> None:
        """Whoever offers the contradiction is told, while it waits as well as in the chain."""
        table = Table(ORIGIN)
        self.assertEqual(table.take(CHAIN[4]), (Taken.WAITING, []))
        self.assertEqual(table.take(other(CHAIN[4])), (Taken.FORKED, []))
        for entry in CHAIN[:4]:
            table.take(entry)
        self.assertEqual((table.head, table.take(other(CHAIN[1]))), (5, (Taken.FORKED, [])))
        self.assertEqual(table.take(CHAIN[1]), (Taken.KNOWN, []))

    def test_waiting_contradiction(self) -> None:
        """An entry that waited, and proves to be of another history, does not join; others go on."""
        table, wrong = Table(ORIGIN), other(CHAIN[2], prev=digest_of(b"elsewhere"))
        for entry in (CHAIN[0], wrong, CHAIN[3]):
            table.take(entry)
        self.assertEqual(table.take(CHAIN[1]), (Taken.ADDED, [CHAIN[1]]))
        self.assertEqual((table.head, table.fork), (2, wrong))
        self.assertEqual(table.take(CHAIN[2]), (Taken.ADDED, [CHAIN[2], CHAIN[3]]))

    def assert_chained(self, table: Table) -> None:
        before = ORIGIN
        for seq, entry in enumerate(table.after(0), 1):
            self.assertEqual((entry.seq, entry.update.prev), (seq, before))
            before = entry.digest


class RestoreTests(SynchronousTestCase):
    """A table comes back from the journal."""

    @given(places)
    def test_restore(self, length: int) -> None:
        """A chain that was kept is the same table again."""
        table = Table(ORIGIN)
        table.restore(CHAIN[:length])
        self.assertEqual((table.head, table.after(0)), (length, CHAIN[:length]))

    @given(st.lists(st.sampled_from([*CHAIN[:4], other(CHAIN[1])]), min_size=1, max_size=6))
    def test_damaged(self, kept: list[Entry]) -> None:
        """A journal with a gap, a repetition or another history in it is refused."""
        table = Table(ORIGIN)
        second = other(CHAIN[1])
        if kept in (CHAIN[: len(kept)], [CHAIN[0], second]):
            table.restore(kept)
        else:
            error = self.assertRaises(BadDocument, table.restore, kept)
            self.assertIn("breaks at update", str(error))

    def test_other_origin(self) -> None:
        """A table of another deployment does not fit this one."""
        self.assertRaises(BadDocument, Table(digest_of(b"elsewhere")).restore, CHAIN)
