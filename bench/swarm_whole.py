"""
How fast a package spreads by the whole code, protocols and all, in virtual time.

  python bench/swarm_whole.py PEERS,MEGABYTES,MEGABITS[,dead|killed|slow] ...

bench/swarm_sim.py leaves the protocols out, and so goes further.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from twisted.logger import globalLogBeginner

# From a checkout, by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.sim.swarm_case import Swarm

#: The share of peers that have no power from the beginning, or die half-way; and of a slow card.
DEAD, SLOW = 0.25, 0.1


def run(peers: int, size: int, mbit: float, fault: str, seed: int) -> dict[str, float | str]:
    """One spread, in figures; of a slow peer, the time of the others."""
    swarm = Swarm(peers, size, mbit, seed)
    began = time.process_time()
    match fault:
        case "dead":
            swarm.run(before=lambda swarm: swarm.kill(DEAD))
        case "killed":
            swarm.run(halfway=lambda swarm: swarm.kill(DEAD))
        case "slow":
            slow: list[str] = []
            swarm.run(before=lambda swarm: slow.append(swarm.slow(SLOW)))
            swarm.finished = {name: at for name, at in swarm.finished.items() if name not in slow}
        case _:
            swarm.run()
    return {
        "peers": peers,
        "size": size,
        "mbit": mbit,
        "fault": fault,
        "seed": seed,
        "fluid": swarm.fluid,
        "ratio": swarm.ratio,
        "submitted": swarm.submitted,
        "duplicates": swarm.duplicates,
        "cpu": time.process_time() - began,
    }


def main() -> None:
    """Run all cases, and tell of each at once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="+", metavar="PEERS,MB,MBIT[,FAULT]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="append each run as a line of JSON to this file")
    options = parser.parse_args()
    # The clusters listen themselves; what their remains say when they are torn down does not matter.
    globalLogBeginner.beginLoggingTo([lambda event: None], discardBuffer=True, redirectStandardIO=False)
    for words in options.cases:
        peers, megabytes, mbit, *fault = words.split(",")
        size = round(float(megabytes) * 1e6)
        facts = run(int(peers), size, float(mbit), "".join(fault), options.seed)
        print(" ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
        if options.out:
            with options.out.open("a") as out:
                out.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
