"""
A peer killed at every named step of what it does: nothing is lost, run twice, or out of order (promise 2).

C{CLUMPT_KILLS=all} kills each peer at two steps, one after the other, in all pairs: that takes an hour.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from twisted.internet.task import cooperate

from clumpt.aio import deferred
from clumpt.model import Outcome, State
from clumpt.pieces import digest_of
from clumpt.store import layout
from clumpt.store.journal import SqliteJournal
from tests.live.killcase import KillCase, Victim
from tests.live.killkit import FINISHED, Doom

PAIRS = os.environ.get("CLUMPT_KILLS") == "all"
#: Which times a step comes are tried.
TIMES = (1, 2, 5)
#: Cases that run side by side.
SIDE_BY_SIDE = 3
#: The steps of the helper in which nobody knows how the run ends: it has begun, and is not recorded.
INSIDE = {
    ("sync spool", 1),
    *((step, 1) for step in ("begun", "amid", "ran", "sync result", "rename result")),
    *(("rename output", count) for count in TIMES),
}
#: The steps that only a run that takes its time has.
SLOW = [(f"helper {seq}: amid", 1) for seq in (1, 2)] + [(f"power {seq}: amid", 1) for seq in (1, 2, 3)]
#: What a job leaves, and what is left of one that was cut off.
JOB = re.compile(r"spool/(\d+-\d+\.(job|started|result|output|error)|\.\d+-1\.(result|output))")


class KillPointTests(KillCase):
    """SIGKILL to the peer or its helper, then a new life in which it comes to its end."""

    @deferred
    async def test_every_step(self) -> None:
        """Whatever the step, at the end all three updates are done, once and in order, and truly reported."""
        dooms = [*self.steps(await self.survive("whole", ())), *SLOW]
        self.assertGreater(len(dooms), 100)
        cases: Iterable[tuple[Doom, ...]] = [(doom,) for doom in dooms]
        if PAIRS:
            firsts = [doom for doom in dooms if doom[1] == 1]
            # An update that is cut off twice is held: that is the other test.
            cases = (pair for pair in product(firsts, firsts) if len(extra_runs(pair)) == len(insides(pair)))
        self.verdicts: dict[str, str] = {}
        self.numbers = iter(range(1, 1_000_000))
        work = (self.try_one(case) for case in cases)
        for task in [cooperate(work) for _ in range(SIDE_BY_SIDE)]:
            await task.whenDone()
        table = [f"{case}\t{verdict}\n" for case, verdict in self.verdicts.items()]
        Path("kills.txt").write_text("".join(table))
        self.assertEqual([row for row in table if not row.endswith("\tgood\n")], [])

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


def insides(dooms: Iterable[Doom]) -> list[int]:
    """The update of each doom that cuts off a run."""
    parts = [(label.partition(": "), count) for label, count in dooms]
    return [int(who.split()[1]) for (who, _, step), count in parts if (step, count) in INSIDE]


def extra_runs(dooms: Iterable[Doom]) -> set[int]:
    """The updates that may be run once more, because a run was cut off."""
    return set(insides(dooms))


def wrongs(victim: Victim, dooms: tuple[Doom, ...]) -> Iterator[str]:
    """All that is wrong with what is left of a peer."""
    killed = victim.lines("killed")
    # After the first death it may come by the second step no more.
    if killed != [label for label, _ in dooms][: len(killed)] or not killed:
        yield f"killed at {killed}"
    if victim.statuses[-1] != FINISHED:
        yield f"ended with {victim.statuses}"
        return
    extra = extra_runs(dooms)
    yield from wrong_runs(victim, extra)
    yield from wrong_system(victim.folder / "root")
    yield from wrong_records(victim, extra)
    yield from wrong_files(victim.folder / "state")


def wrong_runs(victim: Victim, extra: set[int]) -> Iterator[str]:
    """Each ran in order, and once but for extra runs; none after its success was recorded."""
    ran = victim.ran()
    if set(ran) != {1, 2, 3} or ran != sorted(ran):
        yield f"ran {ran}"
    for seq in (1, 2, 3):
        if ran.count(seq) > 1 + (seq in extra):
            yield f"update {seq} ran {ran.count(seq)} times"
        if seq in victim.succeeded and victim.succeeded[seq] != ran.count(seq):
            yield f"update {seq} ran again after its success was recorded"


def wrong_system(root: Path) -> Iterator[str]:
    """The node has what was installed, wholly."""
    asked = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${Status} ${Version}", "hello"]
    status = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    if status != "install ok installed 2.0" or (root / "usr/share/hello").read_text() != "2.0":
        yield f"dpkg says {status!r}"
    if list((root / "var/lib/dpkg/updates").iterdir()):
        yield "dpkg was left half done"


def wrong_records(victim: Victim, extra: set[int]) -> Iterator[str]:
    """Journal and directory say what is true."""
    journal, damaged = SqliteJournal.open(victim.folder / "state/journal.db")
    try:
        if damaged is not None:
            yield "the journal was damaged"
        for seq in (1, 2, 3):
            outcome, attempts = journal.outcome(seq), journal.attempts(seq)
            if not isinstance(outcome, Outcome) or (outcome.state, outcome.code) != (State.DONE, 0):
                yield f"update {seq} ended with {outcome}"
            if attempts > 1 + (seq in extra):
                yield f"update {seq} had {attempts} attempts"
    finally:
        journal.close()
    told = victim.reported
    if told is None or (told.head, told.settled, told.failures) != (3, 3, ()):
        yield f"the directory was told {told}"


def wrong_files(state: Path) -> Iterator[str]:
    """The repository holds the two packages and no wrong byte; nothing was left lying about."""
    packages = [path for path in state.glob("repo/??/*") if layout.digest_in(path.name)]
    if len(packages) != 2:
        yield f"{len(packages)} packages"
    for path in packages:
        if digest_of(path.read_bytes()) != path.name:
            yield f"{path.name} holds wrong bytes"
    known = {f"repo/{path.name[:2]}/{path.name}{end}" for path in packages for end in ("", layout.SUFFIX)}
    known |= {"journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock", "spool/lock"}
    found = {str(path.relative_to(state)) for path in state.rglob("*") if path.is_file()}
    if stray := [name for name in sorted(found - known) if JOB.fullmatch(name) is None]:
        yield f"stray files: {stray}"
