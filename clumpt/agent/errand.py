"""What a submitter is to bring to whom, and what became of it: values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import ceil

from attrs import frozen

from clumpt.agent.feeds import LEAST as MANY
from clumpt.model import Address, Entry, Package, PeerName, Seq
from clumpt.pieces import Digest
from clumpt.trees import TREES

#: Peers that a large package is given to, at least: with one, all would pass through its uplink alone,
#: and be lost with it.
LEAST = 2
#: A package goes round in a ring of so many peers at most, and of no more than one for so many pieces.
RING, PIECES_EACH = 32, 3
#: What has so many pieces, and goes to more peers than are told at the top of the trees twice, is pushed.
PUSHED = 32


def share(peers: int, percentage: int) -> int:
    """How many of C{peers} are told first: the percentage of them, at least one (R62)."""
    return min(peers, max(1, ceil(peers * percentage / 100)))


@frozen
class Errand:
    """
    What is to be brought to whom.

    @ivar entries: the new entries, in order; not empty.
    @ivar earlier: envelopes that a peer may lack before them; from the directory.
    @ivar candidates: the peers of the target groups and where they listen.
    @ivar wanted: how many must have received.
    """

    entries: Sequence[Entry]
    earlier: Mapping[Seq, bytes]
    candidates: Mapping[PeerName, Sequence[Address]]
    wanted: int

    @property
    def told(self) -> int:
        """How many are told: as many as are wanted, or more, lest a large package depends on one peer."""
        large = any(package.pieces.count > 1 for package in self.packages.values())
        return max(self.wanted, LEAST) if large else self.wanted

    @property
    def packages(self) -> Mapping[Digest, Package]:
        """The packages of the new entries."""
        return {package.sha256: package for entry in self.entries for package in entry.update.packages}

    @property
    def rings(self) -> Collection[Digest]:
        """
        The packages that go round in the ring of their group, from each peer to the next.

        So each link carries each piece once, and nothing need be offered or asked for; but it takes as many
        steps as there are peers.
        """
        peers = len(self.candidates)
        return [
            package.sha256
            for entry in self.entries
            if len(entry.update.groups) == 1 and not (entry.update.nodes or entry.update.exclude)
            for package in entry.update.packages
            if package.pieces.count >= MANY and peers <= min(RING, package.pieces.count // PIECES_EACH)
        ]

    @property
    def pushed(self) -> Collection[Package]:
        """The packages that go along trees: those of many pieces for many peers, or for several groups."""
        if len(self.candidates) <= 2 * TREES:
            return []
        rings = self.rings
        return [
            package
            for digest, package in self.packages.items()
            if package.pieces.count >= PUSHED and digest not in rings
        ]


@frozen
class Seeded:
    """
    How a submission ended.

    @ivar received: peers that hold the updates and all their packages.
    @ivar unreachable: peers that were chosen and could not be reached, or left; others took their place (H8).
    @ivar slow: peers that were told and did not make progress; others were told as well.
    """

    received: frozenset[PeerName] = frozenset()
    unreachable: frozenset[PeerName] = frozenset()
    slow: frozenset[PeerName] = frozenset()
