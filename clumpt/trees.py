"""
The two trees along which a package is pushed to many peers, without being asked for piece by piece: pure.

Every other piece goes down each.  Each peer is within one of them, where it passes on to two others, and a
leaf of the other: so all links carry the same (SplitStream, Castro et al. 2003; two trees: Sanders, Speck,
Traeff 2009).  Nobody but who plants them need know all peers: each hears who stands below it.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from clumpt.model import PeerName
from clumpt.pieces import Bits

#: How many there are, and to how many others a peer passes on.
TREES = 2


def _a_tree(branch: object, attribute: object, value: int) -> None:
    if not 0 <= value < TREES:
        raise ValueError(f"tree {value} of {TREES}")


def _names(branch: object, attribute: object, value: Sequence[PeerName]) -> None:
    if not value or len(set(value)) < len(value):
        raise ValueError("a branch needs names, each once")


@frozen
class Branch:
    """
    A part of a tree: one peer, and all below it.

    @ivar tree: the number of the tree, 0 <= tree < L{TREES}.
    @ivar inner: how many pass on, 0 <= inner <= len(names); the first ones do.
    @ivar names: from the top down, level by level; the first one is to be told this.
    """

    tree: int = field(validator=_a_tree)
    inner: int = field()
    names: tuple[PeerName, ...] = field(validator=_names)

    @inner.validator
    def _some(self, attribute: object, value: int) -> None:
        if not 0 <= value <= len(self.names):
            raise ValueError(f"{value} of {len(self.names)} peers pass on")

    @property
    def first(self) -> PeerName:
        """Who stands above the others."""
        return self.names[0]

    def below(self) -> list[Branch]:
        """
        What is below the first one: as many branches as it passes on to.

        Whom nobody would pass on to is in none, as somebody was taken out above.
        """
        names = self.names[: TREES * self.inner + 1]
        parts: list[list[int]] = [[] for _ in range(TREES)]
        level, at = TREES, 1
        while at < len(names):
            for number, part in enumerate(parts):
                begin = at + number * level // TREES
                part.extend(range(begin, min(begin + level // TREES, len(names))))
            at, level = at + level, level * TREES
        return [
            Branch(
                self.tree, sum(place < self.inner for place in part), tuple(names[place] for place in part)
            )
            for part in parts
            if part
        ]

    def beheaded(self) -> Branch | None:
        """
        The same without the first one; None if that was all.

        The others move up along one path only, which ends at the last of those who pass on: nearly everybody
        keeps who is above and below, but for one leaf, for which there is no place any more.
        """
        if len(self.names) == 1:
            return None
        if self.inner <= 1:
            return Branch(self.tree, 0, self.names[1:])
        names, place = list(self.names), self.inner - 1
        names[place] = names[-1]
        while place:
            names[(place - 1) // TREES], place = self.names[place], (place - 1) // TREES
        return Branch(self.tree, self.inner - 1, tuple(names[:-1]))


def plant(names: Sequence[PeerName]) -> list[Branch]:
    """The trees of these peers, two at least, each once."""
    count, trees = len(names), []
    for tree in range(TREES):
        inner = names[tree::TREES]
        leaves = [names[place] for place in range(count) if place % TREES != tree]
        trees.append(Branch(tree, len(inner), (*inner, *leaves)))
    return trees


def carried(tree: int, count: int) -> Bits:
    """The pieces that go down a tree, of a package of C{count}."""
    # A bit in each TREES, from the first on.
    pattern = ((1 << TREES * count) - 1) // ((1 << TREES) - 1) if count else 0
    return Bits(pattern << tree & (1 << count) - 1)
