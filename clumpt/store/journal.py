"""What this peer must not forget, in one SQLite file (R15, R18)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from zope.interface import implementer

from clumpt.errors import Conflict, Damaged, IdentityError
from clumpt.interfaces import IJournal
from clumpt.model import Entry, Outcome, PeerName, Record, Seq, State
from clumpt.store.database import DAMAGED, Unsound, connect, lock, said, set_aside, transaction, wait_for_disk
from clumpt.store.storage import Step, no_step

#: Lines of history that are kept.
MOST_HISTORY = 10_000
#: What a report shows of an update, beyond that it is known.
SHOWN = frozenset({State.DONE, State.FAILED, State.SKIPPED, State.HELD})


@implementer(IJournal)
@define(eq=False)
class SqliteJournal:
    """The journal of one peer; begin with L{open}.  For one thread only."""

    _path: Path
    _connection: sqlite3.Connection
    _lock: int
    _step: Step = no_step
    #: Do changes wait for the disk now?
    _waits: bool = field(default=True, init=False)
    #: Why this journal must not be used any more.
    _broken: str = field(default="", init=False)

    @classmethod
    def open(cls, path: Path, step: Step = no_step) -> tuple[SqliteJournal, Path | None]:
        """
        The journal at C{path}, and where the damaged one lies that it replaces, if it does.

        A damaged journal is moved out of the way, and the new one is empty.  That is no reason to run
        anything again: until what may have run is settled or held, and L{mended} was called, every start
        is told of the damage.

        @param step: told C{commit} before, and C{committed} after each change.

        Raises L{clumpt.errors.ClumptError} if the file cannot be used, or another process has it.
        """
        locked = lock(path)
        try:
            try:
                journal = cls(path, connect(path, locked, step), locked, step)
            except Unsound:
                aside = set_aside(path)
                journal = cls(path, connect(path, locked, step, aside), locked, step)
        except BaseException:
            os.close(locked)
            raise
        damaged = journal.cached(DAMAGED)
        return journal, Path(os.fsdecode(damaged)) if damaged else None

    def mended(self) -> None:
        """Whatever the damaged journal may have said of finished runs is known, or held, again."""
        with self._writing() as db:
            db.execute("DELETE FROM cache WHERE key = ?", (DAMAGED,))

    def close(self) -> None:
        """Let go of the files; nothing is lost without it."""
        self._connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def identity(self, deployment: str, peer: PeerName) -> None:
        """Whose journal this is."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO identity VALUES (1, ?, ?)", (deployment, peer))
            owner = db.execute("SELECT deployment, peer FROM identity").fetchone()
        if owner != (deployment, peer):
            raise IdentityError(
                f"{self._path} is the journal of peer {owner[1]} of deployment {owner[0]}, not of {peer} of"
                f" {deployment}; give this peer a state folder of its own"
            )

    def entries(self) -> Sequence[bytes]:
        """The envelopes of the table."""
        return [row[0] for row in self._rows("SELECT envelope FROM entries ORDER BY seq")]

    def add_entries(self, entries: Sequence[Entry]) -> None:
        """Append to the table."""
        seqs = [entry.seq for entry in entries]
        with self._writing() as db:
            (head,) = db.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()
            if seqs != list(range(head + 1, head + 1 + len(seqs))):
                raise ValueError(f"entries {seqs[:3]}... do not follow the head {head}")
            db.executemany("INSERT INTO entries VALUES (?, ?)", [(one.seq, one.envelope) for one in entries])
            db.executemany("INSERT INTO progress (seq, state) VALUES (?, 'known')", [(seq,) for seq in seqs])
            _count(db, len(seqs))

    def states(self) -> Mapping[Seq, State]:
        """How far each known update has come."""
        return {
            seq: State(state) for seq, state in self._rows("SELECT seq, state FROM progress ORDER BY seq")
        }

    def outcome(self, seq: Seq) -> Outcome | None:
        """How C{seq} ended, or why it is held."""
        for row in self._rows("SELECT state, code, reason, seconds FROM progress WHERE seq = ?", seq):
            outcome = _outcome(*row)
            return outcome if outcome.state in SHOWN else None
        return None

    def settled_at(self, seq: Seq) -> float:
        """The epoch seconds of the last L{settle}."""
        for (at,) in self._rows("SELECT at FROM progress WHERE seq = ?", seq):
            return float(at)
        return 0.0

    def attempts(self, seq: Seq) -> int:
        """How often C{seq} was intended."""
        for (attempts,) in self._rows("SELECT attempts FROM progress WHERE seq = ?", seq):
            return int(attempts)
        return 0

    def history(self, most: int = 100) -> Sequence[Record]:
        """The newest of what was settled, the newest last."""
        rows = self._rows(
            "SELECT seq, attempt, at, state, code, reason, seconds FROM history ORDER BY id DESC LIMIT ?",
            most,
        )
        return [Record(seq, attempt, _outcome(*rest), at) for seq, attempt, at, *rest in reversed(rows)]

    def intend(self, seq: Seq) -> int:
        """Write down that C{seq} is about to be run."""
        with self._writing() as db:
            before = _state(db, seq)
            if before is State.DONE:
                raise Conflict(f"update {seq} has succeeded here and is not run again")
            # A change to report only if a report showed it until now.
            _count(db, before in SHOWN)
            db.execute("UPDATE progress SET state = 'intent', attempts = attempts + 1 WHERE seq = ?", (seq,))
        return self.attempts(seq)

    def settle(self, seq: Seq, outcome: Outcome, at: float, lazily: bool = False) -> None:
        """Record how C{seq} ended, is held, or was skipped."""
        if outcome.state not in SHOWN:
            raise ValueError(f"{outcome.state} is no end of an update")
        # What a command printed may hold what UTF-8 cannot say.
        reason = outcome.reason.encode(errors="replace").decode()
        outcome = evolve(outcome, reason=reason)
        with self._writing(lazily) as db:
            before = _state(db, seq)
            if self.outcome(seq) == outcome:
                return
            if before is State.DONE:
                raise Conflict(f"update {seq} has succeeded here, which {outcome.state} would hide")
            db.execute(
                "UPDATE progress SET state = ?, code = ?, reason = ?, seconds = ?, at = ? WHERE seq = ?",
                (outcome.state.value, outcome.code, reason, outcome.seconds, at, seq),
            )
            db.execute(
                "INSERT INTO history (seq, attempt, state, code, reason, seconds, at)"
                " SELECT seq, attempts, state, code, reason, seconds, at FROM progress WHERE seq = ?",
                (seq,),
            )
            db.execute("DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?", (MOST_HISTORY,))
            _count(db, 1)

    def roots(self) -> Sequence[bytes]:
        """The root envelopes accepted so far."""
        return [row[0] for row in self._rows("SELECT envelope FROM roots ORDER BY version")]

    def add_root(self, envelope: bytes) -> None:
        """Keep one more accepted root."""
        with self._writing() as db:
            db.execute("INSERT INTO roots (envelope) VALUES (?)", (envelope,))

    def cached(self, key: str) -> bytes | None:
        """What was last L{cache}d under C{key}."""
        for (value,) in self._rows("SELECT value FROM cache WHERE key = ?", key):
            return bytes(value)
        return None

    def cache(self, key: str, value: bytes, lazily: bool = False) -> None:
        """Keep C{value}."""
        with self._writing(lazily) as db:
            db.execute("INSERT OR REPLACE INTO cache VALUES (?, ?)", (key, value))

    def reported(self) -> int:
        """The number of changes that the directory has been told of."""
        return int(self._rows("SELECT reported FROM counters")[0][0])

    def changes(self) -> int:
        """The number of changes that a report shows."""
        return int(self._rows("SELECT changes FROM counters")[0][0])

    def set_reported(self, changes: int) -> None:
        """The directory knows the first C{changes} changes."""
        with self._writing(lazily=True) as db:
            db.execute("UPDATE counters SET reported = ?", (changes,))

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        if self._broken:
            raise Damaged(self._broken)
        try:
            yield self._connection
        except sqlite3.Error as error:
            ours = said(self._path, error)
            if isinstance(ours, Damaged):
                # After a failed sync nobody knows what the disk holds; asking again would hide it.
                self._broken = str(ours)
            raise ours from error

    @contextmanager
    def _writing(self, lazily: bool = False) -> Iterator[sqlite3.Connection]:
        """
        A change; durable at its end.

        @param lazily: it may be lost when power is, and becomes durable with the next one that may not.
        """
        with self._using() as connection:
            if lazily is self._waits:
                wait_for_disk(connection, not lazily)
                self._waits = not lazily
            with transaction(connection, self._step):
                yield connection

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with self._using() as connection:
            return connection.execute(statement, values).fetchall()


def _outcome(state: str, code: int | None, reason: str, seconds: float) -> Outcome:
    return Outcome(State(state), code, reason, seconds)


def _state(db: sqlite3.Connection, seq: Seq) -> State:
    row = db.execute("SELECT state FROM progress WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        raise KeyError(seq)
    return State(row[0])


def _count(db: sqlite3.Connection, changes: int) -> None:
    if changes:
        db.execute("UPDATE counters SET changes = changes + ?", (changes,))
