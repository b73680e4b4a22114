"""The requests that a peer made of us, and how they are answered."""

from __future__ import annotations

from collections import deque
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clumpt import errors
from clumpt.aio import deferred
from clumpt.idset import IdSet
from clumpt.interfaces import ILink, IPeerEvents
from clumpt.protocols.limits import Limits
from clumpt.protocols.messages import pages
from clumpt.protocols.requests import (
    MOST_OUTPUT,
    Busy,
    Hashes,
    Ids,
    NotHere,
    Numbered,
    Output,
    Piece,
    Table,
    WantHashes,
    WantIds,
    WantOutput,
    WantPiece,
    WantTable,
)
from clumpt.protocols.update import UpdateProtocol

#: Seconds after which a peer that asked too much at once may ask again.
_BREATH = 1.0


@define(eq=False)
class Serving:
    """
    Answers each request once, as fast as the peer takes the answers.

    Nothing is fetched for a peer that does not read: while its line is full,
    requests wait, and their number is bounded.  Pieces, which may be made to
    wait by the agent, never hold up other answers.
    """

    log = Logger()

    _limits: Limits
    _line: UpdateProtocol
    _link: ILink
    _events: IPeerEvents
    #: All requests that are not answered; those in preparation have a Deferred.
    _open: dict[int, Deferred[Numbered] | None] = field(factory=dict, init=False)
    _quick: deque[Numbered] = field(factory=deque, init=False)
    _pieces: deque[Numbered] = field(factory=deque, init=False)
    _ready: deque[Numbered] = field(factory=deque, init=False)
    _preparing: int = field(default=0, init=False)
    _going: bool = field(default=False, init=False)
    #: Requests that were not granted, and those that are free at the moment C{_since}.
    _excess: int = field(default=0, init=False)
    _credit: float = field(default=0.0, init=False)
    _since: float = field(default=float("-inf"), init=False)

    def wanted(self, request: Numbered) -> None:
        """Take in a request; raises L{errors.ProtocolError} if its id is in use, or there were too many."""
        if request.id in self._open:
            raise errors.ProtocolError(f"request {request.id} came twice")
        if self._too_many(request):
            self._excess += 1
            if self._excess > self._limits.excess:
                raise errors.ProtocolError(f"it asks on and on: {self._excess} requests too many")
            self._line.send(Busy.after(request.id, _BREATH))
            return
        self._open[request.id] = None
        (self._pieces if isinstance(request, WantPiece) else self._quick).append(request)
        self.go_on()

    def _too_many(self, request: Numbered) -> bool:
        """Must the peer wait?  How many pieces it may ask for is left to the agent."""
        if len(self._open) >= self._limits.in_flight:
            return True
        if isinstance(request, WantPiece):
            return False
        limits, now = self._limits, self._line.heard
        self._credit = min(float(limits.burst), self._credit + (now - self._since) * limits.rate)
        self._since = now
        if self._credit < 1:
            return True
        self._credit -= 1
        return False

    def cancelled(self, number: int) -> None:
        """The peer does not want the answer to C{number}; nothing happens if that is on its way."""
        preparation = self._open.get(number)
        if preparation is not None:
            preparation.cancel()
            return
        for queue in (self._quick, self._pieces):
            for request in queue:
                if request.id == number:
                    queue.remove(request)
                    self._ready.append(NotHere(number))
                    self.go_on()
                    return

    def go_on(self) -> None:
        """Do what can be done now."""
        if self._going:
            return
        self._going = True
        try:
            while not self._line.full and self._step():
                pass
        finally:
            self._going = False

    @property
    def busy(self) -> bool:
        """Is an answer owed?"""
        return bool(self._open)

    def end(self) -> None:
        """The peer is gone."""
        for queue in (self._quick, self._pieces, self._ready):
            queue.clear()
        ended, self._open = self._open, {}
        for preparation in ended.values():
            if preparation is not None:
                preparation.cancel()

    def _step(self) -> bool:
        """Send or prepare one answer; False if there is nothing to do."""
        if self._ready:
            answer = self._ready.popleft()
            self._open.pop(answer.id, None)
            self._line.send(answer)
        elif self._quick:
            self._prepare(self._quick.popleft())
        elif self._pieces and self._preparing < self._limits.at_once:
            self._prepare(self._pieces.popleft())
        else:
            return False
        return True

    def _prepare(self, request: Numbered) -> None:
        self._preparing += isinstance(request, WantPiece)
        preparation = self._piece(request) if isinstance(request, WantPiece) else self._find(request)
        self._open[request.id] = preparation
        preparation.addCallbacks(self._prepared, self._failed, (request,), errbackArgs=(request,))

    def _prepared(self, answer: Numbered, request: Numbered) -> None:
        self._preparing -= isinstance(request, WantPiece)
        if request.id in self._open:
            self._ready.append(answer)
            self.go_on()

    def _failed(self, failure: Failure, request: Numbered) -> None:
        self._preparing -= isinstance(request, WantPiece)
        if isinstance(failure.value, errors.ClumptError):
            self._line.refuse(failure.value)
            return
        self.log.failure("cannot answer {request} of {peer}", failure, request=request, peer=self._link.peer)
        self._line.abort("a mistake on this side")

    def _piece(self, request: WantPiece) -> Deferred[Numbered]:
        """As L{_find}; most requests are for pieces, and coroutines cost time."""
        number = request.id
        found: Deferred[Any] = maybeDeferred(
            self._events.piece_wanted, self._link, request.digest, request.index
        )
        return found.addCallbacks(lambda data: Piece(number, data), _refusal, errbackArgs=(number,))

    @deferred
    async def _find(self, request: Numbered) -> Numbered:
        try:
            return await self._ask_agent(request)
        except (errors.NotHere, errors.Busy, CancelledError):
            return _refusal(Failure(), request.id)

    async def _ask_agent(self, request: Numbered) -> Numbered:
        events, link = self._events, self._link
        match request:
            case WantTable(number, have):
                envelopes = await maybeDeferred(events.table_wanted, link, have)
                return Table(number, next(pages(envelopes), ()))
            case WantHashes(number, digest):
                return Hashes(number, await maybeDeferred(events.hashes_wanted, link, digest))
            case WantOutput(number, seq):
                output = await maybeDeferred(events.output_wanted, link, seq)
                return Output(number, output[-MOST_OUTPUT:])
            case WantIds(number):
                return Ids(number, IdSet.upto(events.hello()[1]))
        raise TypeError(f"{request} is no request")


def _refusal(failure: Failure, number: int) -> Numbered:
    """What is said when request C{number} is not granted; mistakes are raised again."""
    if failure.check(errors.NotHere, CancelledError) is not None:
        return NotHere(number)
    failure.trap(errors.Busy)
    busy: Any = failure.value
    return Busy.after(number, busy.retry_after)
