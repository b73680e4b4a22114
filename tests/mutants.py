"""
The test of the tests: breaks the code in many small ways, each in a copy of
the tree, and sees that a test notices.

usage: python tests/mutants.py [NAME...]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parent.parent
#: Seconds after which tests of a broken copy are given up: it is noticed, as it does not end.
LONGEST = 300
#: Simulated storms that a mutant has to survive to escape.
SEEDS = "25"
STORMS = "tests.sim.test_storms"


@frozen
class Mutant:
    """
    One planted bug.

    @ivar old: what stands in C{file}, exactly once.
    @ivar new: what is put in its place.
    @ivar tests: the modules of which one has to notice.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "no pull",
        "clumpt/agent/sync.py",
        "            while not self._stopped:\n",
        "            while False:\n",
        ("tests.sim.test_states",),
    ),
    Mutant(
        "signers' scopes are not looked at",
        "clumpt/trust/keyring.py",
        "if sum(not objection for objection in objections.values()) < quorum:",
        "if False:",
        ("tests.test_trust_keyring",),
    ),
    Mutant(
        "another deployment's orders are taken",
        "clumpt/trust/keyring.py",
        "        if found != self.deployment:",
        "        if False:",
        ("tests.test_trust_keyring",),
    ),
    Mutant(
        "pieces are not verified",
        "clumpt/store/assembly.py",
        "        if not self.hashes.matches(index, data):\n            return False\n",
        "",
        ("tests.test_repository",),
    ),
    Mutant(
        "a package is named before it is on disk",
        "clumpt/store/keeping.py",
        "    storage.sync(path)\n    if pieces.count > 1:\n        storage.sync(layout.hashes(digest))\n",
        "    if pieces.count > 1:\n        storage.sync(layout.hashes(digest))\n",
        ("tests.test_repository",),
    ),
    Mutant(
        "the journal is not synced",
        "clumpt/store/database.py",
        '"synchronous": 2',
        '"synchronous": 1',
        ("tests.test_journal",),
    ),
    Mutant(
        "the newest update is run first",
        "clumpt/agent/job.py",
        "entry = self._concerning[self._open[0]]",
        "entry = self._concerning[self._open[-1]]",
        ("tests.test_job",),
    ),
    Mutant(
        "withdrawn updates are run",
        "clumpt/agent/job.py",
        "        if entry.seq in self._withdrawn:",
        "        if False:",
        ("tests.test_job",),
    ),
    Mutant(
        "any installer may be used",
        "clumpt/agent/job.py",
        "update.installer not in allowed",
        "False",
        ("tests.test_job",),
    ),
    Mutant(
        "what was cut off is run again and again",
        "clumpt/agent/queue.py",
        "entry.update.interrupted is Interrupted.RERUN and attempt < ATTEMPTS",
        "entry.update.interrupted is Interrupted.RERUN and attempt < 50",
        ("tests.test_queue",),
    ),
    Mutant(
        "what is cut off as the machine goes down is begun again at once",
        "clumpt/agent/queue.py",
        "        if interrupted(outcome):\n            # When",
        "        if False:\n            # When",
        ("tests.test_queue",),
    ),
    Mutant(
        "no second look before a run",
        "clumpt/agent/queue.py",
        "            self._keyring.entry(entry.envelope)\n",
        "            pass\n",
        ("tests.test_queue",),
    ),
    Mutant(
        "the directory is told more than is true",
        "clumpt/agent/report.py",
        "    settled = agenda.settled(head)\n",
        "    settled = IdSet.upto(head)\n",
        ("tests.test_report",),
    ),
    Mutant(
        "a statement for another key admits",
        "clumpt/agent/roster.py",
        "        if (member.peer, member.fingerprint) != (peer, fingerprint):",
        "        if member.peer != peer:",
        ("tests.test_report",),
    ),
    Mutant(
        "a spoiler is asked again",
        "clumpt/agent/swarm.py",
        "        self.spoilers.add(peer)\n",
        "",
        ("tests.test_swarm",),
    ),
    Mutant(
        "the last copy is dropped",
        "clumpt/agent/care.py",
        "return not self.open and not (self.live and self.kept)",
        "return not self.open",
        ("tests.test_care",),
    ),
    Mutant(
        "everything is told again and again",
        "clumpt/agent/gossip.py",
        " and seq not in self._told[peer]",
        "",
        ("tests.test_swarm",),
    ),
    Mutant(
        "only a few neighbours hear of an update",
        "clumpt/agent/news.py",
        "        if lacks or known.unsaid - known.seqs:\n",
        "        if False:\n",
        ("tests.test_news",),
    ),
    Mutant(
        "that history forked is told with the next report",
        "clumpt/agent/agent.py",
        "            self.queue.halt()\n            self.reporter.wake()\n",
        "            self.queue.halt()\n",
        ("tests.sim.test_states",),
    ),
    Mutant(
        "an entry need not follow the one before",
        "clumpt/table.py",
        "        if entry.update.prev != self.top:\n",
        "        if False:\n",
        ("tests.test_table",),
    ),
    # The bugs below are noticed by what they do to a whole cluster.
    Mutant(
        "unsigned updates are taken",
        "clumpt/trust/keyring.py",
        "        quorum = self.root.quorum\n",
        "        quorum = 0\n",
        ("tests.sim.test_liars",),
    ),
    Mutant(
        "a damaged package is not fetched again",
        "clumpt/agent/agent.py",
        "        self.repository.damaged = self.spread.restore\n",
        "",
        ("tests.sim.test_promises",),
    ),
    Mutant(
        "news are not passed on",
        "clumpt/agent/agent.py",
        "            self.spread.joined(joined, sender != DIRECTORY)\n",
        "            pass\n",
        ("tests.sim.test_scale",),
    ),
    Mutant(
        "what is not on disk yet is reported",
        "clumpt/agent/agent.py",
        "self.chain.head - len(self._undone),",
        "self.chain.head,",
        ("tests.sim.test_promises",),
    ),
    Mutant(
        "what was done is not remembered over a restart",
        "clumpt/agent/agent.py",
        "        self.agenda.states.update(self._journal.states())\n",
        "",
        (STORMS,),
    ),
    Mutant(
        "two updates are run at the same time",
        "clumpt/agent/queue.py",
        "        if self._running is None and not self._stopped",
        "        if not self._stopped",
        ("tests.test_queue",),
    ),
    Mutant(
        "a run that was under way is begun again after a restart",
        "clumpt/agent/queue.py",
        "self._journal.attempts(entry.seq) if begun else self._journal.intend(entry.seq)",
        "self._journal.intend(entry.seq)",
        ("tests.test_queue",),
    ),
    Mutant(
        "a run that was cut off counts as a success",
        "clumpt/agent/queue.py",
        "        self._agenda.stuck.add(entry.seq)\n        self._settle(entry, outcome)\n",
        "        self._settle(entry, Outcome(State.DONE, 0))\n",
        ("tests.sim.test_promises",),
    ),
    Mutant(
        "there is only one round",
        "clumpt/agent/sync.py",
        "            self._later(self._roster.interval)\n\n    async def _round",
        "            pass\n\n    async def _round",
        (STORMS,),
    ),
    Mutant(
        "what nobody wants is offered for ever",
        "clumpt/agent/offers.py",
        "            if view.refusals > REFUSALS and not self.source:",
        "            if False:",
        ("tests.sim.test_promises",),
    ),
    Mutant(
        "a daemon that stops leaves timers",
        "clumpt/agent/pauses.py",
        "            if timer.active():\n                timer.cancel()\n",
        "            pass\n",
        ("tests.test_fetch",),
    ),
    Mutant(
        "wrong pieces are kept, and the whole is not looked at",
        "clumpt/store/assembly.py",
        "        if not self.hashes.matches(index, data):\n            return False\n",
        "",
        ("tests.sim.test_liars",),
    ),
    Mutant(
        "a full disk ends the daemon",
        "clumpt/agent/report.py",
        "        except StoreFull as full:",
        "        except ZeroDivisionError as full:",
        ("tests.sim.test_promises",),
    ),
    Mutant(
        "a peer that lost its neighbours asks nobody else",
        "clumpt/agent/sync.py",
        "        if await self._try(self._roster.members(), first=self._fanout):\n            return\n",
        "",
        ("tests.sim.test_promises",),
    ),
    Mutant(
        "an old statement of a peer is as good as a new one",
        "clumpt/trust/keyring.py",
        "        if stated[0] < seen[0]:",
        "        if False:",
        ("tests.test_trust_keyring",),
    ),
    Mutant(
        "an old statement comes back with a restart",
        "clumpt/agent/roster.py",
        "            self._recall()\n",
        "            pass\n",
        ("tests.sim.test_promises",),
    ),
    Mutant(
        "who lost a package does not tell",
        "clumpt/agent/spread.py",
        "known.told.pop(package.sha256, 0) > 0 or any(",
        "False and any(",
        ("tests.test_spread",),
    ),
    Mutant(
        "who will not stand below us is not heard",
        "clumpt/agent/spread.py",
        "case Round.WANTED | Round.ENOUGH:",
        "case Round.WANTED:",
        ("tests.sim.test_pushed",),
    ),
    Mutant(
        "a small package is asked for only where it is",
        "clumpt/agent/agent.py",
        "        self.spread.told(sender, good)\n",
        "",
        ("tests.sim.test_swarms",),
    ),
    Mutant(
        "a group's ring is left out",
        "clumpt/graph.py",
        "        if len(ring) > 1:",
        "        if False:",
        ("tests.test_graph",),
    ),
    Mutant(
        "who is slow itself blames the next one",
        "clumpt/agent/ringed.py",
        "return lags and not self._slow_here(waits)",
        "return lags",
        ("tests.test_ringed",),
    ),
    Mutant(
        "nobody looks for a way round a slow peer",
        "clumpt/agent/ringed.py",
        "        if not self.goes or self._looked or not",
        "        if True or not",
        ("tests.sim.test_swarms",),
    ),
    Mutant(
        "who is left out floods that it is over",
        "clumpt/agent/feeds.py",
        "            self._without[digest] = self._clock.seconds()\n            self._ended(digest)\n",
        "            self.end(digest)\n",
        ("tests.test_feeding",),
    ),
    Mutant(
        "who is off takes its branch with it",
        "clumpt/agent/planter.py",
        "                left = left.beheaded()\n",
        "                return\n",
        ("tests.test_planter",),
    ),
    Mutant(
        "who does not keep up keeps those below it",
        "clumpt/agent/pusher.py",
        "        return waits >= max(STUCK, WAITS * self._queue.usual) and moved >= MOVED\n",
        "        return False\n",
        ("tests.test_pusher",),
    ),
    Mutant(
        "what one tree does not bring is not asked for",
        "clumpt/agent/pushed.py",
        "            if not behind and self._flows(tree, now):\n",
        "            if True:\n",
        ("tests.test_pushed",),
    ),
    Mutant(
        "what is asked for does not wait for what is pushed",
        "clumpt/agent/uplink.py",
        "        for request in sorted(self._waiting, key=lambda one: one.asked):\n",
        "        for request in list(self._waiting):\n",
        ("tests.test_feeds_trees",),
    ),
    Mutant(
        "a branch that comes before its package is lost",
        "clumpt/agent/grove.py",
        "            early = self._early.pop((package.sha256, tree), None)\n",
        "            early = None\n",
        ("tests.test_grove",),
    ),
    Mutant(
        "who does not pass on lets those below wait",
        "clumpt/agent/grove.py",
        "        if feeds.choosy or feeds.modest:\n",
        "        if False:\n",
        ("tests.test_grove",),
    ),
    Mutant(
        "all are told at once, though trees are planted",
        "clumpt/agent/submission.py",
        "            if now - told.moved >= LATER:\n",
        "            if True:\n",
        ("tests.test_submit_trees",),
    ),
    Mutant(
        "a frame may be as long as it says",
        "clumpt/protocols/framing.py",
        "        if not shape.head < size <= shape.limit + 1:",
        "        if not shape.head < size:",
        ("tests.test_protocol_framing",),
    ),
)


def copied(into: Path) -> Iterator[str]:
    """Copy what git tracks, and what is new here; yields the names."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    ):
        if name and (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
            yield name


def noticed(mutant: Mutant, folder: Path) -> bool:
    """Does a test of the copy in C{folder} fail, once the bug is planted?"""
    path = folder / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.file} has changed, this mutant has to follow")
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        return not passed(mutant.tests, folder)
    finally:
        path.write_text(text)


def passed(tests: Iterable[str], folder: Path) -> bool:
    """Do these tests pass in the copy in C{folder}, and end?"""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "twisted.trial", "--exitfirst", *tests],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "CLUMPT_SEEDS": SEEDS},
            timeout=LONGEST,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main(names: list[str]) -> int:
    """Try the mutants of these names, or all; returns the exit status."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    survivors = 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        list(copied(folder))
        for tests in sorted({mutant.tests for mutant in chosen}):
            if not passed(tests, folder):
                # Else every mutant would seem to be noticed.
                raise SystemExit(f"{', '.join(tests)}: fails before anything is broken")
        for mutant in chosen:
            began = time.monotonic()
            found = noticed(mutant, folder)
            survivors += not found
            took, where = time.monotonic() - began, ", ".join(mutant.tests)
            word = "noticed" if found else "SURVIVED"
            print(f"{word:8}  {took:5.0f} s  {mutant.name:58}  {where}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} noticed")
    return 1 if survivors or not chosen else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
