"""The one bridge between coroutines and Deferreds: C{async def} inside, Deferred outside."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

P = ParamSpec("P")
T = TypeVar("T")


def deferred(function: Callable[P, Coroutine[Deferred[Any], Any, T]]) -> Callable[P, Deferred[T]]:
    """
    Make an C{async def} a function that starts at once and returns a Deferred.

    Nobody can forget to await it, and callers need not be coroutines.
    """

    @wraps(function)
    def start(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(function(*args, **kwargs))

    return start


def sleep(reactor: IReactorTime, seconds: float) -> Deferred[None]:
    """Fires with None after C{seconds}; cancelling it frees the timer."""
    waiting: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = reactor.callLater(seconds, waiting.callback, None)
    return waiting


def unattended(work: Deferred[Any], log: Logger, what: str) -> None:
    """
    Nobody waits for C{work}: what goes wrong in it unexpectedly is logged at once, as C{what}.

    Expected failures are handled by the work itself.
    """
    work.addErrback(lambda failure: log.failure("{what} went wrong", failure, what=what))
