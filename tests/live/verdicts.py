"""What is left of a peer that was killed, and all that may be wrong with it."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from clumpt.model import Outcome, State
from clumpt.pieces import digest_of
from clumpt.store import layout
from clumpt.store.journal import SqliteJournal
from tests.live.killkit import FINISHED
from tests.live.steps import Doom

#: Which times a step comes are tried.
TIMES = (1, 2, 5)
#: The steps of the helper in which nobody knows how the run ends: it has begun, and is not recorded.
INSIDE = {
    ("sync spool", 1),
    *((step, 1) for step in ("begun", "amid", "ran", "sync result", "rename result")),
    *(("rename output", count) for count in TIMES),
}
#: What a job leaves, and what is left of one that was cut off.
JOB = re.compile(r"spool/(\d+-\d+\.(job|started|result|output|error)|\.\d+-1\.(result|output))")


class Victim:
    """What is left of a peer when all is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.statuses: list[int] = []
        self.reported: Any = None
        #: How often each update had run when its success was found recorded.
        self.succeeded: dict[int, int] = {}

    def ran(self) -> list[int]:
        """The numbers that runs left behind, in order."""
        path = self.folder / "ran"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def remember(self) -> None:
        """Look what is recorded to have succeeded: it must never run again."""
        done = [
            int(path.name.partition("-")[0])
            for path in self.folder.glob("state/spool/*.result")
            if b'"done"' in path.read_bytes() and not path.name.startswith(".")
        ]
        runs = Counter(self.ran())
        for seq in done:
            self.succeeded.setdefault(seq, runs[seq])

    def lines(self, name: str) -> list[str]:
        """The lines of one of its files."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


def insides(dooms: Iterable[Doom]) -> list[int]:
    """The update of each doom that cuts off a run."""
    parts = [(label.partition(": "), count) for label, count in dooms]
    return [int(who.split()[1]) for (who, _, step), count in parts if (step, count) in INSIDE]


def extra_runs(dooms: Iterable[Doom]) -> set[int]:
    """The updates that may be run once more, because a run was cut off."""
    return set(insides(dooms))


def spared(dooms: tuple[Doom, ...]) -> bool:
    """May a peer get by without its first death?  How often it reports depends on how busy the machine is."""
    label, count = dooms[0]
    _, _, step = label.rpartition(" ")
    return step in ("report", "reported", "cache", "set_reported") and count > 1


def wrongs(victim: Victim, dooms: tuple[Doom, ...]) -> Iterator[str]:
    """All that is wrong with what is left of a peer."""
    killed = victim.lines("killed")
    # After the first death it may come by the second step no more.
    if killed != [label for label, _ in dooms][: len(killed)] or (dooms and not killed and not spared(dooms)):
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
