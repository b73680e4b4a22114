"""How two lines become a link, and two peers that dial each other at once get only one.  Pure decisions."""

from __future__ import annotations

from enum import Enum

from attrs import define, field, frozen

from clumpt.errors import BadDocument
from clumpt.model import TOOLS, PeerName, run_of
from clumpt.protocols.line import Line
from clumpt.protocols.messages import Hello
from clumpt.protocols.notify import NotifyProtocol
from clumpt.protocols.update import UpdateProtocol


@frozen
class Pair:
    """Two greeted lines to the same peer, of the same call."""

    notify: NotifyProtocol
    update: UpdateProtocol
    hello: Hello

    @property
    def peer(self) -> PeerName:
        """Who is at the far end: a node, or one of perhaps several running tools of that name (H5)."""
        name = self.notify.peer
        return run_of(name, self.hello.call) if name.startswith(TOOLS) else name

    @property
    def lines(self) -> tuple[Line, Line]:
        """Both."""
        return self.notify, self.update

    def abort(self, why: str) -> None:
        """End both at once."""
        for line in self.lines:
            line.abort(why)

    def close(self, why: str) -> None:
        """End both politely."""
        for line in self.lines:
            line.close(why)


@define(eq=False)
class Halves:
    """Collects the lines of one call."""

    _notify: NotifyProtocol | None = field(default=None, init=False)
    _update: UpdateProtocol | None = field(default=None, init=False)

    @property
    def lines(self) -> list[Line]:
        """Those that are here."""
        return [line for line in (self._notify, self._update) if line is not None]

    def add(self, line: Line) -> Pair | None:
        """
        C{line} was greeted; the pair, if it completes it.

        Raises L{BadDocument} if it does not go with the other.
        """
        if isinstance(line, NotifyProtocol) and self._notify is None:
            self._notify = line
        elif isinstance(line, UpdateProtocol) and self._update is None:
            self._update = line
        else:
            raise BadDocument("it used the name of another call")
        notify, update = self._notify, self._update
        if notify is None or update is None or notify.hello is None:
            return None
        if (notify.peer, notify.fingerprint, notify.hello) != (update.peer, update.fingerprint, update.hello):
            raise BadDocument("its two lines do not say the same")
        return Pair(notify, update, notify.hello)


class Verdict(Enum):
    """What to do with a call that came in."""

    TAKE = "take"
    #: Take it, and end the link that we had: its dialler calls anew, so it has lost it.
    REPLACE = "replace"
    #: End it, and see whether the link that we have still lives.
    DOUBT = "doubt"
    #: Keep it until our own call to that peer is over, and take it if ours fails.
    PARK = "park"
    REFUSE = "refuse"


def judge(me: PeerName, caller: PeerName, ours: bool | None, calling: bool, room: bool) -> Verdict:
    """
    What to do with a call from C{caller}.

    Of two calls that cross, both ends keep the one of the peer whose name is
    smaller: it parks the other's, and the other gives its own up.

    @param ours: did we dial the open link to that peer; None if there is none.
    @param calling: do we dial that peer just now?
    @param room: may there be one more link?
    """
    if ours is not None:
        return Verdict.DOUBT if ours else Verdict.REPLACE
    if not room:
        return Verdict.REFUSE
    if calling and me < caller:
        return Verdict.PARK
    return Verdict.TAKE
