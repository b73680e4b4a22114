"""
What is new is told: updates to those who lack them, and which packages can be asked of us (R32-R34).

Every peer tells a few at once, so that an update is everywhere within some steps; the others
hear a moment later how much there is to know, in a message that has next to nothing in it, if they
did not show meanwhile that they know it: most do.  Whoever hears of more than it knows asks for it (H13).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clumpt.agent.gossip import Gossip
from clumpt.agent.known import Known
from clumpt.idset import IdSet
from clumpt.model import Entry, PeerName, Seq

#: Updates that are told at once; of more, which every neighbour would tell, one is asked instead.
TOLD = 16
#: Seconds after which the others hear how much there is to know, and what can be asked of us.  Of the two
#: ends of a link one waits twice as long: it hears it from the other, and need not say it any more.
SOON = 0.15
#: Seconds after which those who hold a package themselves hear that we hold it, too.
GATHER = 2.0


@define(eq=False)
class News:
    """
    What is told on the notification lines.

    @ivar known: the open links, and what is known of them.
    @ivar complete: those of some updates whose packages are all here.
    @ivar submits: is this peer a submitter?  It waits to hear that we hold what it holds (R64).
    @ivar first: whom of some peers to tell of an update at once.
    """

    _clock: IReactorTime
    _me: PeerName
    _gossip: Gossip
    _known: Mapping[PeerName, Known]
    _complete: Callable[[Collection[Seq]], Collection[Seq]]
    _submits: Callable[[PeerName], bool]
    _first: Callable[[Entry, Sequence[PeerName]], Collection[PeerName]]
    _timer: IDelayedCall | None = field(default=None, init=False)
    _gathering: IDelayedCall | None = field(default=None, init=False)

    def stop(self) -> None:
        """Tell nothing more."""
        for timer in (self._timer, self._gathering):
            if timer is not None and timer.active():
                timer.cancel()

    def tell(self, known: Known, news: Sequence[Entry], seqs: Collection[Seq]) -> None:
        """Tell C{news} on a link, and which of C{seqs} can be asked of us."""
        told = IdSet.of(entry.seq for entry in news)
        if news:
            known.unsaid = known.unsaid | IdSet.of(self._complete([seq for seq in seqs if seq in told]))
            few = len(news) <= TOLD
            known.link.notify(news if few else [], self._unsaid(known))

    def joined(self, entries: Sequence[Entry], seqs: Collection[Seq], hurry: bool) -> None:
        """C{entries}, of which C{seqs} are for this peer, are new here; is there any hurry to tell?"""
        lacking = [peer for peer in self._known if self._gossip.lacks(peer, entries)]
        # What comes in pages is old: who lacks it is asking for it itself.
        first = self._first(entries[-1], lacking) if hurry and len(entries) <= TOLD else ()
        for peer in lacking:
            known = self._known[peer]
            if peer in first:
                self.tell(known, self._gossip.lacking(peer, entries), seqs)
            else:
                known.owed = known.owed | IdSet.of(entry.seq for entry in entries)
                self._later(known)

    def inform(self, known: Known, complete: IdSet) -> None:
        """Say once on a link that we hold the packages of these: at once to a submitter, who waits."""
        news = complete - known.informed
        if not news:
            return
        known.unsaid = known.unsaid | news
        lacks = news - known.seqs
        if self._submits(known.link.peer):
            known.link.notify([], self._unsaid(known))
        elif lacks:
            self._later(known)
        elif self._gathering is None:
            self._gathering = self._clock.callLater(GATHER, self._say_gathered)

    def _unsaid(self, known: Known) -> list[Seq]:
        """What is to be said on a link of what we hold, which then counts as said."""
        unsaid = list(known.unsaid)
        known.informed, known.unsaid, known.due = known.informed | known.unsaid, IdSet(), None
        return unsaid

    def _later(self, known: Known) -> None:
        if known.due is None:
            known.due = self._clock.seconds() + SOON * (1 if self._me < known.link.peer else 2)
        if self._timer is None:
            self._timer = self._clock.callLater(SOON, self._remind)

    def _remind(self) -> None:
        self._timer, now = None, self._clock.seconds()
        for known in list(self._known.values()):
            if known.due is not None and known.due <= now:
                self._say(known)
        waiting = [known.due for known in self._known.values() if known.due is not None]
        if waiting:
            self._timer = self._clock.callLater(max(0.0, min(waiting) - now), self._remind)

    def _say(self, known: Known) -> None:
        """Say how much there is to know, and what we hold, unless that is known there by now."""
        known.due = None
        lacks = self._gossip.owes(known.link.peer, known.owed)
        known.owed = IdSet()
        if lacks or known.unsaid - known.seqs:
            known.link.notify([], self._unsaid(known))
        elif known.unsaid and self._gathering is None:
            self._gathering = self._clock.callLater(GATHER, self._say_gathered)

    def _say_gathered(self) -> None:
        self._gathering = None
        for known in list(self._known.values()):
            if known.unsaid:
                known.link.notify([], self._unsaid(known))
