"""Pushes packages on to those below us in the trees (L{clumpt.trees}), without being asked for each piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from clumpt.agent.offers import Offers
from clumpt.agent.waiting import QUEUED, Queue
from clumpt.model import Package, PeerName
from clumpt.pieces import Bits, Digest
from clumpt.trees import TREES, Branch, carried

#: Seconds in which who was told of a branch asks for its pieces, once there are some.
GRACE = 2.0
#: Who does not show for so many seconds to have one that it was sent, while so many pieces came here or went
#: to others, does not keep up: what is below it is given to the next one.
STUCK, MOVED = 1.0, 16
#: Moves that are remembered.
REMEMBERED = 64


@define
class _Child:
    """
    Who is pushed something, and what is below it.

    @ivar number: of those of this package, C{since}: when it was told of its branch.
    @ivar wants: did it ask for what comes?
    @ivar given: pieces that it was given.
    """

    branch: Branch
    number: int
    since: float
    wants: bool = False
    given: int = 0

    @property
    def turn(self) -> tuple[int, int]:
        """Who was given least is next; of those who are equal, each once."""
        return self.given, (self.number + self.given) % TREES

    def cut(self) -> Branch | None:
        """Take away what is below, which is for others now; None if nothing is."""
        rest, self.branch = self.branch.beheaded(), Branch(self.branch.tree, 0, self.branch.names[:1])
        return rest


@define
class _Pushing:
    """
    One package that is pushed.

    @ivar began: since when there is something to push.
    @ivar moves: when a piece came here (from None), or was given to somebody, last.
    """

    package: Package
    began: float | None = None
    children: dict[PeerName, _Child] = field(factory=dict)
    moves: deque[tuple[float, PeerName | None]] = field(factory=lambda: deque(maxlen=REMEMBERED))


@define(eq=False)
class Pusher:
    """
    The packages that are pushed from here.

    @ivar offers: what is known of the peers that want a package.
    @ivar held: the pieces of a package that can be given.
    @ivar comes: is a package on its way here along trees?
    @ivar grow: somebody else is to take a branch, in place of one that is gone or does not keep up.
    """

    _clock: IReactorTime
    _queue: Queue
    _offers: Mapping[Digest, Offers]
    _held: Callable[[Package], Bits]
    grow: Callable[[Package, Branch], object] = field(default=lambda package, branch: None, init=False)
    comes: Callable[[Digest], bool] = field(default=lambda digest: False, init=False)
    _pushing: dict[Digest, _Pushing] = field(factory=dict, init=False)

    def adopt(self, package: Package, branch: Branch) -> None:
        """The first of C{branch} was told of it."""
        pushing = self._pushing.setdefault(package.sha256, _Pushing(package))
        number, now = len(pushing.children), self._clock.seconds()
        pushing.children[branch.first] = _Child(branch, number, now)
        if pushing.began is None and self._held(package).value:
            pushing.began = now

    def wanted(self, peer: PeerName, digest: Digest) -> bool:
        """C{peer} wants what comes; False if it is not below us."""
        child = self._child(peer, digest)
        if child is not None:
            child.wants = True
        return child is not None

    def enough(self, peer: PeerName, digest: Digest) -> None:
        """C{peer} wants nothing, or nothing more: if it never did, its place is free."""
        child = self._child(peer, digest)
        if child is not None:
            del self._pushing[digest].children[peer]
            if not child.wants:
                self._again(self._pushing[digest].package, child)

    def below(self, peer: PeerName, digest: Digest) -> bool:
        """Is C{peer} pushed what comes of a package?"""
        return self._child(peer, digest) is not None

    def _child(self, peer: PeerName, digest: Digest) -> _Child | None:
        return self._pushing[digest].children.get(peer) if digest in self._pushing else None

    def _again(self, package: Package, child: _Child) -> None:
        if (rest := child.cut()) is not None:
            self.grow(package, rest)

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone."""
        for pushing in list(self._pushing.values()):
            child = pushing.children.pop(peer, None)
            if child is not None:
                self._again(pushing.package, child)

    def moved(self, digest: Digest) -> None:
        """A piece of a package came here."""
        pushing, now = self._pushing.get(digest), self._clock.seconds()
        if pushing is not None:
            pushing.began = now if pushing.began is None else pushing.began
            pushing.moves.append((now, None))

    def pushes(self, digest: Digest) -> bool:
        """Is a package on its way here along trees, or from here?  Then it is not offered."""
        if self.comes(digest):
            return True
        offers, pushing, now = self._offers.get(digest), self._pushing.get(digest), self._clock.seconds()
        if offers is None or pushing is None:
            return False
        return any(
            offers.lacks(peer) if child.wants else now - child.since < GRACE
            for peer, child in pushing.children.items()
        )

    def go_on(self, now: float) -> None:
        """Let what came wait for those below, in turn."""
        for digest, pushing in self._pushing.items():
            offers = self._offers.get(digest)
            if offers is not None:
                self._push(pushing, offers, now)

    def _push(self, pushing: _Pushing, offers: Offers, now: float) -> None:
        package, held = pushing.package, self._held(pushing.package)
        ready = {
            peer: QUEUED - self._queue.queued(peer)
            for peer, child in pushing.children.items()
            if child.wants and offers.lacks(peer)
        }
        while ready := {peer: room for peer, room in ready.items() if room > 0}:
            peer = min(ready, key=lambda peer: pushing.children[peer].turn)
            child = pushing.children[peer]
            part = carried(child.branch.tree, package.pieces.count)
            index = offers.next_for(peer, Bits(held.value & part.value), now, once=False)
            if index is None:
                del ready[peer]
                continue
            ready[peer] -= 1
            child.given += 1
            pushing.moves.append((now, peer))
            self._queue.queue(peer, package, index)

    def look(self, now: float) -> None:
        """Time has passed: who does not keep up has nothing below it any more."""
        for digest, pushing in list(self._pushing.items()):
            for peer, child in list(pushing.children.items()):
                if len(child.branch.names) > 1 and self._fails(pushing, peer, child, now):
                    self._again(pushing.package, child)
            if all(self._over(digest, peer, child, now) for peer, child in pushing.children.items()):
                del self._pushing[digest]

    def _over(self, digest: Digest, peer: PeerName, child: _Child, now: float) -> bool:
        """Is there nothing more to do for it?"""
        offers = self._offers.get(digest)
        lacks = child.wants and offers is not None and offers.lacks(peer)
        waits = not child.wants and len(child.branch.names) > 1
        return not (lacks or waits) and now - child.since >= GRACE

    def _fails(self, pushing: _Pushing, peer: PeerName, child: _Child, now: float) -> bool:
        if not child.wants:
            return pushing.began is not None and now - max(child.since, pushing.began) >= GRACE
        waits, _ = self._queue.waits(peer)
        moved = sum(other != peer and when >= now - waits for when, other in pushing.moves)
        return waits >= STUCK and moved >= MOVED
