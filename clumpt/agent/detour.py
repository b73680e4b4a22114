"""Finds the way round a peer that does not keep up with what it is fed."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from clumpt.agent.ring import Ring
from clumpt.agent.roster import Roster
from clumpt.aio import deferred, sleep, unattended
from clumpt.errors import ClumptError
from clumpt.interfaces import INetwork
from clumpt.model import Package, PeerName
from clumpt.pieces import Digest, Round

#: Peers that are tried, one after the other: the next one may be off as well.
TRIES = 3
#: Seconds after which the next one is tried.
SOON = 0.2


@define(eq=False)
class Around:
    """
    Links the peer before a slow one to one after it: L{clumpt.agent.feeder.Detour}.

    @ivar show: tells a peer what is here of a package.
    """

    _reactor: IReactorTime
    _network: INetwork
    _roster: Roster
    _ring: Ring
    _show: Callable[[PeerName, Package], object]
    _log = Logger()

    def find(self, package: Package, slow: PeerName, looks: Callable[[], bool]) -> None:
        """Let one after C{slow} know that it can be fed from here, as long as one is looked for."""
        unattended(self._find(package, slow, looks), self._log, "looking for a way round a slow peer")

    @deferred
    async def _find(self, package: Package, slow: PeerName, looks: Callable[[], bool]) -> None:
        await self._roster.read_members()
        for after in self._ring.after(package, slow)[:TRIES]:
            if looks():
                unattended(self._invite(package, slow, after, looks), self._log, "inviting a peer")
                await sleep(self._reactor, SOON)

    @deferred
    async def _invite(
        self, package: Package, slow: PeerName, after: PeerName, looks: Callable[[], bool]
    ) -> None:
        try:
            link = await self._network.dial(after, self._roster.members()[after])
        except ClumptError as trouble:
            self._log.debug("no way round {slow}: {trouble}", slow=slow, trouble=trouble)
            return
        if looks():
            self._log.info(
                "{slow} does not keep up with {file}: {after} can have it from here",
                slow=slow, file=package.file, after=after,
            )  # fmt: skip
            self._show(after, package)
            link.feed(package.sha256, Round.INSTEAD, 0)

    def leave_out(self, digest: Digest, slow: PeerName) -> None:
        """Tell C{slow} that a package goes round without it."""
        link = self._network.links().get(slow)
        if link is not None:
            link.feed(digest, Round.WITHOUT, 0)
