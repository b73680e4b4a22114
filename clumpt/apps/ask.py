"""Asking the person at the terminal, without holding up the reactor."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

#: Bytes of an answer that are looked at.
_LONGEST = 4096


@implementer(IReadDescriptor)
class _Line:
    """Waits for one line of a terminal, which stays as blocking as it is."""

    def __init__(self, reactor: Any, handle: int) -> None:
        self._reactor = reactor
        self._handle = handle
        self.line: Deferred[str] = Deferred(lambda _: reactor.removeReader(self))
        reactor.addReader(self)

    def fileno(self) -> int:
        """The terminal."""
        return self._handle

    def logPrefix(self) -> str:
        """What the reactor calls this in the log."""
        return "answer"

    def doRead(self) -> None:
        """A line is there, or the terminal is gone."""
        self._reactor.removeReader(self)
        self.line.callback(os.read(self._handle, _LONGEST).decode(errors="replace"))

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has no more use for this."""


def answer(reactor: Any, handle: int = 0) -> Deferred[bool]:
    """
    Fires with whether the next line of the terminal C{handle} says yes.

    @param reactor: it must provide C{IReactorFDSet}.
    """
    return _Line(reactor, handle).line.addCallback(lambda line: line.strip().lower() in ("y", "yes"))
