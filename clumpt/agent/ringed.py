"""Does a package that is here go round, from peer to peer?  Pure decisions of who passes it on."""

from __future__ import annotations

from collections import deque

from attrs import define, field

from clumpt.model import PeerName

#: If who is fed had an eighth at most of so many pieces that came, or lacks so many more than at best, ...
DEEP, DEEPEST = 16, 48
#: ... after so many pieces in a row; or if it says nothing ...
LATE = 4
#: ... and does not show for so many seconds to have one that it was sent, it does not go round.
LAGS = 0.5
#: Nor if it does not show that for so long, whatever comes.
STUCK = 1.0
#: Nor if nobody asks to be fed within so many seconds after the first piece came by itself.
GRACE = 1.0
#: So many seconds has another one to ask to be fed in place of one that does not keep up.
DETOUR = 0.7
#: So many pieces ahead, or in a row that are known, are no chance; fewer that came tell nothing about a rate.
BEHIND = 8


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
    #: Since when another is looked for, and was one looked for already?
    _looks: float | None = field(default=None, init=False)
    _looked: bool = field(default=False, init=False)
    _since: float = field(default=0.0, init=False)
    #: The pieces that came by themselves; how many of them who is fed lacked by the last, and at best.
    _came: int = field(default=0, init=False)
    _lacked: deque[int] = field(factory=lambda: deque(maxlen=DEEP), init=False)
    _best: int | None = field(default=None, init=False)
    #: When the last pieces came.
    _times: deque[float] = field(factory=lambda: deque(maxlen=BEHIND), init=False)
    #: Pieces in a row after which who is fed was too far behind, or which it had before.
    _late: int = field(default=0, init=False)
    _needless: int = field(default=0, init=False)

    def feed(self, peer: PeerName) -> list[PeerName]:
        """C{peer} wants to be fed; returns those in whose place it is."""
        if self._looks is not None:
            passed, self.eaters = [one for one in self.eaters if one != peer], [peer]
            self._looks = None
            self._begin_anew()
            return passed
        if not self.over and peer not in self.eaters:
            if not self.eaters:
                self._begin_anew()
            self.eaters.append(peer)
        return []

    def _begin_anew(self) -> None:
        """Somebody else is fed; who begins late stays behind, though it keeps up."""
        self._late, self._best = 0, None
        self._lacked.clear()

    def looks(self) -> bool:
        """Is somebody else looked for, in place of who is fed?"""
        return self._looks is not None

    def look(self, waits: float, mute: float, now: float) -> bool:
        """
        Is somebody else to be looked for?  That is done once, from now on.

        @param waits: seconds for which who is fed does not show to have something that he was sent.
        @param mute: seconds for which he says nothing at all.
        """
        if not self.goes or self._looked or not self._lags(waits, mute):
            return False
        self._looks, self._looked = now, True
        return True

    def _lags(self, waits: float, mute: float) -> bool:
        lags = (self._late >= LATE or mute >= LAGS) and waits >= LAGS or waits >= STUCK
        return lags and not self._slow_here(waits)

    def _slow_here(self, waits: float) -> bool:
        """
        Does it take longer than that until some pieces come here?

        Then it is our own link that is slow, most likely: who is before us has to find that out, and
        nobody is to suffer from what we do not hear in time.
        """
        times = self._times
        return bool(times) and (len(times) < BEHIND or times[-1] - times[0] > waits)

    @property
    def closed(self) -> bool:
        """Does it end here, as the next one has what comes here?  Then there is time to feed another."""
        return self._needless >= BEHIND

    def begin(self, now: float) -> None:
        """It is to go round, beginning here, or coming here."""
        if not self.goes and not self.over:
            self.goes, self._since = True, now

    def end(self) -> None:
        """It is over, and stays so."""
        self.goes, self.over, self._looks = False, True, None
        self.eaters.clear()

    def came(self, index: int, held: int, now: float) -> None:
        """Piece C{index} came by itself; C{held} has who is fed, as a bit field."""
        self.begin(now)
        self._needless = self._needless + 1 if held >> index & 1 else 0
        self._times.append(now)
        self._came |= 1 << index
        lacks = (self._came & ~held).bit_count()
        self._best = lacks if self._best is None else min(self._best, lacks)
        # A quarter of the rate, for a while, may be a packet that was lost; a tenth of it is a slow link.
        slow = len(self._lacked) == DEEP and lacks - self._lacked[0] >= DEEP * 7 // 8
        self._lacked.append(lacks)
        self._late = self._late + 1 if slow or lacks >= self._best + DEEPEST else 0

    def fails(self, waits: float, mute: float, now: float) -> bool:
        """Is there nobody to feed, or one that does not take what comes?  See L{look}."""
        if not self.goes:
            return False
        if self._looks is not None:
            if now - self._looks < DETOUR:
                return False
            self._looks = None
        return self._lags(waits, mute) or not self.eaters and now - self._since >= GRACE
