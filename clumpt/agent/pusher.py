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

#: Seconds in which who was told of a branch asks for its pieces, once there are some; and for which these are
#: waited for here.
GRACE, LONG = 2.0, 60.0
#: Who does not show for so many seconds, and so many times the usual wait, to have one that it was sent,
#: while so many pieces came here or went to others, does not keep up: what is below it goes to the next one.
STUCK, WAITS, MOVED = 1.0, 4.0, 16
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
    def peer(self) -> PeerName:
        """Its name."""
        return self.branch.first

    @property
    def turn(self) -> tuple[int, int]:
        """Who was given least is next; of those who are equal, always the same: so pieces come evenly."""
        return self.given, self.number

    def cut(self) -> Branch | None:
        """Take away what is below, which is for others now; None if nothing is."""
        rest, self.branch = self.branch.beheaded(), Branch(self.branch.tree, 0, self.branch.names[:1])
        return rest


@define
class _Pushing:
    """
    One package that is pushed.

    @ivar children: by their name and tree.
    @ivar began: since when there is something to push.
    @ivar moves: when a piece came here (from None), or was given to somebody, last.
    """

    package: Package
    began: float | None = None
    children: dict[tuple[PeerName, int], _Child] = field(factory=dict)
    moves: deque[tuple[float, PeerName | None]] = field(factory=lambda: deque(maxlen=REMEMBERED))


@define(eq=False)
class Pusher:
    """
    The packages that are pushed from here.

    @ivar offers: what is known of the peers that want a package.
    @ivar held: the pieces of a package that can be given.
    @ivar drop: tell a peer that it is pushed no more of a package.
    @ivar comes: is a package on its way here along trees?
    @ivar grow: somebody else is to take a branch, in place of one that is gone or does not keep up.
    """

    _clock: IReactorTime
    _queue: Queue
    _offers: Mapping[Digest, Offers]
    _held: Callable[[Package], Bits]
    grow: Callable[[Package, Branch], object] = field(default=lambda package, branch: None, init=False)
    drop: Callable[[PeerName, Digest], object] = field(default=lambda peer, digest: None, init=False)
    comes: Callable[[Digest], bool] = field(default=lambda digest: False, init=False)
    _pushing: dict[Digest, _Pushing] = field(factory=dict, init=False)

    def adopt(self, package: Package, branch: Branch) -> None:
        """The first of C{branch} was told of it."""
        pushing = self._pushing.setdefault(package.sha256, _Pushing(package))
        number, now = len(pushing.children), self._clock.seconds()
        pushing.children[branch.first, branch.tree] = _Child(branch, number, now)
        if pushing.began is None and self._held(package).value:
            pushing.began = now

    def wanted(self, peer: PeerName, digest: Digest) -> bool:
        """C{peer} wants what comes; False if it is not below us."""
        children = self._children(peer, digest)
        for child in children:
            child.wants = True
            self._make_room(digest, child.branch.tree)
        return bool(children)

    def _make_room(self, digest: Digest, tree: int) -> None:
        """More than there is room for are below us: the one that was told first is somebody else's."""
        children = self._pushing[digest].children
        there = [child for child in children.values() if child.wants and child.branch.tree == tree]
        if len(there) > TREES:
            child = min(there, key=lambda child: child.since)
            del children[child.peer, tree]
            self.drop(child.peer, digest)

    def enough(self, peer: PeerName, digest: Digest) -> None:
        """C{peer} wants nothing, or nothing more: if it never did, its place is free."""
        for child in self._children(peer, digest):
            pushing = self._pushing[digest]
            del pushing.children[peer, child.branch.tree]
            if not child.wants:
                self._again(pushing.package, child)

    def below(self, peer: PeerName, digest: Digest) -> bool:
        """Is C{peer} pushed what comes of a package?"""
        return digest in self._pushing and bool(self._children(peer, digest))

    def _children(self, peer: PeerName, digest: Digest) -> list[_Child]:
        children = self._pushing[digest].children if digest in self._pushing else {}
        return [children[peer, tree] for tree in range(TREES) if (peer, tree) in children]

    def _again(self, package: Package, child: _Child) -> None:
        if (rest := child.cut()) is not None:
            self.grow(package, rest)

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone."""
        for digest, pushing in list(self._pushing.items()):
            for child in self._children(peer, digest):
                del pushing.children[peer, child.branch.tree]
                self._again(pushing.package, child)

    @property
    def busy(self) -> bool:
        """Is there anybody of whom L{look} may find something?"""
        return bool(self._pushing)

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
            offers.lacks(child.peer) if child.wants else now - child.since < GRACE
            for child in pushing.children.values()
        )

    def go_on(self, now: float) -> None:
        """Let what came wait for those below, in turn."""
        for digest, pushing in self._pushing.items():
            offers = self._offers.get(digest)
            if offers is not None:
                self._push(pushing, offers, now)

    def _push(self, pushing: _Pushing, offers: Offers, now: float) -> None:
        package, held = pushing.package, self._held(pushing.package)
        ready = [child for child in pushing.children.values() if child.wants and offers.lacks(child.peer)]
        while ready:
            child = min(ready, key=lambda child: child.turn)
            part, index = carried(child.branch.tree, package.pieces.count), None
            if self._queue.queued(child.peer) < QUEUED:
                index = offers.next_for(child.peer, Bits(held.value & part.value), now, once=False)
            if index is None:
                ready.remove(child)
                continue
            child.given += 1
            pushing.moves.append((now, child.peer))
            self._queue.queue(child.peer, package, index)

    def look(self, now: float) -> None:
        """Time has passed: who does not keep up has nothing below it any more."""
        for digest, pushing in list(self._pushing.items()):
            for child in list(pushing.children.values()):
                if len(child.branch.names) > 1 and self._fails(pushing, child, now):
                    self._again(pushing.package, child)
            if all(self._over(digest, child, now) for child in pushing.children.values()):
                del self._pushing[digest]

    def _over(self, digest: Digest, child: _Child, now: float) -> bool:
        """Is there nothing more to do for it?"""
        offers = self._offers.get(digest)
        lacks = child.wants and offers is not None and offers.lacks(child.peer)
        age, waits = now - child.since, not child.wants and len(child.branch.names) > 1
        return not lacks and age >= (LONG if waits else GRACE)

    def _fails(self, pushing: _Pushing, child: _Child, now: float) -> bool:
        if not child.wants:
            return pushing.began is not None and now - max(child.since, pushing.began) >= GRACE
        offers = self._offers.get(pushing.package.sha256)
        if offers is not None and offers.mute(child.peer):
            # It says nothing at all: that counts whatever else moves, as all below may be gone at once.
            return True
        waits, _ = self._queue.waits(child.peer)
        moved = sum(other != child.peer and when >= now - waits for when, other in pushing.moves)
        return waits >= max(STUCK, WAITS * self._queue.usual) and moved >= MOVED
