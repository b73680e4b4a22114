"""Gives each branch of a tree to the peer at its top, or to the next one if that does not take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from clumpt.agent.pusher import Pusher
from clumpt.aio import deferred, unattended
from clumpt.errors import ClumptError
from clumpt.interfaces import ILink, INetwork
from clumpt.model import Address, Package, PeerName
from clumpt.pieces import Digest, Round
from clumpt.trees import Branch

#: Peers that are tried for a branch, one after the other: who is off leaves its place to the next one.
TRIES = 8
#: Seconds for which a link to one is waited for: nothing comes to those below meanwhile.
SOON = 1.0
#: Branches that are given at one time; what else there is to give is left to be asked for.
AT_ONCE = 64


@define(eq=False)
class Planter:
    """
    Links to those who are below this peer, and tells them what is below them.

    @ivar find: where a peer listens; fails with a L{ClumptError} if that cannot be known.
    It serves L{Pusher} from the beginning on.

    @ivar tell: tells a peer of the update of a package, and what is here of it.
    """

    _reactor: IReactorTime
    _network: INetwork
    _push: Pusher
    _find: Callable[[PeerName], Deferred[Sequence[Address]]]
    _tell: Callable[[ILink, Package], object]
    _giving: int = field(default=0, init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._push.grow, self._push.drop = self.grow, self.drop

    def grow(self, package: Package, branch: Branch) -> None:
        """Let somebody take C{branch}; whom nobody pushes anything asks for it by itself."""
        if self._giving < AT_ONCE:
            unattended(self._grow(package, branch), self._log, "giving a branch to a peer")

    @deferred
    async def _grow(self, package: Package, branch: Branch) -> None:
        left: Branch | None = branch
        self._giving += 1
        try:
            for _ in range(TRIES):
                if left is None or await self._give(package, left):
                    return
                left = left.beheaded()
        finally:
            self._giving -= 1
        self._log.info("nobody of {number} passes {file} on", number=TRIES, file=package.file)

    async def _give(self, package: Package, branch: Branch) -> bool:
        peer = branch.first
        try:
            dialled = self._network.dial(peer, await self._find(peer))
            link = await dialled.addTimeout(SOON, self._reactor)
            self._tell(link, package)
            takes = link.branch(package.sha256, branch)
        except (ClumptError, TimeoutError) as trouble:
            self._log.debug("{peer} passes nothing on: {trouble}", peer=peer, trouble=trouble)
            return False
        if takes:
            self._push.adopt(package, branch)
        return takes

    def drop(self, peer: PeerName, digest: Digest) -> None:
        """Tell a peer that it is pushed no more of a package."""
        link = self._network.links().get(peer)
        if link is not None:
            link.feed(digest, Round.WITHOUT, 0)
