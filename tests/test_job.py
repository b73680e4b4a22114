"""What is to be done about each update: L{clumpt.agent.job}."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.job import Agenda, Fetch, Nothing, Run, Settle, Step
from clumpt.agent.recovery import verdicts
from clumpt.model import (
    Action,
    Entry,
    Failure,
    Group,
    GroupName,
    Package,
    PeerName,
    PeerStatus,
    State,
    Update,
)
from clumpt.pieces import Pieces, digest_of

ALL = GroupName("all")
GPU = GroupName("gpu")
ME = PeerName("node001")
ZERO = digest_of(b"")


def package(name: str) -> Package:
    return Package(name, "1", "all", f"{name}.deb", digest_of(name.encode()), Pieces(5, 16384, ZERO))


def entry(seq: int, **fields: Any) -> Entry:
    """An update of one package for the group of all, unless C{fields} say otherwise."""
    given_fields = {
        "groups": frozenset({ALL}),
        "action": Action.INSTALL,
        "installer": "dpkg",
        "packages": (package(f"p{seq}"),),
    } | fields
    update = Update("d1", seq, ZERO, f"s{seq}", 0, **given_fields)
    return Entry(update, b"", digest_of(str(seq).encode()))


def withdrawal(seq: int, of: int) -> Entry:
    return entry(seq, action=Action.WITHDRAW, packages=(), withdraws=(of,))


class AgendaTests(SynchronousTestCase):
    """The agenda of a peer in the group of all."""

    def setUp(self) -> None:
        self.agenda = Agenda(ME, frozenset({ALL}))

    def step(self, holds: bool = True, now: float = 0) -> Step:
        return self.agenda.next(now, {"dpkg"}, lambda package: holds)

    def test_nothing(self) -> None:
        """Without updates there is nothing to do."""
        self.assertEqual(self.step(), Nothing())

    def test_policy(self) -> None:
        """What a group of this peer refuses is not run here, and the reason says who refuses what (R11)."""
        self.agenda.policies = lambda: [Group(GPU, "", frozenset({"dpkg"}), refuses=frozenset({"p[12]"}))]
        off = entry(3, action=Action.WITHDRAW, installer="rpm", packages=(), withdraws=(2,))
        self.agenda.add([entry(1), off])
        why = "refused: group gpu does not allow p1: it refuses p[12]"
        self.assertEqual(self.step(holds=False), Settle(entry(1), State.FAILED, why))
        # What was begun is ended, whatever is allowed by now.
        self.agenda.mark(1, State.INTENT)
        self.assertEqual(self.step(), Run(entry(1)))
        self.agenda.mark(1, State.DONE)
        self.assertEqual(self.step(), Settle(off, State.DONE, ""))
        self.agenda.mark(3, State.DONE)
        self.agenda.add([entry(4)])
        self.assertEqual(self.step(), Run(entry(4)))

    def test_order(self) -> None:
        """The lowest open update is next, and only it."""
        self.agenda.add([entry(1), entry(2)])
        self.assertEqual(self.step(), Run(entry(1)))
        self.agenda.mark(1, State.INTENT)
        self.assertEqual(self.step(), Run(entry(1)))
        self.agenda.mark(1, State.DONE)
        self.assertEqual(self.step(), Run(entry(2)))

    def test_fetch_first(self) -> None:
        """What is not here cannot be run, and nothing overtakes it."""
        self.agenda.add([entry(1), entry(2)])
        step = self.agenda.next(0, {"dpkg"}, lambda package: package.name == "p2")
        self.assertEqual(step, Fetch(entry(1), (package("p1"),)))

    def test_came(self) -> None:
        """An update of which all packages came counts as fetched, unless it has come further."""
        both = (package("p1"), package("p2"))
        self.agenda.add([entry(1, packages=both), entry(2)])
        self.assertEqual(self.agenda.came(both[0], lambda other: other == both[0]), [1])
        self.assertIs(self.agenda.states[1], State.KNOWN)
        self.agenda.mark(2, State.INTENT)
        self.assertEqual(self.agenda.came(both[1], lambda other: True), [1, 2])
        self.assertEqual(self.agenda.states, {1: State.FETCHED, 2: State.INTENT})
        self.assertEqual(self.agenda.came(package("other"), lambda other: True), ())

    def test_ahead(self) -> None:
        """Packages are wanted of a few updates, however large, and of more while they are small."""
        self.agenda.add([entry(seq) for seq in range(1, 9)])
        for few, most, size, wanted in (
            (2, 8, 0, 2),
            (2, 8, 5, 2),
            (2, 8, 16, 4),
            (2, 8, 99, 8),
            (2, 5, 99, 5),
        ):
            packages = self.agenda.wanted(few, most, size)
            self.assertEqual(packages, [package(f"p{seq}") for seq in range(1, wanted + 1)])

    def test_not_for_the_withdrawn(self) -> None:
        """What was withdrawn needs no package."""
        self.agenda.add([entry(1), entry(2), withdrawal(3, of=1)])
        self.assertEqual(self.agenda.wanted(8, 8, 0), [package("p2")])

    def test_failure_goes_on(self) -> None:
        """A failure does not stop later updates (H6)."""
        self.agenda.add([entry(1), entry(2)])
        self.agenda.mark(1, State.FAILED)
        self.assertEqual(self.step(), Run(entry(2)))

    def test_requires(self) -> None:
        """A failure stops what requires it (H6)."""
        self.agenda.add([entry(1), entry(2, requires=(1,))])
        self.agenda.mark(1, State.FAILED)
        step = self.step()
        assert isinstance(step, Settle)
        self.assertEqual(
            (step.state, step.reason), (State.FAILED, "it requires update 1, which is failed here")
        )

    def test_requires_retried(self) -> None:
        """A retry that succeeded satisfies what requires the first attempt."""
        self.agenda.add([entry(1), entry(2, retries=1), entry(3, requires=(1,))])
        self.agenda.mark(1, State.FAILED)
        self.agenda.mark(2, State.DONE)
        self.assertEqual(self.step(), Run(entry(3, requires=(1,))))

    def test_withdrawn(self) -> None:
        """A withdrawn update is skipped if it did not begin to run."""
        self.agenda.add([entry(1), withdrawal(2, 1)])
        self.assertEqual(self.step(), Settle(entry(1), State.SKIPPED, "withdrawn by update 2"))
        self.agenda.mark(1, State.SKIPPED)
        self.assertEqual(self.step(), Settle(withdrawal(2, 1), State.DONE, ""))

    def test_withdrawn_too_late(self) -> None:
        """An update whose run began is seen to its end."""
        self.agenda.add([entry(1)])
        self.agenda.mark(1, State.INTENT)
        self.agenda.add([withdrawal(2, 1)])
        self.assertEqual(self.step(), Run(entry(1)))

    def test_not_ours(self) -> None:
        """Updates for others are settled from the start."""
        self.agenda.add([entry(1, groups=frozenset({GPU})), entry(2, exclude=frozenset({ME}))])
        self.assertEqual(self.step(), Nothing())
        self.assertEqual(self.agenda.settled(2).settled, 2)

    def test_joining_a_group(self) -> None:
        """Who joins a group gets its earlier updates too (H10)."""
        table = [entry(1, groups=frozenset({GPU})), entry(2)]
        self.agenda.add(table)
        self.agenda.mark(2, State.DONE)
        self.agenda.regroup(frozenset({ALL, GPU}), table)
        self.assertEqual(self.step(), Run(table[0]))

    def test_expired(self) -> None:
        """An order with an end is not begun after it."""
        self.agenda.add([entry(1, not_after=100)])
        self.assertIsInstance(self.step(now=99), Run)
        self.assertIsInstance(self.step(now=101), Settle)

    def test_forbidden_installer(self) -> None:
        """An installer outside the allow-list fails, and says which setting it is (H3)."""
        self.agenda.add([entry(1, installer="command")])
        step = self.step()
        assert isinstance(step, Settle)
        self.assertIn("[install]", step.reason)

    def test_stuck(self) -> None:
        """An update of which nobody knows how it ended stays, until it is tried again by order."""
        self.agenda.add([entry(1)])
        self.agenda.mark(1, State.HELD)
        self.agenda.stuck.add(1)
        self.assertEqual(self.step(), Nothing())
        self.agenda.add([entry(2, retries=1)])
        self.assertEqual(self.step(), Settle(entry(1), State.SKIPPED, "tried again by update 2"))

    @given(st.lists(st.sampled_from([State.DONE, State.FAILED, State.SKIPPED]), max_size=8), st.data())
    def test_settled(self, ends: list[State], data: st.DataObject) -> None:
        """Settled is what is not open, whatever the order in which things end."""
        agenda = Agenda(ME, frozenset({ALL}))
        agenda.add([entry(seq) for seq in range(1, len(ends) + 1)])
        over = data.draw(st.sets(st.integers(1, max(1, len(ends)))))
        over &= set(range(1, len(ends) + 1))
        for seq in over:
            agenda.mark(seq, ends[seq - 1])
        self.assertEqual(set(agenda.settled(len(ends))), over)


class RecoveryTests(SynchronousTestCase):
    """What is done when the journal of a node was lost: L{clumpt.agent.recovery}."""

    def test_verdicts(self) -> None:
        """What the directory does not know is held, what it knows is believed, what is newer is left open."""
        agenda = Agenda(ME, frozenset({ALL}))
        agenda.add([entry(seq) for seq in range(1, 6)])
        failure = Failure(2, State.FAILED, 9, 0, "no")
        status = PeerStatus(ME, head=4, settled=2, above="4", failures=(failure,))
        found = {seq: outcome.state for seq, outcome in verdicts(agenda, status, 5)}
        self.assertEqual(found, {1: State.DONE, 2: State.FAILED, 3: State.HELD, 4: State.DONE})

    def test_never_reported(self) -> None:
        """Of a peer that never said anything, nothing is known: all is held."""
        agenda = Agenda(ME, frozenset({ALL}))
        agenda.add([entry(1), entry(2)])
        found = {seq: outcome.state for seq, outcome in verdicts(agenda, None, 2)}
        self.assertEqual(found, {1: State.HELD, 2: State.HELD})
