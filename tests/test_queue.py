"""Running what is to be run, in order: L{clumpt.agent.queue}."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.job import Agenda
from clumpt.agent.queue import HELD_PAUSE, MOMENT, Queue
from clumpt.errors import NotHere
from clumpt.model import Action, Entry, GroupName, Interrupted, Outcome, PeerName, State
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.keys import Deployment
from clumpt.testing.memory_journal import MemoryJournal
from tests.test_job import package

DONE = Outcome(State.DONE, 0)
FAILED = Outcome(State.FAILED, 1, "the installer ended with 1")
INTERRUPTED = Outcome(State.HELD, None, "interrupted: the install helper died during the run")
LOCKED = Outcome(State.HELD, None, "locked: by somebody else")
DAMAGED = Outcome(State.HELD, None, "damaged: not the package that was signed")


class Installer:
    """Ends runs as it was told to, in order; the last word holds for the rest."""

    allowed = frozenset({"dpkg"})

    def __init__(self, *ends: Outcome) -> None:
        self.ends = list(ends)
        self.runs: list[tuple[int, int]] = []

    def run(self, entry: Entry, attempt: int, packages: Sequence[Path]) -> Deferred[Outcome]:
        self.runs.append((entry.seq, attempt))
        return succeed(self.ends.pop(0) if len(self.ends) > 1 else self.ends[0])


class Repository:
    """Holds whatever it is asked for, until it finds it damaged."""

    def __init__(self) -> None:
        self.whole = True
        self.checked = 0

    def holds(self, digest: str) -> bool:
        return self.whole

    def path(self, digest: str) -> Path:
        if not self.whole:
            raise NotHere(digest)
        return Path("/repository") / digest

    def check(self, digest: str) -> Deferred[bool]:
        self.checked += 1
        self.whole = False
        return succeed(False)


class QueueTests(SynchronousTestCase):
    """One peer's queue, with updates that need no package unless a test gives one."""

    def make(self, *ends: Outcome) -> None:
        self.clock = Clock()
        self.keys = Deployment()
        self.agenda = Agenda(PeerName("node001"), frozenset({GroupName("all")}))
        self.disk = MemoryDisk(Random(1))
        self.journal: Any = MemoryJournal(self.disk)
        self.repository = Repository()
        self.installer = Installer(*ends)
        self.keyring: Any = self.keys.keyring()
        self.queue = Queue(
            self.clock,
            lambda: 1000.0 + self.clock.seconds(),
            self.agenda,
            self.journal,
            self.repository,
            self.installer,
            self.keyring,
            lambda seq: None,
        )

    def submit(self, **fields: Any) -> None:
        entry = self.keys.sign(**fields)
        self.journal.add_entries([entry])
        self.agenda.add([entry])
        self.queue.wake()

    def test_order(self) -> None:
        """Updates are run once each, in order, and their ends are in the journal."""
        self.make(DONE, FAILED, DONE)
        for _ in range(3):
            self.submit()
        self.assertEqual(self.installer.runs, [(1, 1), (2, 1), (3, 1)])
        self.assertEqual(dict(self.journal.states()), {1: State.DONE, 2: State.FAILED, 3: State.DONE})
        self.assertEqual(self.journal.settled_at(2), 1000.0)

    def test_result_lost_with_power(self) -> None:
        """The end of a run waits for no disk: the installer has it, and is asked again if it was lost."""
        lost = 0
        for seed in range(10):
            self.make(FAILED)
            self.submit()
            self.assertIs(self.journal.states()[1], State.FAILED)
            self.disk._random.seed(seed)
            self.disk.power_loss()
            self.journal = MemoryJournal(self.disk)
            self.assertIn(self.journal.states()[1], (State.INTENT, State.FAILED))
            if self.journal.states()[1] is State.INTENT:
                lost += 1
                self.queue._journal = self.journal
                self.agenda.states.update(self.journal.states())
                self.agenda.regroup(self.agenda.groups, self.keys.entries)
                self.queue.wake()
                # The attempt that it knows, not another one.
                self.assertEqual(self.installer.runs, [(1, 1), (1, 1)])
                self.assertIs(self.journal.states()[1], State.FAILED)
        self.assertGreater(lost, 0)

    def test_end_before_the_next(self) -> None:
        """The end of a run is durable before the next begins."""
        for seed in range(10):
            self.make(DONE)
            self.submit()
            self.submit()
            self.disk._random.seed(seed)
            self.disk.power_loss()
            self.assertIs(MemoryJournal(self.disk).states()[1], State.DONE)

    def test_other_ends_are_durable(self) -> None:
        """What ends without a run, or is held, is nowhere but in the journal: that waits for the disk."""
        for seed in range(10):
            self.make(LOCKED)
            self.submit()
            self.submit(action=Action.WITHDRAW, withdraws=(1,))
            self.disk._random.seed(seed)
            self.disk.power_loss()
            states = MemoryJournal(self.disk).states()
            self.assertEqual(dict(states), {1: State.SKIPPED, 2: State.DONE})

    def test_one_at_a_time(self) -> None:
        """While one is run, others wait, however often the queue is woken."""
        self.make()
        ends: list[Deferred[Outcome]] = [Deferred(), Deferred()]
        given = iter(ends)
        self.patch(self.installer, "run", lambda *words: next(given))
        self.submit()
        self.submit()
        self.queue.wake()
        self.assertEqual(dict(self.journal.states()), {1: State.INTENT, 2: State.KNOWN})
        ends[0].callback(DONE)
        self.assertEqual(dict(self.journal.states()), {1: State.DONE, 2: State.INTENT})

    def test_interrupted_once(self) -> None:
        """A run that was cut off is run once more, in a moment, if its rule is to rerun."""
        self.make(INTERRUPTED, DONE)
        self.submit()
        self.assertEqual(self.installer.runs, [(1, 1)])
        self.clock.advance(MOMENT)
        self.assertEqual(self.installer.runs, [(1, 1), (1, 2)])
        self.assertEqual(self.journal.states()[1], State.DONE)

    def test_interrupted_as_all_ends(self) -> None:
        """A machine goes down, ends the run, and this peer a moment later: the next start counts it."""
        self.make(INTERRUPTED)
        self.submit()
        self.queue.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(10 * MOMENT)
        self.assertEqual(self.installer.runs, [(1, 1)])
        self.assertEqual((self.journal.states()[1], self.journal.attempts(1)), (State.INTENT, 1))

    def test_interrupted_twice(self) -> None:
        """Never more than one extra run: after that an administrator decides."""
        self.make(INTERRUPTED)
        self.submit()
        self.clock.pump([MOMENT, MOMENT, 10 * HELD_PAUSE])
        self.queue.wake()
        self.assertEqual(self.installer.runs, [(1, 1), (1, 2)])
        self.assertEqual(self.journal.states()[1], State.HELD)

    def test_interrupted_hold(self) -> None:
        """A run that was cut off is not repeated if its rule is to hold; a retry by order goes on."""
        self.make(INTERRUPTED, DONE)
        self.submit(interrupted=Interrupted.HOLD)
        self.clock.advance(MOMENT)
        self.assertEqual(self.installer.runs, [(1, 1)])
        self.submit(retries=1)
        self.assertEqual(self.installer.runs, [(1, 1), (2, 1)])
        self.assertEqual(dict(self.journal.states()), {1: State.SKIPPED, 2: State.DONE})

    def test_locked(self) -> None:
        """While somebody else has the package manager the update is held, and tried again later."""
        self.make(LOCKED, DONE)
        self.submit()
        self.assertEqual(self.journal.states()[1], State.HELD)
        self.clock.advance(HELD_PAUSE)
        self.assertEqual(self.journal.states()[1], State.DONE)

    def test_other_hindrance(self) -> None:
        """What the installer cannot do here fails, and says why."""
        self.make(Outcome(State.HELD, None, "dnf is not installed on this node"))
        self.submit()
        self.assertEqual(self.journal.states()[1], State.FAILED)
        outcome = self.journal.outcome(1)
        self.assertEqual(outcome.reason, "dnf is not installed on this node")

    def test_damaged(self) -> None:
        """A package that turns out to be damaged is thrown away, to be fetched again, and run then."""
        self.make(DAMAGED, DONE)
        self.submit(packages=(package("p"),))
        self.assertEqual(self.repository.checked, 1)
        self.assertEqual(self.journal.states()[1], State.HELD)
        self.repository.whole = True
        self.queue.wake()
        self.assertEqual(self.installer.runs, [(1, 1), (1, 2)])
        self.assertEqual(self.journal.states()[1], State.DONE)

    def test_distrusted(self) -> None:
        """What is not trusted any more when its turn comes is not run (promise 1)."""
        self.make(DONE)
        keys = self.keys
        self.keyring.learn_root(keys.root_key.sign_root(keys.root(version=2, submitters=())))
        self.submit()
        self.assertEqual(self.installer.runs, [])
        self.assertEqual(self.journal.states()[1], State.FAILED)

    def test_full_disk(self) -> None:
        """A journal without room loses nothing: what ended is recorded when there is room again."""
        self.make(DONE)
        run = self.installer.run

        def run_and_fill(*words: Any) -> Deferred[Outcome]:
            self.disk.limit = 0
            return run(*words)

        self.installer.run = run_and_fill  # type: ignore[method-assign]  # only here
        self.submit()
        self.assertEqual(self.journal.states()[1], State.INTENT)
        self.disk.limit = None
        self.installer.run = run  # type: ignore[method-assign]
        self.clock.advance(HELD_PAUSE)
        self.assertEqual(self.journal.states()[1], State.DONE)
        self.assertEqual(self.installer.runs, [(1, 1), (1, 1)])

    def test_halted(self) -> None:
        """Nothing is run once two histories were found."""
        self.make(DONE)
        self.queue.halt()
        self.submit()
        self.assertEqual(self.installer.runs, [])

    def test_mistake(self) -> None:
        """A mistake in an installer is logged, and does not end the queue."""
        self.make(DONE)
        run = self.installer.run

        def broken(*words: Any) -> Deferred[Outcome]:
            raise ZeroDivisionError

        self.installer.run = broken  # type: ignore[method-assign]  # only here
        self.submit()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.installer.run = run  # type: ignore[method-assign]
        self.queue.wake()
        self.assertEqual(self.journal.states()[1], State.DONE)
