"""
The log: what the directory remembers across restarts.

One line of checksummed JSON for all changes of one turn of the reactor, made
durable with one fsync before any answer leaves.  Since a line is not written
before the previous one is durable, only the last line can be torn, and nobody
was told of what it holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import Interface

from clumpt.errors import Damaged

#: One change: a JSON object.
Record = dict[str, Any]

#: Records in a line of a rewritten log.
_BUNCH = 500


class ILogFile(Interface):
    """
    The file that a log is kept in.

    Every method may raise L{OSError}.  After that the file must not be used any more, because nobody knows
    what it holds; only after L{write_aside} it is what it was.
    """

    def read() -> bytes:
        """All that is in it."""

    def cut(size: int) -> None:
        """Keep only the first C{size} bytes; durable when it returns."""

    def append(data: bytes) -> None:
        """Write C{data} at the end."""

    def sync() -> None:
        """Make durable what was appended."""

    def write_aside(data: Iterable[bytes]) -> None:
        """Write another file, durably."""

    def swap() -> None:
        """Put the other file in the place of this one, at once and durably."""

    def close() -> None:
        """Let go of the file."""


def _line(number: int, records: Sequence[Record]) -> bytes:
    body = json.dumps([number, records], separators=(",", ":")).encode("ascii")
    return b"%08x %s" % (crc32(body), body)


def _read_line(line: bytes) -> tuple[int, list[Record]] | None:
    """Number and records of a line, without its end; None if it is not what was written."""
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % crc32(body):
        return None
    number, records = json.loads(body)
    return number, records


@define(eq=False)
class Log:
    """
    Keeps records in an L{ILogFile}.

    @ivar clock: used for nothing but C{callLater(0, ...)}.
    @ivar broken: why nothing can be kept any more; None while all is well.
    @ivar length: records in the file.
    """

    log = Logger()

    _file: Any
    _clock: IReactorTime
    broken: OSError | None = field(default=None, init=False)
    length: int = field(default=0, init=False)
    _number: int = field(default=0, init=False)
    _pending: list[Record] = field(factory=list, init=False)
    _waiting: list[Callable[[], None]] = field(factory=list, init=False)
    _turn: IDelayedCall | None = field(default=None, init=False)

    def load(self) -> Iterator[Record]:
        """
        All records, oldest first; a torn end is cut off.

        Raises L{Damaged} if something is wrong anywhere else.
        """
        content: bytes = self._file.read()
        *lines, torn = content.split(b"\n")
        for index, line in enumerate(lines):
            read = _read_line(line)
            if read is None and index == len(lines) - 1 and not torn:
                # The end of a line can reach the disk before its middle.
                torn = line + b"\n"
                break
            if read is None or read[0] != index:
                raise Damaged(f"line {index + 1} of the directory's log is damaged: restore it from a backup")
            self._number += 1
            self.length += len(read[1])
            yield from read[1]
        if torn:
            self.log.warn("the last {size} bytes of the log were never finished", size=len(torn))
            self._file.cut(len(content) - len(torn))

    def append(self, record: Record) -> None:
        """Keep C{record}: durable when what is given to L{settled} next is called."""
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._flush)
        self._pending.append(record)

    def settled(self, call: Callable[[], None]) -> None:
        """Call C{call} when everything appended so far is durable, or the log is L{broken}."""
        if self._turn is not None:
            self._waiting.append(call)
        else:
            call()

    def _flush(self) -> None:
        self._turn = None
        records, self._pending = self._pending, []
        waiting, self._waiting = self._waiting, []
        if records and self.broken is None:
            try:
                self._file.append(_line(self._number, records) + b"\n")
                self._file.sync()
            except OSError as wrong:
                # Nobody knows what the file holds now, nor whether trying again would help.
                self._break(wrong)
            else:
                self._number += 1
                self.length += len(records)
        for call in waiting:
            call()

    def _break(self, wrong: OSError) -> None:
        self.broken = wrong
        self.log.critical("the directory cannot keep its log: {wrong}", wrong=wrong)

    def rewrite(self, records: Iterable[Record]) -> None:
        """
        Put C{records}, which say the same as everything kept and appended, in its place.

        If there is no room for that, the log stays as long as it is.
        """
        bunches = _bunches(records)
        try:
            self._file.write_aside(_line(n, bunch) + b"\n" for n, bunch in enumerate(bunches))
        except OSError as wrong:
            self.log.warn("the directory's log cannot be shortened: {wrong}", wrong=wrong)
            return
        try:
            self._file.swap()
        except OSError as wrong:
            self._break(wrong)
        self.length = sum(map(len, bunches))
        self._number = len(bunches)
        self._pending.clear()

    def close(self) -> None:
        """Make durable what is pending, and let go of the file."""
        if self._turn is not None:
            self._turn.cancel()
            self._flush()
        self._file.close()


def _bunches(records: Iterable[Record]) -> list[list[Record]]:
    remaining, bunches = iter(records), list[list[Record]]()
    while bunch := list(islice(remaining, _BUNCH)):
        bunches.append(bunch)
    return bunches
