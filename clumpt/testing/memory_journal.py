"""A journal on a disk in memory, with the contract of the real one and with its mortality."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from attrs import astuple, define, field
from zope.interface import implementer

from clumpt.errors import Conflict, IdentityError
from clumpt.interfaces import IJournal, IStorage
from clumpt.model import Entry, Outcome, PeerName, Record, Seq, State
from clumpt.store.journal import MOST_HISTORY, SHOWN


@define
class _Progress:
    state: State = State.KNOWN
    attempts: int = 0
    outcome: Outcome | None = None
    at: float = 0.0


@implementer(IJournal)
@define(eq=False)
class MemoryJournal:
    """
    A log of changes on C{disk}, and what they add up to.  Make it anew on the same disk to restart.

    @ivar lazy: a planted bug: nothing is synced, so that a power loss takes the newest changes.
    """

    _disk: IStorage
    lazy: bool = False
    _file: str = "journal"
    _end: int = field(default=0, init=False)
    #: What a power loss must not take.
    _safe: int = field(default=0, init=False)
    _identity: tuple[str, str] | None = field(default=None, init=False)
    _entries: list[bytes] = field(factory=list, init=False)
    _progress: dict[Seq, _Progress] = field(factory=dict, init=False)
    _history: deque[Record] = field(factory=lambda: deque(maxlen=MOST_HISTORY), init=False)
    _roots: list[bytes] = field(factory=list, init=False)
    _cache: dict[str, bytes] = field(factory=dict, init=False)
    _changes: int = field(default=0, init=False)
    _reported: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        size = self._disk.size(self._file)
        if size is None:
            self._disk.write(self._file, 0, b"")
            self._disk.sync_folder("")
            return
        log = self._disk.read(self._file, 0, size)
        while (record := _record(log, self._end)) is not None:
            self._end += 8 + len(record)
            name, *arguments = json.loads(record)
            getattr(self, f"_do_{name}")(*arguments)
        self._safe = self._end

    def left(self, scratch: Callable[[], IStorage]) -> Iterator[MemoryJournal]:
        """What may be left of it, each on another disk: the first without all that a power loss may take."""
        log, at = self._disk.read(self._file, 0, self._end), self._safe
        while True:
            disk = scratch()
            disk.write(self._file, 0, log[:at])
            yield MemoryJournal(disk)
            if (record := _record(log, at)) is None:
                return
            at += 8 + len(record)

    def close(self) -> None:
        """Nothing to let go of."""

    def identity(self, deployment: str, peer: PeerName) -> None:
        """Whose journal this is."""
        if self._identity is None:
            self._log("identity", deployment, peer)
        if self._identity != (deployment, peer):
            raise IdentityError(f"this is the journal of {self._identity}")

    def entries(self) -> Sequence[bytes]:
        """The envelopes of the table."""
        return list(self._entries)

    def add_entries(self, entries: Sequence[Entry]) -> None:
        """Append to the table."""
        head = len(self._entries)
        if [entry.seq for entry in entries] != list(range(head + 1, head + 1 + len(entries))):
            raise ValueError("entries that do not follow the head")
        self._log("entries", [entry.envelope.hex() for entry in entries])

    def states(self) -> Mapping[Seq, State]:
        """How far each known update has come."""
        return {seq: progress.state for seq, progress in self._progress.items()}

    def outcome(self, seq: Seq) -> Outcome | None:
        """How C{seq} ended, or why it is held."""
        progress = self._progress.get(seq, _Progress())
        return progress.outcome if progress.state in SHOWN else None

    def settled_at(self, seq: Seq) -> float:
        """The epoch seconds of the last L{settle}."""
        return self._progress.get(seq, _Progress()).at

    def attempts(self, seq: Seq) -> int:
        """How often C{seq} was intended."""
        return self._progress.get(seq, _Progress()).attempts

    def history(self, most: int = 100) -> Sequence[Record]:
        """The newest of what was settled, the newest last."""
        return list(self._history)[-most:] if most else []

    def intend(self, seq: Seq) -> int:
        """Write down that C{seq} is about to be run."""
        if self._progress[seq].state is State.DONE:
            raise Conflict(f"update {seq} has succeeded here and is not run again")
        self._log("intend", seq)
        return self.attempts(seq)

    def settle(self, seq: Seq, outcome: Outcome, at: float, lazily: bool = False) -> None:
        """Record how C{seq} ended, is held, or was skipped."""
        if outcome.state not in SHOWN:
            raise ValueError(f"{outcome.state} is no end of an update")
        progress = self._progress[seq]
        if self.outcome(seq) == outcome:
            return
        if progress.state is State.DONE:
            raise Conflict(f"update {seq} has succeeded here")
        self._log("settle", seq, astuple(outcome), at, lazily=lazily)

    def roots(self) -> Sequence[bytes]:
        """The root envelopes accepted so far."""
        return list(self._roots)

    def add_root(self, envelope: bytes) -> None:
        """Keep one more accepted root."""
        self._log("root", envelope.hex())

    def cached(self, key: str) -> bytes | None:
        """What was last L{cache}d under C{key}."""
        return self._cache.get(key)

    def cache(self, key: str, value: bytes, lazily: bool = False) -> None:
        """Keep C{value}."""
        self._log("cache", key, value.hex(), lazily=lazily)

    def reported(self) -> int:
        """The number of changes that the directory has been told of."""
        return self._reported

    def changes(self) -> int:
        """The number of changes that a report shows."""
        return self._changes

    def set_reported(self, changes: int) -> None:
        """The directory knows the first C{changes} changes."""
        self._log("reported", changes, lazily=True)

    def _log(self, name: str, *arguments: Any, lazily: bool = False) -> None:
        """Write a change down, then make it; C{lazily} if a power loss may take it."""
        record = json.dumps([name, *arguments]).encode()
        whole = len(record).to_bytes(4, "big") + crc32(record).to_bytes(4, "big") + record
        # At the end of what is sound, so over what a full disk left unfinished.
        self._disk.write(self._file, self._end, whole)
        if not (self.lazy or lazily):
            self._disk.sync(self._file)
        self._end += len(whole)
        if not lazily:
            self._safe = self._end
        getattr(self, f"_do_{name}")(*arguments)

    def _do_identity(self, deployment: str, peer: str) -> None:
        self._identity = (deployment, peer)

    def _do_entries(self, envelopes: list[str]) -> None:
        for envelope in envelopes:
            self._entries.append(bytes.fromhex(envelope))
            self._progress[len(self._entries)] = _Progress()
        self._changes += len(envelopes)

    def _do_intend(self, seq: Seq) -> None:
        progress = self._progress[seq]
        self._changes += progress.state in SHOWN
        progress.state = State.INTENT
        progress.attempts += 1

    def _do_settle(self, seq: Seq, outcome: tuple[str, int | None, str, float], at: float) -> None:
        state, code, reason, seconds = outcome
        progress = self._progress[seq]
        progress.outcome = Outcome(State(state), code, reason, seconds)
        progress.state, progress.at = progress.outcome.state, at
        self._history.append(Record(seq, progress.attempts, progress.outcome, at))
        self._changes += 1

    def _do_root(self, envelope: str) -> None:
        self._roots.append(bytes.fromhex(envelope))

    def _do_cache(self, key: str, value: str) -> None:
        self._cache[key] = bytes.fromhex(value)

    def _do_reported(self, changes: int) -> None:
        self._reported = changes


def _record(log: bytes, start: int) -> bytes | None:
    """The record that begins at C{start}, None if it is not all there."""
    head, length = log[start : start + 8], int.from_bytes(log[start : start + 4], "big")
    record = log[start + 8 : start + 8 + length]
    if len(head) < 8 or not length or len(record) < length or crc32(record).to_bytes(4, "big") != head[4:]:
        return None
    return record
