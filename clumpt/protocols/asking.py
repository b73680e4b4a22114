"""The requests that we made of a peer, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from clumpt import errors
from clumpt.protocols.alarm import Alarm
from clumpt.protocols.limits import Limits
from clumpt.protocols.requests import Blob, Busy, Cancel, NotHere, Numbered
from clumpt.protocols.update import UpdateProtocol

A = TypeVar("A", bound=Numbered)
T = TypeVar("T")

_LAST_ID = 2**32 - 1
#: Seconds that we wait ourselves when too much is under way.
_BREATH = 0.1
#: A shorter wait than this is over.
_NOTHING = 0.001


@define(eq=False)
class _Waiting:
    """
    One request.

    @ivar kind: what answers it.
    @ivar size: the most bytes of a piece that answers it, -1 if no piece does.
    @ivar found: what the caller wants of the answer.
    @ivar result: for whom asked; None once the request was given up, and its answer is only owed.
    @ivar since: when it was asked, or given up.
    @ivar deadline: when to lose patience, however much comes.
    """

    kind: type[Numbered]
    size: int
    found: Callable[[Any], Any]
    result: Deferred[Any] | None
    since: float
    deadline: float


@define(eq=False)
class Asking:
    """Asks, and matches answers by id.  Each request ends: answered, timed out, cancelled or lost."""

    _clock: IReactorTime
    _limits: Limits
    _line: UpdateProtocol
    _waiting: dict[int, _Waiting] = field(factory=dict, init=False)
    _last: int = field(default=0, init=False)
    #: One for all requests: it rings when the first might be late.
    _alarm: Alarm = field(init=False)
    #: The most bytes of a piece that was asked for since nothing was due.
    _most: int = field(default=-1, init=False)

    def __attrs_post_init__(self) -> None:
        self._alarm = Alarm(self._clock)

    def ask(
        self, request: Callable[[int], Numbered], kind: type[A], found: Callable[[A], T], size: int = -1
    ) -> Deferred[T]:
        """
        Send a request.

        @param request: makes it from its id.
        @param kind: what answers it.
        @param found: what the caller wants of the answer.
        @param size: the most bytes of a piece that answers it.
        @return: fires with what was C{found}, or fails with L{errors.NotHere}, L{errors.Busy} or
            L{errors.LinkLost}.
        """
        if self._line.ended:
            return fail(errors.LinkLost("the link has ended"))
        if len(self._waiting) >= self._limits.in_flight:
            return fail(errors.Busy(_BREATH))
        number = self._free_id()
        result: Deferred[T] = Deferred(lambda _: self._give_up(number))
        self._waiting[number] = _Waiting(kind, size, found, result, 0.0, 0.0)
        if size > self._most:
            self._expect(size)
        self._be_patient(number)
        self._line.send(request(number))
        return result

    def answered(self, answer: Numbered) -> None:
        """An answer came; raises L{errors.ProtocolError} if it is none to anything that was asked."""
        waiting = self._waiting.get(answer.id)
        if waiting is None or not isinstance(answer, (waiting.kind, NotHere, Busy)):
            raise errors.ProtocolError(f"{type(answer).__name__} is no answer to anything that was asked")
        if isinstance(answer, Blob) and 0 <= waiting.size < len(answer.data):
            raise errors.ProtocolError(f"a piece of {len(answer.data)} bytes, {waiting.size} were asked for")
        del self._waiting[answer.id]
        if not self._waiting:
            self._alarm.stop()
            self._expect(-1)
        if waiting.result is None:
            return
        match answer:
            case NotHere():
                waiting.result.errback(errors.NotHere("the peer does not hold it"))
            case Busy():
                waiting.result.errback(errors.Busy(answer.retry_after / 1000))
            case _:
                waiting.result.callback(waiting.found(answer))

    @property
    def busy(self) -> bool:
        """Is an answer due?"""
        return bool(self._waiting)

    def end(self, why: str) -> None:
        """No answer will come."""
        ended, self._waiting = self._waiting, {}
        self._alarm.stop()
        for waiting in ended.values():
            # One that fails may make its asker cancel another.
            if waiting.result is not None and not waiting.result.called:
                waiting.result.errback(errors.LinkLost(why))

    def _free_id(self) -> int:
        self._last = self._last % _LAST_ID + 1
        while self._last in self._waiting:
            self._last = self._last % _LAST_ID + 1
        return self._last

    def _expect(self, size: int) -> None:
        self._most = size
        self._line.expect(size)

    def _be_patient(self, number: int) -> None:
        owed = sum([waiting.size for waiting in self._waiting.values() if waiting.size > 0])
        waiting = self._waiting[number]
        waiting.since = self._clock.seconds()
        waiting.deadline = waiting.since + self._limits.request + owed / self._limits.slowest
        if not self._alarm.due:
            self._alarm.set(self._limits.request, self._check)

    def _check(self) -> None:
        now = self._clock.seconds()
        late = [number for number, waiting in self._waiting.items() if self._left(waiting, now) <= _NOTHING]
        for number in late:
            waiting = self._waiting.get(number)
            if waiting is not None:
                self._lose_patience(number, waiting, now)
        if self._waiting and not self._line.ended:
            left = min(self._left(waiting, now) for waiting in self._waiting.values())
            self._alarm.set(max(left, _NOTHING), self._check)

    def _left(self, waiting: _Waiting, now: float) -> float:
        """Seconds of patience."""
        quiet = now - max(waiting.since, self._line.served)
        return min(waiting.deadline - now, self._limits.request - quiet)

    def _lose_patience(self, number: int, waiting: _Waiting, now: float) -> None:
        if waiting.result is None:
            self._line.refuse(errors.ProtocolError("it neither answers nor takes a request back"))
        else:
            result, since = waiting.result, waiting.since
            self._give_up(number)
            result.errback(errors.LinkLost(f"no answer in {now - since:.0f} s"))

    def _give_up(self, number: int) -> None:
        """Nobody waits any more; but until the answer comes, the id stays in use."""
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.result = None
            self._be_patient(number)
            self._line.send(Cancel(number))
