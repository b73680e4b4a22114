"""
Eyes and ears of the simulation, where peers touch the world: what reaches the
installer and the directory, and what is logged.

They look at the truth that the cluster keeps, and never at what a peer says
of itself; what they find wrong ends the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from clumpt.aio import deferred, sleep
from clumpt.errors import DirectoryUnavailable
from clumpt.interfaces import IDirectory, IInstaller
from clumpt.model import Entry, Outcome, PeerStatus, Seq
from clumpt.testing.world import World

__all__ = ["Broken", "Messenger", "WatchedInstaller", "Witness"]


class Broken(AssertionError):
    """An invariant does not hold; the text says which, where, and for which update."""


@implementer(IInstaller)
@define(eq=False)
class WatchedInstaller:
    """
    An installer, and what must be so whenever something is given to it.

    @ivar check: called before; raises L{Broken}.
    @ivar broken: called with what it raised.
    """

    _installer: IInstaller
    _check: Callable[[Entry, int, Sequence[Path]], None]
    _broken: Callable[[Failure], None]

    @property
    def allowed(self) -> frozenset[str]:
        """See L{IInstaller}."""
        return self._installer.allowed  # type: ignore[no-any-return]  # attributes of interfaces are Any

    def run(self, entry: Entry, attempt: int, packages: Sequence[Path]) -> Deferred[Outcome]:
        """See L{IInstaller.run}."""
        try:
            self._check(entry, attempt, packages)
        except Broken:
            self._broken(Failure())
        return self._installer.run(entry, attempt, packages)

    def output(self, seq: Seq) -> bytes:
        """See L{IInstaller.output}."""
        return bytes(self._installer.output(seq))


class Messenger:
    """
    A way to a directory (L{IDirectory}) that is as long as it is, and on which nothing false may be said.

    A question may be lost with its answer: then it was carried out, and nobody knows.
    """

    def __init__(
        self,
        directory: IDirectory,
        reactor: Any,
        distance: Callable[[], float],
        reachable: Callable[[], bool],
        check: Callable[[PeerStatus], None],
        broken: Callable[[Failure], None],
        told: Callable[[PeerStatus], None],
    ) -> None:
        """
        @param distance: seconds for the next question, and for the next answer.
        @param reachable: would the answer still come through?
        @param check: called with each report before it goes; raises L{Broken}, which goes to C{broken}.
        @param told: called with each report that was taken.
        """
        self._directory, self._reactor = directory, reactor
        self._distance, self._reachable = distance, reachable
        self._check, self._broken, self._told = check, broken, told
        self._travelling: dict[Deferred[None], None] = {}
        self._closed = False

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        method = getattr(self._directory, name)
        return lambda *words: self._ask(method, words)

    @deferred
    async def _ask(self, method: Callable[..., Deferred[Any]], words: Sequence[Any]) -> Any:
        way = self._distance()
        await self._travel(way)
        answer = await method(*words)
        await self._travel(way)
        if way and not self._reachable():
            raise DirectoryUnavailable("the answer was lost")
        return answer

    async def _travel(self, seconds: float) -> None:
        if self._closed:
            raise DirectoryUnavailable("the connection was closed here")
        if not seconds:
            return
        travelling = sleep(self._reactor, seconds)
        self._travelling[travelling] = None
        try:
            await travelling
        except CancelledError:
            raise DirectoryUnavailable("the connection was closed here") from None
        finally:
            del self._travelling[travelling]

    @deferred
    async def report(self, status: PeerStatus) -> None:
        """See L{IDirectory.report}."""
        try:
            self._check(status)
        except Broken:
            self._broken(Failure())
        await self._ask(self._directory.report, (status,))
        self._told(status)

    def close(self) -> Deferred[None]:
        """See L{IDirectory.close}."""
        self._closed = True
        for travelling in list(self._travelling):
            travelling.cancel()
        closed: Deferred[None] = self._directory.close()
        return closed


#: How lines begin that must not be, unless something is known to be wrong with a disk ...
DISK = (
    "{file} cannot be kept here",
    "{file} did not survive on this disk",
    "cannot write the",
    "package {digest} is damaged",
)
#: ... or the directory does not know a peer (any more) ...
STRANGER = ("the directory refuses this peer's report",)
#: ... or with the peer that they speak of.
ACCUSING = ("{peer} sent ", "{peer} took ", "{peer} has another history", "hanging up on {peer}")
#: Why one may hang up on a peer that is not to blame: the weather, or news that did not reach it yet.
BLAMELESS = (
    "it took nothing for",
    "it leaves",
    "it neither answers",
    "no answer in",
    "no link after",
    "no sign of life",
    "the statement of",
    "there is no room",
    "too many connections",
)


@implementer(ILogObserver)
@define(eq=False)
class Witness:
    """
    Listens to everything that is logged: no failure, and no alarm without a cause.

    @ivar suspects: the peers that may be accused.
    @ivar troubled: is something wrong with a disk?
    @ivar lost: may the directory have forgotten a peer?
    @ivar lies: does this come from a liar's own program?
    @ivar accused: how often each peer was accused, by name or address.
    """

    _world: World
    _suspects: Callable[[], Collection[str]]
    _troubled: Callable[[], bool]
    _lost: Callable[[], bool]
    _lies: Callable[[object], bool]
    accused: Counter[str] = field(factory=Counter, init=False)

    def __call__(self, event: LogEvent) -> None:
        """Something was logged."""
        if self._lies(event.get("log_source")):
            return
        if "log_failure" in event:
            self._world.fault(event["log_failure"])
        elif str(event.get("log_format") or "").startswith(ACCUSING):
            self._accusation(event)
        elif event["log_level"] >= LogLevel.error and not self._excused(event):
            self._world.fault(Failure(Broken(f"an alarm without a cause: {formatEvent(event)}")))

    def _accusation(self, event: LogEvent) -> None:
        if str(event.get("why", "")).startswith(BLAMELESS):
            return
        peer = str(event["peer"])
        self.accused[peer] += 1
        if peer not in self._suspects():
            self._world.fault(Failure(Broken(f"an honest peer is accused: {formatEvent(event)}")))

    def _excused(self, event: LogEvent) -> bool:
        about = str(event.get("log_format"))
        return (self._troubled() and about.startswith(DISK)) or (self._lost() and about.startswith(STRANGER))

    def listen(self) -> None:
        """Begin."""
        globalLogPublisher.addObserver(self)

    def leave(self) -> None:
        """End."""
        globalLogPublisher.removeObserver(self)
