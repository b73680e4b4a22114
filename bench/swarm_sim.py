"""
How fast a package spreads: the measured curve, in virtual time.

The peers decide with the real code; the protocols are left out (L{bench.lab.lean}).

  python bench/swarm_sim.py PEERS,MEGABYTES,MEGABITS ... [--known 5] [--initial 20] [--piece 32] [--seed 1]

The submitter is linked to as many peers as the real one serves at a time; each peer dials C{known} others.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path
from random import Random

from attrs import frozen

# From a checkout, by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.lab import growth
from bench.lab.clock import Clock
from bench.lab.lean import Node, join
from clumpt.agent.errand import LEAST, share
from clumpt.agent.submission import DIALS, LATER
from clumpt.model import Package, PeerName
from clumpt.pieces import Digest, Pieces, piece_size
from clumpt.trees import TREES, plant

#: Seconds after which a run is given up.
PATIENCE = 1000.0
#: What a full segment carries of what it takes on the wire.
SHARE = 1448 / 1514


@frozen
class Case:
    """
    What is to spread, and among whom.

    @ivar mbit: what every card carries each way, with all headers.
    @ivar known: peers that each peer has dialled; as many, about, have dialled it.
    @ivar initial: percentage of the peers that the submitter tells, if it can serve so many at a time.
    @ivar piece: bytes of a piece; 0 for what the code chooses.
    @ivar latency: seconds one way.
    @ivar trees: is it pushed along trees?
    """

    peers: int
    size: int
    mbit: float
    seed: int = 1
    known: int = 5
    initial: int = 20
    piece: int = 0
    latency: float = 0.0005
    trees: bool = True

    @property
    def rate(self) -> float:
        """Bytes a second that a card carries, but for headers of full segments."""
        return self.mbit * 1e6 / 8 * SHARE

    @property
    def told(self) -> int:
        """How many peers the submitter is linked to."""
        return min(self.peers, DIALS, max(LEAST, share(self.peers, self.initial)))

    @property
    def package(self) -> Package:
        """What spreads; nobody looks at its bytes."""
        pieces = Pieces(self.size, self.piece or piece_size(self.size, self.peers), Digest("0" * 64))
        return Package("a", "1", "all", "a.deb", Digest("1" * 64), pieces)


def build(clock: Clock, case: Case, random: Random) -> list[Node]:
    """The submitter first, then the peers: a ring, and random neighbours for each."""
    package, card, peers = case.package, (case.rate, case.latency), case.peers
    nodes = [Node(clock, random, PeerName("source"), package, *card, source=True)]
    nodes += [Node(clock, random, PeerName(f"n{n}"), package, *card) for n in range(peers)]
    for n, node in enumerate(nodes[1:]):
        join(node, nodes[1 + (n + 1) % peers])
        for other in random.sample(range(peers), min(peers, case.known - 1)):
            join(node, nodes[1 + other])
    told = random.sample(nodes[1:], case.told)
    for node in told:
        join(nodes[0], node)
    if case.trees:
        _plant(clock, nodes, told, random)
    else:
        for node in told:
            clock.at(0.0, node.notified, node.links[nodes[0].name])
    return nodes


def _plant(clock: Clock, nodes: list[Node], told: list[Node], random: Random) -> None:
    """The first two who are told stand at the roots; the others hear of it a moment later."""
    everybody = {node.name: node for node in nodes}
    for node in nodes:
        node.others = everybody
    rest = [node.name for node in nodes[1:] if node not in told[:TREES]]
    random.shuffle(rest)
    for branch in plant([*(node.name for node in told[:TREES]), *rest]):
        nodes[0].grow(branch)
    for node in told[TREES:]:
        clock.at(LATER, node.notified, node.links[nodes[0].name])


def run(case: Case) -> dict[str, float]:
    """One spread, in figures."""
    clock, random = Clock(), Random(case.seed)
    nodes = build(clock, case, random)
    source, others = nodes[0], nodes[1:]
    for node in others:
        node.look()
    began = time.process_time()
    while clock.now < PATIENCE and not all(node.done for node in others):
        for _ in range(20 * case.peers):
            if not clock.step():
                break
    fluid = case.size / case.rate
    ends = sorted(node.done or PATIENCE for node in others)
    return {
        "peers": case.peers,
        "size": case.size,
        "mbit": case.mbit,
        "seed": case.seed,
        "known": case.known,
        "told": case.told,
        "pieces": source.swarm.count,
        "fluid": fluid,
        "ratio": ends[-1] / fluid,
        "median": ends[len(ends) // 2] / fluid,
        "first": ends[0] / fluid,
        "submitted": source.carried / case.size,
        "messages": sum(node.said for node in nodes) / case.peers,
        "wire": sum(node.carried for node in nodes) / case.size / case.peers,
        "duplicates": sum(node.received for node in others) / case.size / case.peers - 1,
        "cpu": time.process_time() - began,
    }


def arguments() -> argparse.Namespace:
    """The words on the command line."""
    usual = Case(1, 1, 1.0)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("cases", nargs="*", metavar="PEERS,MB,MBIT")
    add("--known", type=int, default=usual.known, help="peers that each peer dials")
    add("--initial", type=int, default=usual.initial, help="percentage of peers that the submitter tells")
    add("--piece", type=int, default=0, help="KiB of a piece; 0 for what the code chooses")
    add("--latency", type=float, default=usual.latency * 1e3, help="milliseconds one way")
    add("--seed", type=int, default=usual.seed)
    add("--offers", action="store_true", help="plant no trees")
    add("--out", type=Path, help="append each run as a line of JSON to this file")
    add("--document", type=Path, help="write what --out has into this document, docs/performance.md")
    return parser.parse_args()


def main() -> None:
    """Run all cases, and tell of each at once."""
    options = arguments()
    for words in options.cases:
        peers, megabytes, mbit = map(float, words.split(","))
        facts = run(
            Case(
                int(peers),
                int(megabytes * 1e6),
                mbit,
                options.seed,
                options.known,
                options.initial,
                options.piece * 1024,
                options.latency / 1e3,
                not options.offers,
            )
        )
        print(" ".join(f"{name} {value:.4g}" for name, value in facts.items()), flush=True)
        if options.out:
            with options.out.open("a") as out:
                out.write(json.dumps(facts) + "\n")
    if options.document and options.out:
        results = [json.loads(line) for line in options.out.read_text().splitlines()]
        growth.write(options.document, results, date.today().isoformat())


if __name__ == "__main__":
    main()
