"""
A peer killed at every named step of what it does: nothing is lost, run twice, or out of order (promise 2).

C{CLUMPT_KILLS=all} kills each peer at two steps, one after the other, in all pairs: that takes an hour.
C{CLUMPT_KILLS=100} tries a hundred of them.
"""

import os
import shutil
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from random import Random

from twisted.internet import reactor
from twisted.internet.task import cooperate

from clumpt.aio import deferred, sleep
from clumpt.model import State
from tests.live.killcase import KillCase
from tests.live.killkit import FINISHED
from tests.live.steps import Doom
from tests.live.verdicts import TIMES, Victim, extra_runs, insides, wrongs

#: How many pairs of steps to try instead of each step alone; empty for none.
PAIRS = os.environ.get("CLUMPT_KILLS", "")
#: Cases that run side by side.
SIDE_BY_SIDE = 3
#: The steps that only a run that takes its time has.
SLOW = [(f"helper {seq}: amid", 1) for seq in (1, 2)] + [(f"power {seq}: amid", 1) for seq in (1, 2, 3)]


class KillPointTests(KillCase):
    """SIGKILL to the peer or its helper, then a new life in which it comes to its end."""

    @deferred
    async def test_every_step(self) -> None:
        """Whatever the step, at the end all three updates are done, once and in order, and truly reported."""
        dooms = [*self.steps(await self.survive("whole", ())), *SLOW]
        self.assertGreater(len(dooms), 100)
        cases: Iterable[tuple[Doom, ...]] = [(doom,) for doom in dooms]
        if PAIRS:
            cases = self.pairs([doom for doom in dooms if doom[1] == 1])
        self.verdicts: dict[str, str] = {}
        self.numbers = iter(range(1, 1_000_000))
        work = (self.try_one(case) for case in cases)
        for task in [cooperate(work) for _ in range(SIDE_BY_SIDE)]:
            await task.whenDone()
        # Whatever the dead left running comes to its end, and only the seeding peer stays.
        while len(self.processes.children()) > 1:
            await sleep(reactor, 0.05)
        table = [f"{case}\t{verdict}\n" for case, verdict in self.verdicts.items()]
        Path("kills.txt").write_text("".join(table))
        self.assertEqual([row for row in table if not row.endswith("\tgood\n")], [])

    def pairs(self, dooms: list[Doom]) -> list[tuple[Doom, ...]]:
        """Some pairs, or all; an update that is cut off twice is held, which is another test."""
        pairs = [pair for pair in product(dooms, dooms) if len(extra_runs(pair)) == len(insides(pair))]
        return pairs if PAIRS == "all" else Random().sample(pairs, int(PAIRS))

    @deferred
    async def test_cut_off_twice(self) -> None:
        """An update whose run was cut off twice is held, and reported so; what comes after it waits."""
        victim = await self.survive("v", (("helper 2: ran", 1), ("helper 2: begun", 1)))
        self.assertEqual(victim.statuses, [FINISHED], victim.lines("killed"))
        self.assertEqual(victim.ran(), [1, 2])
        self.assertEqual((victim.reported.head, victim.reported.settled), (3, 1))
        [failure] = victim.reported.failures
        self.assertEqual((failure.seq, failure.state, failure.code), (2, State.HELD, None))
        self.assertTrue(failure.reason.startswith("interrupted"), failure.reason)

    @deferred
    async def test_two_helpers(self) -> None:
        """The helper of a peer that died, and that of its next life, are at the same job: it runs once."""
        (self.folder / "v").mkdir()
        (self.folder / "v/late").touch()
        dooms = (("runner helper", 1),)
        victim = await self.survive("v", dooms)
        self.assertEqual(list(wrongs(victim, dooms)), [])
        self.assertEqual(victim.lines("trace").count("helper 1: locked\t1"), 1)

    def steps(self, whole: Victim) -> list[Doom]:
        """The steps that a peer goes through that nobody kills, at their first and at later times."""
        seen = [line.split("\t") for line in whole.lines("trace")]
        steps = dict.fromkeys((label, int(count)) for label, count in seen)
        return [(label, count) for label, count in steps if count in TIMES]

    @deferred
    async def try_one(self, dooms: tuple[Doom, ...]) -> None:
        victim = await self.survive(f"v{next(self.numbers)}", dooms)
        wrong = list(wrongs(victim, dooms))
        case = ", then ".join(f"{label} ({count})" for label, count in dooms)
        self.verdicts[case] = "; ".join(wrong) or "good"
        if not wrong:
            shutil.rmtree(victim.folder)
