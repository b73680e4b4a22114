"""The installer of the simulations keeps the contract, and tells the truth about power cuts."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from clumpt.interfaces import IInstaller
from clumpt.model import Action, Entry, Outcome, State, Update
from clumpt.testing.contracts.installer import InstallerContract
from clumpt.testing.memory_installer import (
    Fate,
    MemoryInstaller,
    MemoryMachine,
    failure,
    hang,
    locked,
    success,
)
from tests.installing import an_entry, an_update, package_of

ALLOWED = frozenset({"dpkg", "command"})


class MemoryContractTests(InstallerContract, TestCase):
    """L{MemoryInstaller} keeps the contract."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.clock = Clock()
        self.failing: set[int] = set()
        self.machine = MemoryMachine(self.clock, Random(1), self.plan)

    def plan(self, update: Update, attempt: int, random: Random) -> Fate:
        return (failure if update.seq in self.failing else success)(update, attempt, random)

    def make_installer(self, allowed: frozenset[str]) -> IInstaller:
        return MemoryInstaller(self.clock, self.machine, allowed)

    def make_entry(self, seq: int, fails: bool = False) -> tuple[Entry, Sequence[Path]]:
        if fails:
            self.failing.add(seq)
        path = self.folder / f"hello_{seq}.0_all.deb"
        path.write_bytes(b"hello")
        return an_entry(an_update(seq=seq, packages=(package_of(path),))), [path]

    def effects(self, seq: int) -> int:
        return self.machine.effects(seq)

    def ending(self, running: Deferred[Outcome]) -> Deferred[Outcome]:
        self.clock.advance(10)
        return running


class MachineTests(SynchronousTestCase):
    """What survives what."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.machine = MemoryMachine(self.clock, Random(1))
        self.entry = an_entry(an_update("command", Action.RUN, argv=("/bin/true",)))

    def start(self, clock: Clock, attempt: int = 1, entry: Entry | None = None) -> Deferred[Outcome]:
        installer = IInstaller(MemoryInstaller(clock, self.machine, ALLOWED))
        return installer.run(entry or self.entry, attempt, [])  # type: ignore[no-any-return]

    def outcome(self, attempt: int = 1) -> Outcome:
        running = self.start(self.clock, attempt)
        self.clock.advance(4000)
        return self.successResultOf(running)

    def test_crash(self) -> None:
        """A run goes on while the daemon is dead, and the next one adopts it."""
        dead = Clock()
        self.start(dead)
        self.clock.advance(10)
        self.assertEqual(self.machine.effects(1), 1)
        self.assertIs(self.successResultOf(self.start(self.clock)).state, State.DONE)
        self.assertEqual(len(self.machine.runs), 1)

    @given(st.integers(0, 2**32), st.floats(0.0, 6.0))
    def test_power(self, seed: int, at: float) -> None:
        """Whenever the power fails, no result means interrupted, and the effect may or may not be there."""
        self.clock = Clock()
        self.machine = MemoryMachine(self.clock, Random(seed))
        self.start(Clock())
        [ran] = self.machine.runs
        ended, effect = ran.ends, ran.effect
        assert effect is not None
        self.clock.advance(at)
        self.machine.power_loss()
        self.assertEqual(self.machine.effects(1), int(effect <= at))
        if ended <= at:
            self.assertIs(self.outcome().state, State.DONE)
        elif at > 0:
            self.assertTrue(self.outcome().reason.startswith("interrupted"))
            self.assertIs(self.outcome(2).state, State.DONE)
            self.assertEqual(self.machine.effects(1), int(effect <= at) + 1)

    def test_one_at_a_time(self) -> None:
        """Two updates never overlap; one that waited when the power failed was never begun."""
        self.machine.plan = hang
        second = an_entry(an_update("command", Action.RUN, argv=("/bin/true",), seq=2))
        self.start(Clock())
        self.start(Clock(), entry=second)
        one, two = self.machine.runs
        self.assertEqual(two.began, one.ends)
        self.clock.advance(5)
        self.machine.power_loss()
        self.assertEqual([ran.seq for ran in self.machine.runs], [1])
        self.machine.plan = success
        running = self.start(self.clock, entry=second)
        self.clock.advance(10)
        self.assertIs(self.successResultOf(running).state, State.DONE)

    def test_plans(self) -> None:
        """Runs fail, hang and find locks as planned."""
        for attempt, (plan, state, code, effects) in enumerate(
            (
                (locked, State.HELD, None, 0),
                (failure, State.FAILED, 1, 1),
                (hang, State.FAILED, -9, 2),
                (success, State.DONE, 0, 3),
            ),
            1,
        ):
            self.machine.plan = plan
            outcome = self.outcome(attempt)
            self.assertEqual((outcome.state, outcome.code), (state, code))
            self.assertEqual(self.machine.effects(1), effects)

    def test_withdrawal(self) -> None:
        """A withdrawal has nothing to run."""
        entry = an_entry(an_update("command", Action.WITHDRAW))
        self.assertIs(self.successResultOf(self.start(self.clock, entry=entry)).state, State.FAILED)

    def test_same_seed(self) -> None:
        """The same seed gives the same moments."""
        diaries = []
        for _ in range(2):
            self.machine = MemoryMachine(Clock(), Random(7))
            self.start(Clock())
            diaries.append(str(self.machine.runs))
        self.assertEqual(*diaries)
