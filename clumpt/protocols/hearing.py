"""What a linked peer says, and whom it concerns: the agent, the asker, or the answerer."""

from __future__ import annotations

from attrs import define

from clumpt.errors import ProtocolError
from clumpt.interfaces import ILink, IPeerEvents
from clumpt.pieces import Bits
from clumpt.protocols.asking import Asking
from clumpt.protocols.line import Line
from clumpt.protocols.messages import Ack, Message, Notify, Reload
from clumpt.protocols.news import Branched, Decline, Fed, Feed, Have, Holding, Offer
from clumpt.protocols.requests import (
    Blob,
    Busy,
    Cancel,
    Ids,
    NotHere,
    Table,
    WantHashes,
    WantIds,
    WantOutput,
    WantPiece,
    WantTable,
)
from clumpt.protocols.serving import Serving


@define(eq=False)
class Hearing:
    """Passes messages on; one that nobody expects is a broken rule."""

    _link: ILink
    _events: IPeerEvents
    _asking: Asking
    _serving: Serving

    def notice(self, line: Line, message: Message) -> None:
        """Take what came on the notification line."""
        match message:
            case Notify(envelopes, holding, head):
                if self._events.notified(self._link, envelopes, tuple(holding), head):
                    line.send(Ack(self._events.hello()[1]))
            case Ack(head):
                self._events.acked(self._link, head)
            case Reload():
                self._events.reload_asked(self._link)
            case _:
                raise ProtocolError(f"it said {type(message).__name__} on a notification line")

    def exchange(self, message: Message) -> None:
        """Take what came on the update line."""
        match message:
            case Table() | Ids() | Blob() | NotHere() | Busy():
                self._asking.answered(message)
            case WantTable() | WantIds() | WantHashes() | WantPiece() | WantOutput():
                self._serving.wanted(message)
            case Cancel(number):
                self._serving.cancelled(number)
            case _:
                self._news(message)

    def _news(self, message: Message) -> None:
        match message:
            case Holding(digest, raw):
                self._events.holding_told(self._link, digest, raw)
            case Have(digest, held, coming):
                self._events.have_told(self._link, digest, Bits.of(held), Bits.of(coming))
            case Offer(digest, index):
                self._events.offered(self._link, digest, index)
            case Decline(digest, index):
                self._events.declined(self._link, digest, index)
            case Fed(digest, index, data):
                self._events.fed(self._link, digest, index, data)
            case Feed(digest, word):
                self._events.goes_round(self._link, digest, word)
            case Branched(digest, branch):
                self._events.branched(self._link, digest, branch)
            case _:
                raise ProtocolError(f"it said {type(message).__name__} on an update line")
