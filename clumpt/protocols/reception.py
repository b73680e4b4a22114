"""The calls that come in: from a stranger's connection to a pair of greeted lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from attrs import define, field

from clumpt.errors import BadDocument, ProtocolError, Untrusted
from clumpt.model import PeerName
from clumpt.protocols.line import Line
from clumpt.protocols.meeting import Halves, Pair
from clumpt.protocols.wires import Wires


def host(line: Line) -> str:
    """Where C{line} comes from."""
    address = line.transport.getPeer()
    return str(getattr(address, "host", address))


@define(eq=False)
class Reception:
    """
    A L{clumpt.protocols.line.Greeter} for all connections that come in.

    A line is known by the peer's certificate and the call that it names; the
    answer is left to C{_arrived}.
    """

    _wires: Wires
    #: Takes over a pair; its lines have not been answered yet.
    _arrived: Callable[[Pair], None]
    _strangers: dict[Line, str] = field(factory=dict, init=False)
    _hosts: Counter[str] = field(factory=Counter, init=False)
    _calls: dict[tuple[PeerName, str], Halves] = field(factory=dict, init=False)

    def connected(self, line: Line) -> None:
        """Somebody has called; there is a limit to how many may wait."""
        limits, where = self._wires.limits, host(line)
        if len(self._strangers) >= limits.strangers or self._hosts[where] >= limits.strangers_each:
            raise ProtocolError("too many connections that are no links")
        self._strangers[line] = where
        self._hosts[where] += 1

    def identified(self, line: Line) -> None:
        """Nothing to do: who called has to greet."""

    def greeted(self, line: Line) -> None:
        """Put the lines of one call together."""
        call = line.hello.call if line.hello is not None else ""
        halves = self._calls.setdefault((line.peer, call), Halves())
        try:
            pair = halves.add(line)
            if pair is not None:
                del self._calls[line.peer, call]
                self._arrived(pair)
        except (BadDocument, ProtocolError, Untrusted) as wrong:
            self._drop(line, halves, str(wrong))
            raise

    def linked(self, pair: Pair) -> None:
        """These are no strangers any more."""
        for line in pair.lines:
            self._forget(line)

    def lost(self, line: Line, why: str) -> None:
        """A stranger is gone."""
        if not line.peer and line in self._strangers:
            self._wires.complaints.about(host(line), why)
        self._forget(line)
        call = line.hello.call if line.hello is not None else ""
        halves = self._calls.get((line.peer, call))
        if halves is not None and line in halves.lines:
            self._drop(line, halves, why)

    def _drop(self, line: Line, halves: Halves, why: str) -> None:
        """With C{line} ends its call."""
        self._calls = {call: other for call, other in self._calls.items() if other is not halves}
        for other in halves.lines:
            if other is not line:
                other.abort(why)

    def _forget(self, line: Line) -> None:
        where = self._strangers.pop(line, None)
        if where is not None:
            self._hosts[where] -= 1
            if not self._hosts[where]:
                del self._hosts[where]
