"""The branches that begin with this peer: who is above pushes what comes, and who is below is told (R73)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field

from clumpt.agent.fetch import Fetcher
from clumpt.agent.known import REMEMBERED, Known
from clumpt.agent.serve import Server
from clumpt.errors import BadDocument
from clumpt.interfaces import ILink
from clumpt.model import Package, PeerName
from clumpt.pieces import Digest, Round
from clumpt.trees import TREES, Branch

#: Branches of packages that are not wanted here yet, as their update is on its way, and names in them: as
#: many as the two largest branches have.  The oldest is forgotten.
EARLY, NAMES = 64, 32768
#: How often a branch of one tree of a package is taken: who is above and below may change, but not for ever.
MOST_TURNS = 16


@define(eq=False)
class Grove:
    """
    All trees in which this peer stands.

    @ivar known: the linked peers.
    @ivar show: tells a linked peer what is here of a package.
    """

    _me: PeerName
    _known: Mapping[PeerName, Known]
    _server: Server
    _fetcher: Fetcher
    _show: Callable[[PeerName, Package], object]
    _early: dict[tuple[Digest, int], tuple[PeerName, Branch]] = field(factory=dict, init=False)
    #: The hash of the branch that was taken last, as it may be long, and how many were; by package and tree.
    _taken: dict[tuple[Digest, int], tuple[int, int]] = field(factory=dict, init=False)

    def branched(self, link: ILink, digest: Digest, branch: Branch) -> None:
        """C{link} passes a package on to us; raises L{BadDocument} if that makes no sense."""
        if branch.first != self._me:
            raise BadDocument(f"it says to {self._me} what begins with {branch.first}")
        package, feeds = self._server.package(digest), self._fetcher.feeds
        if feeds.choosy or feeds.modest:
            link.feed(digest, Round.ENOUGH, 0)
            feeds.stand_aside(digest)
        elif package is not None and (self._fetcher.wants(digest) or self._whole(package)):
            self._take(link, package, branch)
        else:
            self._keep(link.peer, digest, branch)

    def _keep(self, peer: PeerName, digest: Digest, branch: Branch) -> None:
        self._early.pop((digest, branch.tree), None)
        self._early[digest, branch.tree] = peer, branch
        while len(self._early) > EARLY or sum(len(kept.names) for _, kept in self._early.values()) > NAMES:
            del self._early[next(iter(self._early))]

    def begun(self, package: Package) -> None:
        """A package begins to arrive: was it told before who is above and below?"""
        for tree in range(TREES):
            early = self._early.pop((package.sha256, tree), None)
            if early is not None and early[0] in self._known:
                self._take(self._known[early[0]].link, package, early[1])

    def _whole(self, package: Package) -> bool:
        return len(self._server.held(package)) == package.pieces.count

    def _take(self, link: ILink, package: Package, branch: Branch) -> None:
        digest, key = package.sha256, (package.sha256, branch.tree)
        told, turns = self._taken.pop(key, (None, 0))
        self._taken[key] = hash(branch), turns + 1
        if len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]
        if turns >= MOST_TURNS:
            link.feed(digest, Round.ENOUGH, 0)
            return
        if self._whole(package):
            self._show(link.peer, package)
            link.feed(digest, Round.WANTED, 0)
        else:
            self._fetcher.branched(link.peer, digest, branch.tree)
        if hash(branch) != told:
            # Else only somebody else is above.
            for part in branch.below():
                self._server.uplink.feeder.push.grow(package, part)
