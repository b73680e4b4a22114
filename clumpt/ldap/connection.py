"""
The configured LDAP servers as one: in order, with fail-over (R16, R43).

Anything may be read anywhere; what must be decided in one place is asked of
one named provider, since two providers would both say yes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from clumpt.aio import deferred
from clumpt.errors import ConfigurationError, DirectoryUnavailable
from clumpt.ldap.results import READ_ONLY, AnswerLost, Refusal
from clumpt.ldap.servers import Dialler, Uri
from clumpt.ldap.wire import Wire

T = TypeVar("T")
#: Something to do on a connection.  It may be done again elsewhere, so its second time must not matter.
Action = Callable[[Wire], Awaitable[T]]

#: Seconds that a server that failed is asked last; doubled for each failure in a row, to at most the second.
SHORTEST_REST = 1.0
LONGEST_REST = 60.0
CLOSED = "the connection to the directory was closed here"


@define(eq=False)
class Server:
    """One server, and at most one connection to it, which stays open."""

    uri: Uri
    _dialler: Dialler
    _wire: Wire | None = field(default=None, init=False)
    _dialling: Deferred[Wire] | None = field(default=None, init=False)
    _waiting: list[Deferred[Wire]] = field(factory=list, init=False)
    _failures: int = field(default=0, init=False)
    _rests_until: float = field(default=0.0, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def _clock(self) -> IReactorTime:
        return self._dialler.clock

    @property
    def resting(self) -> bool:
        """Did it fail a short while ago?"""
        return self._clock.seconds() < self._rests_until

    async def run(self, action: Action[T], again: bool) -> T:
        """
        The result of C{action} on this server.

        @param again: if the open connection turns out to be dead, do it on a new one.
        """
        reused = self._wire is not None and self._wire.usable
        wire = await self._connection()
        try:
            result = await action(wire)
        except AnswerLost:
            if again and reused and not wire.usable and not self._closed:
                return await self.run(action, again=False)
            self._failed_on(wire)
            raise
        except DirectoryUnavailable:
            self._failed_on(wire)
            raise
        self._failures, self._rests_until = 0, 0.0
        return result

    def _failed_on(self, wire: Wire) -> None:
        # One dead connection is one failure, however many requests were on it.
        if self._wire is wire:
            self._wire = wire if wire.usable else None
            self._failed()

    def _failed(self) -> None:
        rest = min(LONGEST_REST, SHORTEST_REST * 2**self._failures)
        # Beyond this the rest is the longest one anyhow.
        self._failures = min(self._failures + 1, 10)
        self._rests_until = self._clock.seconds() + rest

    def _connection(self) -> Deferred[Wire]:
        """The open connection, or the one that everybody who asks now waits for."""
        if self._wire is not None and self._wire.usable:
            return succeed(self._wire)
        waiting: Deferred[Wire] = Deferred(self._forget)
        self._waiting.append(waiting)
        if self._dialling is None:
            self._dialling = self._dialler.dial(self.uri)
            self._dialling.addBoth(self._dialled)
        return waiting

    def _forget(self, waiting: Deferred[Wire]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _dialled(self, result: Wire | Failure) -> None:
        self._dialling = None
        waiting, self._waiting = self._waiting, []
        if isinstance(result, Wire):
            self._wire = result
        elif self._closed:
            result = Failure(DirectoryUnavailable(CLOSED))
        else:
            self._failed()
        for one in waiting:
            one.callback(result)

    async def close(self) -> None:
        """Close the connection, and give up one that is being made."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
        if self._wire is not None:
            await self._wire.close()


class Servers:
    """
    All configured servers.

    @param uris: in the order in which they are to be asked; at least one.
    @param writer: the one that allots ids and takes the administrators' changes; the first for None.
    """

    def __init__(self, uris: Sequence[Uri], dialler: Dialler, writer: Uri | None = None) -> None:
        if not uris:
            raise ConfigurationError("no directory server is named")
        dialler.check([*uris, writer] if writer else uris)
        self._servers = [Server(uri, dialler) for uri in uris]
        self._writer = next((server for server in self._servers if server.uri == writer), self._servers[0])
        if writer is not None and self._writer.uri != writer:
            self._writer = Server(writer, dialler)
        self._closed = False

    async def anywhere(self, action: Action[T]) -> T:
        """The result of C{action} on the first server that answers."""
        return await self._first(action, frozenset())

    async def willing(self, action: Action[T]) -> T:
        """The result of C{action}, which writes, on the first server that answers and is no mere copy."""
        return await self._first(action, READ_ONLY)

    async def writer(self, action: Action[T]) -> T:
        """The result of C{action} on the one server that decides; it is not repeated."""
        self._check_open()
        return await self._writer.run(action, again=False)

    async def _first(self, action: Action[T], passing: frozenset[int]) -> T:
        refused: Refusal | None = None
        silent: list[str] = []
        # Sorting is stable: those that failed just now come last, in their order.
        for server in sorted(self._servers, key=lambda server: server.resting):
            self._check_open()
            try:
                return await server.run(action, again=True)
            except DirectoryUnavailable as failure:
                silent.append(str(failure))
            except Refusal as failure:
                if failure.code not in passing:
                    raise
                refused = failure
        if silent:
            raise DirectoryUnavailable("no directory server answered: " + "; ".join(silent))
        assert refused is not None  # one of both, as there is a server
        raise refused

    def _check_open(self) -> None:
        if self._closed:
            raise DirectoryUnavailable(CLOSED)

    @deferred
    async def close(self) -> None:
        """Let go of all connections; fires when they are closed, in bounded time."""
        self._closed = True
        servers = {id(server): server for server in (*self._servers, self._writer)}.values()
        await gatherResults([Deferred.fromCoroutine(server.close()) for server in servers])
