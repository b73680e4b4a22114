"""The peers of a demonstration, all in this process: what clumptd does, twenty times in one reactor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess

from clumpt.aio import deferred
from clumpt.apps.conf_change import each
from clumpt.apps.daemon import Peer, build, real_node
from clumpt.apps.demonstration.cluster import Runner
from clumpt.configfile import load
from clumpt.model import Entry, PeerName, State

#: Peers that start or stop at a time: all of them.
AT_ONCE = 1000


@frozen
class Standing:
    """
    How far an update has come on the peers, as they know it themselves.

    @ivar fetched: who holds all its packages.
    @ivar settled: who has nothing more to do about it.
    """

    fetched: frozenset[PeerName] = frozenset()
    settled: frozenset[PeerName] = frozenset()


class Peers(Runner, Protocol):
    """Peers that are watched."""

    def standing(self, entry: Entry) -> Standing | None:
        """How far C{entry} has come; None if only the directory can tell."""

    def sent(self) -> Mapping[PeerName, int] | None:
        """Bytes of packages that each has given to others since it started; None if nobody can tell."""


@define(eq=False)
class InProcess:
    """
    Peers in this process.

    @ivar in_thread: runs slow work on the disk; fires with its result.
    @ivar helpers: starts their install helpers.
    """

    _reactor: Any
    _in_thread: Callable[..., Deferred[Any]]
    _helpers: IReactorProcess
    running: dict[PeerName, Peer] = field(factory=dict, init=False)

    def start(self, configs: Mapping[PeerName, Path]) -> Deferred[Any]:
        """See L{Runner}."""
        return each(list(configs.items()), self._start, AT_ONCE)

    @deferred
    async def _start(self, named: tuple[PeerName, Path]) -> None:
        name, path = named
        config = load(path)
        peer = await build(config, real_node(config, self._reactor, self._in_thread, helpers=self._helpers))
        self.running[name] = peer
        await peer.agent.start()

    def stop(self, names: Collection[PeerName] | None = None) -> Deferred[Any]:
        """See L{Runner}."""
        chosen = [self.running.pop(name) for name in list(self.running if names is None else names)]
        return each(chosen, lambda peer: peer.stop(), AT_ONCE)

    def standing(self, entry: Entry) -> Standing:
        """See L{Peers}."""
        fetched, settled = set(), set()
        for name, peer in self.running.items():
            state = peer.agent.agenda.states.get(entry.seq, State.KNOWN)
            if state is not State.KNOWN:
                fetched.add(name)
            if state.settled:
                settled.add(name)
        return Standing(frozenset(fetched), frozenset(settled))

    def sent(self) -> Mapping[PeerName, int]:
        """See L{Peers}."""
        return {name: sum(peer.agent.server.sent.values()) for name, peer in self.running.items()}
