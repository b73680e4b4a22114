"""
What could be reached without asking: a package is pushed along trees, on the cards of L{bench.swarm_sim}.

  python bench/trees.py PEERS,MEGABYTES,MEGABITS ... [--trees 1 2 4] [--piece 64]

A model, not the code of a peer: everybody is there, and knows its place.  The pieces go down the trees in
turn.  Each peer passes on those of one tree alone, to as many others as there are trees, and is a leaf of the
rest: so all cards are used alike (SplitStream, Castro et al. 2003; two trees: Sanders, Speck, Traeff 2009).
One tree is a chain.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field

# From a checkout, by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.lab.clock import Clock
from bench.swarm_sim import Case

Children = Mapping[int, Sequence[int]]


def tree(number: int, trees: int, peers: int) -> tuple[int, Children]:
    """
    The root of a tree over all peers, and to whom each peer passes on what comes down it.

    @param trees: how many there are, at most as many as peers.
    """
    inner = range(number, peers, trees)
    order = [*inner, *(peer for peer in range(peers) if peer % trees != number)]
    children = {peer: order[trees * at + 1 : trees * at + 1 + trees] for at, peer in enumerate(inner)}
    # What is left if the peers cannot be divided by the trees.
    children[inner[-1]] += order[trees * len(inner) + 1 :]
    return inner[0], children


@define(eq=False)
class Cards:
    """The cards of all peers: first come, first served, each way."""

    clock: Clock
    case: Case
    ends: dict[int, float] = field(factory=dict, init=False)
    _missing: dict[int, int] = field(factory=dict, init=False)
    _free: dict[int, float] = field(factory=dict, init=False)
    _taken: dict[int, float] = field(factory=dict, init=False)

    def run(self, trees: int) -> float:
        """Push everything; returns the time until the last has all, over the fluid limit."""
        peers, count = self.case.peers, self.case.package.pieces.count
        down = [tree(number, trees, peers) for number in range(trees)]
        children = [passes for _, passes in down]
        self._missing = dict.fromkeys(range(peers), count)
        for piece in range(count):
            self._send(-1, down[piece % trees][0], piece, children)
        while self.clock.step():
            pass
        return max(self.ends[peer] for peer in range(peers)) * self.case.rate / self.case.size

    def _send(self, here: int, there: int, piece: int, children: list[Children]) -> None:
        clock, case = self.clock, self.case
        takes = case.package.pieces.length(piece) / case.rate
        begin = max(self._free.get(here, 0.0), clock.now)
        self._free[here] = begin + takes
        clock.at(
            begin + case.latency, self._came, there, piece, takes, begin + takes + case.latency, children
        )

    def _came(self, here: int, piece: int, takes: float, end: float, children: list[Children]) -> None:
        """The first bytes come; the last at C{end}, if they need not wait."""
        self._taken[here] = max(self._taken.get(here, 0.0), self.clock.now) + takes
        self.clock.at(max(self._taken[here], end), self._has, here, piece, children)

    def _has(self, here: int, piece: int, children: list[Children]) -> None:
        self._missing[here] -= 1
        if not self._missing[here]:
            self.ends[here] = self.clock.now
        eaters = children[piece % len(children)].get(here, ())
        # Each of them is the first in turn.
        turn = piece // len(children) % len(eaters) if eaters else 0
        for eater in (*eaters[turn:], *eaters[:turn]):
            self._send(here, eater, piece, children)


def main() -> None:
    """Run the cases that are named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="+", metavar="PEERS,MB,MBIT")
    parser.add_argument("--trees", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--piece", type=int, default=0, help="KiB of a piece; 0 for what the code chooses")
    words = parser.parse_args()
    for text in words.cases:
        peers, size, mbit = text.split(",")
        for trees in words.trees:
            case = Case(int(peers), round(float(size) * 1e6), float(mbit), piece=words.piece * 1024)
            print(f"{text} {trees} trees: {Cards(Clock(), case).run(trees):.3f} x fluid", flush=True)


if __name__ == "__main__":
    main()
