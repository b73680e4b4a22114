"""A link: one notification line and one update line to the same peer, as one thing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from clumpt.idset import IdSet
from clumpt.interfaces import ILink, IPeerEvents
from clumpt.model import Entry, PeerName, Seq
from clumpt.pieces import Bits, Digest, Round
from clumpt.protocols.asking import Asking
from clumpt.protocols.hearing import Hearing
from clumpt.protocols.line import Line
from clumpt.protocols.meeting import Pair
from clumpt.protocols.messages import BYPASS, FEEDS, PUSHES, Ack, Message, Notify, Reload, pages
from clumpt.protocols.news import Branched, Decline, Fed, Feed, Have, Holding, Offer
from clumpt.protocols.pulse import Pulse, Pulses
from clumpt.protocols.requests import (
    Blob,
    Hashes,
    Ids,
    Output,
    Piece,
    Table,
    WantHashes,
    WantIds,
    WantOutput,
    WantPiece,
    WantTable,
)
from clumpt.protocols.serving import Serving
from clumpt.protocols.wires import Wires
from clumpt.trees import Branch

#: What does not fit so many notifications at a time the peer asks for, once it sees the head.
MOST_PAGES = 8
#: The version of the wire that knows each word of how a package goes round.
SINCE = {
    Round.OVER: FEEDS,
    Round.WANTED: FEEDS,
    Round.INSTEAD: BYPASS,
    Round.WITHOUT: BYPASS,
    Round.ENOUGH: PUSHES,
}


@implementer(ILink)
@define(eq=False)
class Link:
    """
    The link to one peer.

    It ends when either line does, and then ends the other.  Both ends may say
    and ask everything, whoever dialled.  The methods for the
    agent are described in L{ILink}.

    @ivar dialled: did we dial?
    @ivar made: when it became whole, by the clock.
    @ivar used: when the peer last said anything but a ping.
    """

    _wires: Wires
    _pulses: Pulses
    _events: IPeerEvents
    _pair: Pair
    dialled: bool
    _on_end: Callable[[Link, str], None]
    peer: PeerName = field(init=False)
    head: Seq = field(init=False)
    made: float = field(init=False)
    used: float = field(init=False)
    _over: bool = field(default=False, init=False)
    #: The most bytes of a piece that may come without being asked for.
    _fed: int = field(default=-1, init=False)
    _asking: Asking = field(init=False)
    _serving: Serving = field(init=False)
    _hearing: Hearing = field(init=False)
    _pulse: Pulse = field(init=False)

    def __attrs_post_init__(self) -> None:
        wires, update = self._wires, self._pair.update
        self.peer = self._pair.peer
        self.head = self._pair.hello.head_seq
        self.made = self.used = wires.clock.seconds()
        self._asking = Asking(wires.clock, wires.limits, update)
        self._serving = Serving(wires.limits, update, self, self._events)
        self._hearing = Hearing(self, self._events, self._asking, self._serving)
        for line in self._pair.lines:
            line.join(self)
        self._pulse = self._pulses.add(self._pair.lines, self.dialled)

    # Its life.

    @property
    def open(self) -> bool:
        """Can anything still be said?"""
        # Asked for every link whenever a piece comes or goes.
        return not (self._over or self._pair.notify.ended or self._pair.update.ended)

    @property
    def full(self) -> bool:
        """Is there no room to send a piece?"""
        return self._pair.update.full

    @property
    def heard(self) -> float:
        """When the peer last gave more than a sign of life."""
        return max(self.used, self._pair.update.served)

    def idle(self, seconds: float) -> bool:
        """Was nothing done with it for so long?"""
        if self._asking.busy or self._serving.busy:
            return False
        return self._wires.clock.seconds() - self.used >= seconds

    def begin(self) -> None:
        """The agent knows of the link: give it what came meanwhile."""
        for line in self._pair.lines:
            line.replay()

    def doubt(self) -> None:
        """The peer may have lost this link: it must give a sign of life soon."""
        self._pair.notify.doubt()

    def end(self, why: str) -> None:
        """End the link now, without a good-bye."""
        self._pair.abort(why)
        self._pulses.remove(self._pulse)
        if not self._over:
            self._over = True
            self._wires.open.changes += 1
            self._asking.end(why)
            self._serving.end()
            self._on_end(self, why)

    def close(self) -> None:
        """End the link, once what was said is sent; C{unlinked} follows."""
        self._pair.close("closed here")

    # What the lines tell.

    def received(self, line: Line, message: Message) -> None:
        """The peer said something."""
        self.used = self._wires.clock.seconds()
        if line is self._pair.notify:
            if isinstance(message, Notify | Ack):
                # First, as who hears of it looks whether there is more to be asked for.
                self.head = max(self.head, message.head_seq)
            self._hearing.notice(line, message)
        else:
            self._hearing.exchange(message)

    def pinged(self) -> None:
        """The peer asked whether we are there."""
        self._pulses.awake()

    def drained(self, line: Line) -> None:
        """There is room to say more."""
        if line is self._pair.update and self.open:
            self._serving.go_on()
            if not line.full:
                self._events.drained(self)

    def lost(self, line: Line, why: str) -> None:
        """One line is gone, so the link is."""
        self.end(why)

    # What the agent says on the notification line.

    def notify(self, entries: Sequence[Entry], holding: Collection[Seq]) -> None:
        """Tell of new updates (R32), in order, and of our head."""
        head = self._events.hello()[1]
        told = list(islice(pages(entry.envelope for entry in entries), MOST_PAGES))
        # Without entries there is still something to say: what we hold.
        last = told.pop() if told else ()
        for page in told:
            self._pair.notify.send(Notify(page, IdSet(), head))
        self._pair.notify.send(Notify(last, IdSet.of(holding), head))

    def reload(self) -> None:
        """Tell that neighbours or groups changed (R67)."""
        self._pair.notify.send(Reload())

    # What the agent asks and says on the update line.

    def table(self, have: IdSet) -> Deferred[Sequence[bytes]]:
        """Some of the updates that we lack."""
        return self._asking.ask(lambda number: WantTable(number, have), Table, lambda table: table.envelopes)

    def ids(self) -> Deferred[IdSet]:
        """The updates that the peer knows (R38)."""
        return self._asking.ask(WantIds, Ids, lambda ids: ids.known)

    def hashes(self, digest: Digest) -> Deferred[bytes]:
        """The hashes of the pieces of a package."""
        return self._asking.ask(lambda number: WantHashes(number, digest), Hashes, _data)

    def piece(self, digest: Digest, index: int, size: int) -> Deferred[bytes]:
        """One piece of a package (R35)."""
        return self._asking.ask(lambda number: WantPiece(number, digest, index), Piece, _data, size)

    def output(self, seq: Seq) -> Deferred[bytes]:
        """What an install printed there."""
        return self._asking.ask(lambda number: WantOutput(number, seq), Output, _data)

    def holding(self, digest: Digest, count: int, bits: Bits) -> None:
        """Tell which pieces we hold."""
        self._pair.update.send(Holding(digest, bits.encode(count)))

    def have(self, digest: Digest, held: Bits, coming: Bits) -> None:
        """Tell of more pieces."""
        self._pair.update.send(Have(digest, tuple(held), tuple(coming)))

    def offer(self, digest: Digest, index: int) -> None:
        """Offer a piece."""
        self._pair.update.send(Offer(digest, index))

    def decline(self, digest: Digest, index: int) -> None:
        """Answer an offer that is of no use."""
        self._pair.update.send(Decline(digest, index))

    def feed(self, digest: Digest, word: Round, size: int) -> None:
        """Say how a package of pieces of C{size} bytes goes round, if the peer knows what that means."""
        if self._pair.hello.version() < SINCE[word]:
            return
        if size > self._fed:
            self._fed = size
            self._pair.update.expect_fed(size)
        self._pair.update.send(Feed(digest, word))

    def fed(self, digest: Digest, index: int, data: bytes) -> None:
        """Send a piece to who asked to be fed."""
        self._pair.update.send(Fed(digest, index, data))

    def branch(self, digest: Digest, branch: Branch) -> bool:
        """Say what of a tree of a package begins with the peer, if it knows what that means."""
        if self._pair.hello.version() < PUSHES:
            return False
        self._pair.update.send(Branched(digest, branch))
        return True


def _data(blob: Blob) -> bytes:
    return blob.data
