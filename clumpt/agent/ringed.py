"""Does a package that is here go round, from peer to peer?  Pure decisions of who passes it on."""

from __future__ import annotations

from collections import deque

from attrs import define, field

from clumpt.model import PeerName

#: If who is fed has none of so many pieces when as many others have come after each ...
BEHIND = 8
#: ... and does not show for so many seconds to have one that he was sent, it does not go round.
LAGS = 0.4
#: Nor if he does not show that for so long, whatever comes.
STUCK = 1.0
#: Nor if nobody asks to be fed within so many seconds after the first piece came by itself.
GRACE = 1.0


@define
class Ringed:
    """
    One package, as far as it goes round.

    @ivar goes: does it?  Where it came by itself, and until it turned out not to work.
    @ivar over: did it turn out so?
    @ivar eaters: who asked to be fed from here, in this order.
    """

    goes: bool = field(default=False, init=False)
    over: bool = field(default=False, init=False)
    eaters: list[PeerName] = field(factory=list, init=False)
    _since: float = field(default=0.0, init=False)
    _last: deque[int] = field(factory=deque, init=False)
    #: Pieces in a row that who is fed did not have by the time.
    _late: int = field(default=0, init=False)

    def feed(self, peer: PeerName) -> None:
        """C{peer} wants to be fed."""
        if not self.over and peer not in self.eaters:
            self.eaters.append(peer)

    def begin(self, now: float) -> None:
        """It is to go round, beginning here, or coming here."""
        if not self.goes and not self.over:
            self.goes, self._since = True, now

    def end(self) -> None:
        """It is over, and stays so."""
        self.goes, self.over = False, True
        self.eaters.clear()

    def came(self, index: int, held: int, now: float) -> None:
        """Piece C{index} came by itself; C{held} has who is fed, as a bit field."""
        self.begin(now)
        self._last.append(index)
        if len(self._last) > BEHIND:
            self._late = 0 if held >> self._last.popleft() & 1 else self._late + 1

    def fails(self, waits: float, now: float) -> bool:
        """
        Is there nobody to feed, or one that does not take what comes?

        @param waits: seconds for which he does not show to have something that he was sent.
        """
        if not self.goes:
            return False
        lags = self._late >= BEHIND and waits >= LAGS
        return lags or waits >= STUCK or not self.eaters and now - self._since >= GRACE
