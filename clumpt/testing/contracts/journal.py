"""What every L{IJournal} does."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import Conflict, IdentityError
from clumpt.interfaces import IJournal
from clumpt.model import Action, Entry, GroupName, Outcome, PeerName, Record, State, Update
from clumpt.pieces import digest_of

# A test case for the type checker alone: as a real one, it would be run without a subject.
if TYPE_CHECKING:
    Base = SynchronousTestCase
else:
    Base = object

DONE = Outcome(State.DONE, 0, "", 1.5)
FAILED = Outcome(State.FAILED, 3, "exit status 3", 0.25)
HELD = Outcome(State.HELD, None, "interrupted: nobody knows how it ended")
SKIPPED = Outcome(State.SKIPPED, None, "not for this peer")


def entry(seq: int) -> Entry:
    """An entry for C{seq}; nothing in a journal depends on what it says."""
    update = Update(
        deployment="d1",
        seq=seq,
        prev=digest_of(b""),
        submit_id=f"s{seq}",
        issued=0,
        groups=frozenset({GroupName("all")}),
        action=Action.RUN,
        installer="command",
    )
    envelope = b"envelope %d" % seq
    return Entry(update, envelope, digest_of(envelope))


class JournalContract(Base):
    """A subclass says how to make a journal, and how to make it again after the process was killed."""

    @abstractmethod
    def make(self) -> IJournal:
        """A new, empty journal."""

    @abstractmethod
    def restart(self, journal: IJournal) -> IJournal:
        """The same journal after its process died without closing it."""

    def setUp(self) -> None:
        """Begin with three known updates."""
        super().setUp()
        self.journal = self.make()
        self.journal.add_entries([entry(1), entry(2), entry(3)])

    def test_empty(self) -> None:
        """A new journal knows nothing, and says so."""
        journal = self.make()
        self.assertEqual((list(journal.entries()), dict(journal.states())), ([], {}))
        self.assertEqual((list(journal.roots()), journal.cached("x")), ([], None))
        self.assertEqual((journal.changes(), journal.reported()), (0, 0))
        self.assertEqual((journal.outcome(1), journal.settled_at(1), journal.attempts(1)), (None, 0, 0))
        self.assertEqual(list(journal.history()), [])

    def test_entries(self) -> None:
        """The envelopes come back in order, byte for byte, and are known."""
        self.journal.add_entries([entry(4)])
        self.journal.add_entries([])
        self.assertEqual(list(self.journal.entries()), [entry(seq).envelope for seq in (1, 2, 3, 4)])
        self.assertEqual(dict(self.journal.states()), dict.fromkeys((1, 2, 3, 4), State.KNOWN))

    def test_gap(self) -> None:
        """What does not follow the head is refused as a whole."""
        for wrong in ([3], [5], [4, 6], [5, 4]):
            with self.assertRaises(ValueError):
                self.journal.add_entries([entry(seq) for seq in wrong])
        self.assertEqual(len(self.journal.entries()), 3)
        self.assertEqual(len(self.journal.states()), 3)

    def test_way(self) -> None:
        """An update goes from known to intent to done."""
        self.assertEqual(self.journal.states()[1], State.KNOWN)
        self.assertEqual(self.journal.intend(1), 1)
        self.assertEqual(self.journal.states()[1], State.INTENT)
        self.assertIsNone(self.journal.outcome(1))
        self.journal.settle(1, DONE, 17.5)
        self.assertEqual(self.journal.states()[1], State.DONE)
        self.assertEqual((self.journal.outcome(1), self.journal.settled_at(1)), (DONE, 17.5))
        self.assertEqual(self.journal.states()[2], State.KNOWN)

    def test_never_again(self) -> None:
        """What is done is never intended again, nor forgotten."""
        self.journal.intend(1)
        self.journal.settle(1, DONE, 1.0)
        with self.assertRaises(Conflict):
            self.journal.intend(1)
        for other in (FAILED, HELD, SKIPPED):
            with self.assertRaises(Conflict):
                self.journal.settle(1, other, 2.0)
        self.assertEqual((self.journal.states()[1], self.journal.outcome(1)), (State.DONE, DONE))
        self.assertEqual((self.journal.attempts(1), self.journal.settled_at(1)), (1, 1.0))

    def test_same_again(self) -> None:
        """A result that is recorded twice counts once."""
        self.journal.settle(1, FAILED, 1.0)
        before = self.journal.changes()
        self.journal.settle(1, FAILED, 2.0)
        self.assertEqual((self.journal.changes(), self.journal.settled_at(1)), (before, 1.0))
        self.assertEqual(len(self.journal.history()), 1)

    def test_held(self) -> None:
        """What is held says why, until it goes on."""
        self.journal.settle(1, HELD, 1.0)
        self.assertEqual((self.journal.states()[1], self.journal.outcome(1)), (State.HELD, HELD))
        self.journal.intend(1)
        self.assertIsNone(self.journal.outcome(1))
        self.assertEqual(self.journal.settled_at(1), 1.0)

    def test_skipped(self) -> None:
        """What was skipped may be wanted later, when the peer joins the group (H10)."""
        self.journal.settle(1, SKIPPED, 1.0)
        self.assertEqual(self.journal.states()[1], State.SKIPPED)
        self.assertEqual(self.journal.intend(1), 1)
        self.assertEqual(self.journal.states()[1], State.INTENT)

    def test_attempts(self) -> None:
        """Attempts are counted over restarts."""
        self.assertEqual(self.journal.intend(1), 1)
        self.journal.settle(1, HELD, 1.0)
        self.journal = self.restart(self.journal)
        self.assertEqual(self.journal.intend(1), 2)
        self.assertEqual(self.journal.attempts(1), 2)

    def test_unknown(self) -> None:
        """Nothing can happen to an update that is not in the table."""
        with self.assertRaises(KeyError):
            self.journal.intend(9)
        with self.assertRaises(KeyError):
            self.journal.settle(9, DONE, 1.0)

    def test_no_end(self) -> None:
        """Only an end can be recorded as one."""
        for state in (State.KNOWN, State.FETCHED, State.INTENT):
            with self.assertRaises(ValueError):
                self.journal.settle(1, Outcome(state), 1.0)

    def test_changes(self) -> None:
        """Exactly what a report shows makes a report due."""
        journal = self.journal
        self.assertEqual(journal.changes(), 3)
        journal.set_reported(3)
        journal.intend(1)
        self.assertEqual((journal.changes(), journal.reported()), (3, 3))
        journal.settle(1, HELD, 1.0)
        self.assertEqual(journal.changes(), 4)
        journal.intend(1)
        self.assertEqual(journal.changes(), 5)
        journal.settle(1, DONE, 2.0)
        self.assertEqual((journal.changes(), journal.reported()), (6, 3))

    def test_history(self) -> None:
        """Every end is a line of the history, the newest last (R5)."""
        self.journal.intend(1)
        self.journal.settle(1, HELD, 1.0)
        self.journal.intend(1)
        self.journal.settle(1, DONE, 2.0)
        self.journal.settle(2, SKIPPED, 3.0)
        lines = [Record(1, 1, HELD, 1.0), Record(1, 2, DONE, 2.0), Record(2, 0, SKIPPED, 3.0)]
        self.assertEqual(list(self.journal.history()), lines)
        self.assertEqual(list(self.journal.history(1)), lines[-1:])
        self.assertEqual(list(self.journal.history(0)), [])

    def test_roots_and_cache(self) -> None:
        """Roots are kept in order for ever; of what is cached, the newest."""
        self.journal.add_root(b"root 1")
        self.journal.add_root(b"root 2")
        self.journal.cache("settings", b"old")
        self.journal.cache("settings", b"\x00new")
        self.journal.cache("peers", b"")
        self.journal = self.restart(self.journal)
        self.assertEqual(list(self.journal.roots()), [b"root 1", b"root 2"])
        self.assertEqual((self.journal.cached("settings"), self.journal.cached("peers")), (b"\x00new", b""))

    def test_identity(self) -> None:
        """A journal belongs to the first peer that opens it, and to no other."""
        self.journal.identity("d1", PeerName("n1"))
        self.journal = self.restart(self.journal)
        self.journal.identity("d1", PeerName("n1"))
        for deployment, peer in (("d1", "n2"), ("d2", "n1")):
            with self.assertRaises(IdentityError):
                self.journal.identity(deployment, PeerName(peer))

    def test_durable(self) -> None:
        """All that was recorded is there after the process was killed."""
        self.journal.set_reported(2)
        self.journal.intend(2)
        self.journal.settle(3, FAILED, 3.5)
        journal = self.restart(self.journal)
        self.assertEqual(list(journal.entries()), [entry(seq).envelope for seq in (1, 2, 3)])
        self.assertEqual(dict(journal.states()), {1: State.KNOWN, 2: State.INTENT, 3: State.FAILED})
        self.assertEqual((journal.outcome(3), journal.settled_at(3)), (FAILED, 3.5))
        self.assertEqual((journal.changes(), journal.reported()), (4, 2))
        self.assertEqual(list(journal.history()), [Record(3, 0, FAILED, 3.5)])
