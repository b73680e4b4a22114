"""Who takes the same package again and again: it costs the others, and is no use to anybody."""

from __future__ import annotations

from attrs import define, field
from twisted.logger import Logger

from clumpt.model import Package, PeerName
from clumpt.pieces import Digest

#: Copies of a package that a peer may take within the period: its disk may have lost it.
COPIES = 8
#: Seconds after which what was taken is forgotten.
PERIOD = 3600.0
#: Pairs of peer and package that are remembered.
REMEMBERED = 16384


@define
class _Count:
    since: float
    pieces: int = 0
    named: bool = False


@define(eq=False)
class Taken:
    """
    Counts what each peer takes of each package; who took L{COPIES} of one gets no more of it for a while.

    C{now} is always the clock of the daemon, in seconds.
    """

    _counts: dict[tuple[PeerName, Digest], _Count] = field(factory=dict, init=False)
    _log = Logger()

    def took(self, peer: PeerName, package: Package, now: float) -> None:
        """C{peer} got one more piece."""
        key = peer, package.sha256
        count = self._counts.get(key)
        if count is None or now - count.since >= PERIOD:
            count = self._counts[key] = _Count(now)
            if len(self._counts) > REMEMBERED:
                del self._counts[next(iter(self._counts))]
        count.pieces += 1

    def pause(self, peer: PeerName, package: Package, now: float) -> float:
        """Seconds until C{peer} may have more of C{package}, 0 for now; who must wait is named once."""
        count = self._counts.get((peer, package.sha256))
        if count is None or count.pieces < COPIES * package.pieces.count:
            return 0.0
        left = count.since + PERIOD - now
        if left > 0 and not count.named:
            count.named = True
            self._log.warn(
                "{peer} took {file} {copies} times within an hour: it gets no more of it for a while",
                peer=peer,
                file=package.file,
                copies=COPIES,
            )
        return max(0.0, left)
