"""
Lets packages come by themselves: round from peer to peer (L{clumpt.agent.feeding}), which ends where it does
not work, or along trees (L{clumpt.agent.pushed}).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Mapping, Sequence

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from clumpt.agent.feeding import Feeding
from clumpt.agent.known import REMEMBERED
from clumpt.agent.pushed import Pushed
from clumpt.agent.swarm import Swarm
from clumpt.errors import BadDocument
from clumpt.interfaces import ILink
from clumpt.model import Package, PeerName
from clumpt.pieces import NONE, Bits, Digest, Round

#: What has fewer pieces does not go round.
LEAST = 12
#: Pieces from one peer that nobody wants may be under way; more break a rule.
UNDER_WAY = 64
#: Seconds without a piece after which who is left out asks for some by itself; the same once a peer has all.
MODEST, HASTY = 30.0, 0.3


@define(eq=False)
class Feeds:
    """
    The packages on their way here that are to come by themselves.

    @ivar links: the open links.
    @ivar nearest: the linked peers before us in the ring of those who want a package, the nearest first.
    @ivar submits: is this linked peer a submitter?
    @ivar choosy: does it matter here what comes from where, and when?
    @ivar modest: does this peer not pass on at once, or not as fast as others do?
    @ivar ended: called with a package that is to be passed on by offers from now on; did it go round here?
    """

    _clock: IReactorTime
    _links: Callable[[], Mapping[PeerName, ILink]]
    _nearest: Callable[[Package], Sequence[PeerName]]
    submits: Callable[[PeerName], bool]
    _ended: Callable[[Digest], bool]
    choosy: bool = field(default=False, init=False)
    modest: bool = field(default=False, init=False)
    _feedings: dict[Digest, tuple[Package, Feeding]] = field(factory=dict, init=False)
    #: Packages that come along trees.
    _pushed: dict[Digest, Pushed] = field(factory=dict, init=False)
    #: Packages that do not go round any more, or never did, as it matters what comes when; are they pushed
    #: along trees, in which we do not stand?
    _over: dict[Digest, bool] = field(factory=dict, init=False)
    #: Packages that go round without us, and when something came last; None if we need not wait any more.
    _without: dict[Digest, float | None] = field(factory=dict, init=False)
    #: Pieces that nobody wants, by who sent them.
    _strays: Counter[PeerName] = field(factory=Counter, init=False)

    def source(self, package: Package, barren: Container[PeerName]) -> list[PeerName]:
        """Who may feed us a package, but for some, and has its hashes sooner: one, or nobody."""
        pushed = self._pushed.get(package.sha256)
        likely = list(pushed.above) if pushed is not None else []
        likely += [*self._submitters(), *self._nearest(package)]
        return [peer for peer in likely if peer not in barren][:1]

    def _submitters(self) -> list[PeerName]:
        return [peer for peer in self._links() if self.submits(peer)]

    def begin(self, package: Package, holders: Sequence[PeerName]) -> bool:
        """
        Let its pieces come, as they can be judged now; False if it does not all go round.

        @param holders: who holds all of it; if not only submitters do, it went round before.
        """
        if package.sha256 in self._pushed:
            self._ask_above(package)
            return False
        if package.sha256 in self._without:
            return self.waits(package.sha256)
        nearest = self._nearest(package) if package.pieces.count >= LEAST else []
        if not nearest or package.sha256 in self._over or not all(map(self.submits, holders)):
            return False
        if self.choosy:
            # Others would choose what comes from where, and when.
            self._remember(package.sha256)
            self._stop(package.sha256)
            return False
        _, feeding = self._feedings.setdefault(package.sha256, (package, Feeding()))
        for peer in feeding.begin(nearest, self._submitters(), self._clock.seconds()):
            self._ask(peer, package)
        return True

    # Along trees.

    def branched(self, peer: PeerName, package: Package, tree: int) -> None:
        """C{peer} pushes what a tree carries, from now on."""
        digest, links = package.sha256, self._links()
        self._feedings.pop(digest, None)
        if digest not in self._pushed:
            # Who stands in no tree, and asked us to be fed, need not wait for that.
            self._stop(digest)
        pushed = self._pushed.setdefault(digest, Pushed(package.pieces.count))
        former = pushed.turn(tree, peer, self._clock.seconds())
        if former is not None and former in links:
            links[former].feed(digest, Round.ENOUGH, 0)

    def stand_aside(self, digest: Digest) -> None:
        """A package is pushed along trees; we stand in none, and it is not offered."""
        self.end(digest)
        self._over[digest] = True

    def _ask_above(self, package: Package) -> None:
        pushed = self._pushed[package.sha256]
        for peer in pushed.above:
            if peer not in pushed.asked:
                pushed.asked.add(peer)
                self._ask(peer, package)

    def pushes(self, digest: Digest) -> bool:
        """Does a package come along trees?"""
        return digest in self._pushed

    # Which pieces need not be asked for.

    def let_come(self, package: Package, swarm: Swarm) -> None:
        """The pieces of a package can be judged now: let them come, if they come by themselves."""
        whole = self.begin(package, swarm.complete_holders)
        swarm.comes = Bits.full(swarm.count) if whole else NONE
        self.refresh(package.sha256, swarm)

    def refresh(self, digest: Digest, swarm: Swarm) -> None:
        """Time has passed: which of the pieces come by themselves?"""
        swarm.unoffered = self._over.get(digest, False)
        if self.waits(digest):
            swarm.comes = Bits.full(swarm.count)
        elif digest in self._pushed:
            swarm.comes = self._pushed[digest].comes(swarm.held, self._clock.seconds())

    def declines(self, peer: PeerName, digest: Digest, index: int, swarm: Swarm) -> bool:
        """Is an offer of no use, as that piece comes by itself?  Unless a submitter gave that up."""
        if self.pushes(digest):
            return index in swarm.comes
        return bool(self.feeders(digest)) and not self.submits(peer)

    def offered(self, digest: Digest, swarm: Swarm) -> None:
        """A piece is offered that is of use: so it does not go round."""
        if not self.pushes(digest):
            swarm.comes = NONE

    # What comes, or does not.

    def came(self, peer: PeerName, digest: Digest, index: int, useful: bool) -> None:
        """C{peer} sent a piece by itself; raises L{BadDocument} if it does not stop to."""
        pushed = self._pushed.get(digest)
        if pushed is not None and pushed.pushes(peer):
            pushed.came(index, self._clock.seconds())
            return
        _, feeding = self._feedings.get(digest, (None, None))
        if feeding is not None and useful and peer in feeding.spare:
            # It is ahead by now: the one before us does not keep up.
            self.turn(peer, digest)
        if feeding is not None and feeding.feeds(peer):
            feeding.came(useful, self._clock.seconds())
            return
        if digest in self._without:
            # Of all who were asked, one may have time.
            if useful and self.waits(digest):
                self._without[digest] = self._clock.seconds()
            return
        self._strays[peer] += not useful
        if self._strays[peer] > UNDER_WAY:
            raise BadDocument("it sends pieces that nobody wants")

    def feeders(self, digest: Digest) -> Collection[PeerName]:
        """Those who were asked to feed us a package; nobody if none of it came by itself."""
        if digest in self._pushed:
            return self._pushed[digest].above
        known = self._feedings.get(digest)
        return known[1].feeders if known is not None and known[1].goes else ()

    def turn(self, peer: PeerName, digest: Digest) -> bool:
        """C{peer} would feed us a package in place of the one before us: is that welcome?"""
        package, feeding = self._feedings.get(digest, (None, None))
        if package is None or feeding is None or peer not in self._nearest(package):
            return False
        former, links = feeding.feeder, self._links()
        if peer == former:
            return True
        feeding.turn(peer, self._clock.seconds())
        if former is not None and former in links:
            # It may hear this from us long before it hears it from who feeds us now.
            links[former].feed(digest, Round.WITHOUT, 0)
        return True

    def humour(self, peer: PeerName, digest: Digest) -> bool:
        """
        C{peer}, who is not ahead, may feed us what it can, if we are fed; so it leaves out who lags.

        It hears what comes here, or it would send that again, and take our silence for a bad sign.
        """
        if not self.feeders(digest):
            return False
        self._feedings[digest][1].spare.add(peer)
        return True

    def left_out(self, peer: PeerName, digest: Digest, feeds: bool) -> None:
        """C{peer}, whom we feed or who feeds us, says that it goes round without us; or pushes no more."""
        if digest in self._pushed:
            self._pushed[digest].dropped(peer)
        package, feeding = self._feedings.get(digest, (None, None))
        if package is not None and feeding is not None and (feeds or feeding.feeder == peer):
            del self._feedings[digest]
            self._without[digest] = self._clock.seconds()
            self._ended(digest)
            for other in self._nearest(package):
                self._ask(other, package)

    def waits(self, digest: Digest) -> bool:
        """Does it go round without us, so that whoever gave us any would keep the others waiting?"""
        return self._without.get(digest) is not None

    def let_in(self, digest: Digest, holders: Sequence[PeerName]) -> None:
        """
        Need we wait any longer for a package that goes round without us?

        @param holders: who holds all of it; if not only submitters do, it has gone round.
        """
        last = self._without.get(digest)
        patience = MODEST if all(map(self.submits, holders)) else HASTY
        if last is not None and self._clock.seconds() - last >= patience:
            self._without[digest] = None
            self._ended(digest)

    def look(self) -> None:
        """Time has passed: does everything come as it should?"""
        now = self._clock.seconds()
        for package, feeding in list(self._feedings.values()):
            if feeding.fails(now):
                self.end(package.sha256)

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone."""
        self._strays.pop(peer, None)
        for pushed in self._pushed.values():
            pushed.lost(peer)
        for package, feeding in list(self._feedings.values()):
            if peer == feeding.feeder:
                self.end(package.sha256)
            feeding.submitters.discard(peer)
            feeding.passed.discard(peer)
            feeding.spare.discard(peer)

    def end(self, digest: Digest) -> None:
        """This package does not go round any more: all who are linked hear it, if it did until now."""
        if self.pushes(digest):
            # Who says so was not told of the trees.
            return
        feeding = self._feedings.pop(digest, None)
        if digest in self._without:
            self._without[digest] = None
        self._remember(digest)
        if self._ended(digest) or feeding is not None:
            self._stop(digest)

    def _remember(self, digest: Digest) -> None:
        self._over.setdefault(digest, False)
        if len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]

    def _stop(self, digest: Digest) -> None:
        for link in list(self._links().values()):
            link.feed(digest, Round.OVER, 0)

    def forget(self, digest: Digest) -> None:
        """This package does not come any more."""
        self._pushed.pop(digest, None)
        self._feedings.pop(digest, None)
        self._without.pop(digest, None)
        self._over.pop(digest, None)

    def _ask(self, peer: PeerName, package: Package) -> None:
        link = self._links().get(peer)
        if link is not None:
            link.feed(package.sha256, Round.WANTED, package.pieces.size)
