"""Lets packages go round from peer to peer (L{clumpt.agent.feeding}), and ends it where it does not work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Mapping, Sequence

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from clumpt.agent.feeding import Feeding
from clumpt.errors import BadDocument
from clumpt.interfaces import ILink
from clumpt.model import Package, PeerName
from clumpt.pieces import Digest

#: What has fewer pieces does not go round.
LEAST = 12
#: Pieces from one peer that nobody wants may be under way; more break a rule.
UNDER_WAY = 64


@define(eq=False)
class Feeds:
    """
    The packages on their way here that are to come by themselves.

    @ivar links: the open links.
    @ivar nearest: the linked peers before us in the ring of those who want a package, the nearest first.
    @ivar submits: is this linked peer a submitter?
    @ivar choosy: does it matter here what comes from where, and when?
    @ivar ended: called with a package that is to be passed on by offers from now on; did it go round here?
    """

    _clock: IReactorTime
    _links: Callable[[], Mapping[PeerName, ILink]]
    _nearest: Callable[[Package], Sequence[PeerName]]
    _submits: Callable[[PeerName], bool]
    _ended: Callable[[Digest], bool]
    choosy: bool = field(default=False, init=False)
    _feedings: dict[Digest, tuple[Package, Feeding]] = field(factory=dict, init=False)
    #: Packages of which it was said that they do not go round, as it matters here where they come from.
    _declined: set[Digest] = field(factory=set, init=False)
    #: Pieces that nobody wants, by who sent them.
    _strays: Counter[PeerName] = field(factory=Counter, init=False)

    def source(self, package: Package, barren: Container[PeerName]) -> list[PeerName]:
        """Who may feed us a package, but for some, and has its hashes sooner: one, or nobody."""
        likely = [*self._submitters(), *self._nearest(package)]
        return [peer for peer in likely if peer not in barren][:1]

    def _submitters(self) -> list[PeerName]:
        return [peer for peer in self._links() if self._submits(peer)]

    def begin(self, package: Package, holders: Sequence[PeerName]) -> bool:
        """
        Let its pieces come, as they can be judged now; False if it does not go round.

        @param holders: who holds all of it; if not only submitters do, it went round before.
        """
        nearest = self._nearest(package) if package.pieces.count >= LEAST else []
        if nearest and self.choosy:
            # Others would choose what comes from where, and when.
            if package.sha256 not in self._declined:
                self._declined.add(package.sha256)
                self._stop(package.sha256)
            return False
        if not nearest or not all(map(self._submits, holders)):
            return False
        _, feeding = self._feedings.setdefault(package.sha256, (package, Feeding()))
        for peer in feeding.begin(nearest, self._submitters(), self._clock.seconds()):
            self._ask(peer, package, True)
        return True

    def came(self, peer: PeerName, digest: Digest, useful: bool) -> None:
        """C{peer} sent a piece by itself; raises L{BadDocument} if it does not stop to."""
        known = self._feedings.get(digest)
        if known is not None and peer in known[1].feeders:
            known[1].came(useful, self._clock.seconds())
            return
        self._strays[peer] += 1
        if self._strays[peer] > UNDER_WAY:
            raise BadDocument("it sends pieces that nobody wants")

    def feeders(self, digest: Digest) -> Collection[PeerName]:
        """Those who were asked to feed us a package; nobody if none of it came by itself."""
        known = self._feedings.get(digest)
        return known[1].feeders if known is not None and known[1].goes else ()

    def look(self) -> None:
        """Time has passed: does everything come as it should?"""
        now = self._clock.seconds()
        for package, feeding in list(self._feedings.values()):
            if feeding.fails(now):
                self.end(package.sha256)

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone."""
        self._strays.pop(peer, None)
        for package, feeding in list(self._feedings.values()):
            if peer == feeding.feeder:
                self.end(package.sha256)
            feeding.submitters.discard(peer)

    def end(self, digest: Digest) -> None:
        """This package does not go round any more: all who are linked hear it, if it did until now."""
        feeding = self._feedings.pop(digest, None)
        if self._ended(digest) or feeding is not None:
            self._stop(digest)

    def _stop(self, digest: Digest) -> None:
        for link in list(self._links().values()):
            link.feed(digest, False, 0)

    def forget(self, digest: Digest) -> None:
        """This package does not come any more."""
        self._feedings.pop(digest, None)
        self._declined.discard(digest)

    def _ask(self, peer: PeerName, package: Package, on: bool) -> None:
        link = self._links().get(peer)
        if link is not None:
            link.feed(package.sha256, on, package.pieces.size)
