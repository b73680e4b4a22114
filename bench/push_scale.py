"""
How far and how fast news go by push alone, and how long those need who were away: the whole code, in
virtual time.

  python bench/push_scale.py [--peers 1000] [--seeds 20] [--only push dead growth absent]

Every peer knows N = 5 others and M = 2 of other groups, and each group has a ring.  An update is given to one
peer; the table says when the last live peer knows it.  Nothing depends on the machine that this runs on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from twisted.logger import globalLogBeginner

# From a checkout, by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clumpt.model import Action, Outcome, State, Update
from clumpt.testing.cluster import Cluster
from clumpt.testing.drill import apart
from clumpt.testing.invariants import check_at_rest
from clumpt.testing.machine import Machine
from clumpt.testing.memory_installer import Fate

#: Share of the peers that are down.
DEAD = 0.3
#: Seconds between two looks, at least; or this share of those that are over.
EVERY, FINE = 0.0001, 0.02


def at_once(update: Update, attempt: int, random: Random) -> Fate:
    """A run that takes no time: what is measured is the cluster, not the packages."""
    return Fate(Outcome(State.DONE, 0), 0.0)


def told(cluster: Cluster) -> None:
    """Give something small to one peer."""
    entry = cluster.sign("all", size=0, action=Action.REMOVE, targets=("something",))
    cluster.give(entry, [cluster.up[0].name])


def lasting(cluster: Cluster, until: Callable[[], bool], within: float) -> float:
    """Virtual seconds until something is so, as exact as L{FINE}; fails after C{within} seconds."""
    world = cluster.world
    began = world.now
    while not until():
        gone = world.now - began
        if gone > within:
            raise SystemExit(f"not within {within:g} s")
        world.run_for(max(EVERY, gone * FINE))
    return world.now - began


def push(seed: int, peers: int) -> dict[str, float]:
    """All are up, and nobody synchronises: milliseconds until the last one knows."""
    cluster = Cluster(seed, peers, interval=3600.0, look=600.0)
    cluster.world.run_for(1.0)
    told(cluster)
    found = {"all up: last, ms": 1e3 * lasting(cluster, cluster.knows, within=60.0)}
    cluster.close()
    return found


def dead(seed: int, peers: int) -> dict[str, float]:
    """Three of ten are down: seconds until the last live one knows, and who knew after a second."""
    cluster = Cluster(seed, peers, look=600.0)
    cluster.world.run_for(1.0)
    for address in cluster.world.random.sample(list(cluster.machines), round(peers * DEAD)):
        cluster.power_loss(address)
    cluster.world.run_for(1.0)
    told(cluster)
    live = cluster.up

    def knowing() -> list[Machine]:
        return [machine for machine in live if machine.agent.chain.head == cluster.head]

    early: list[int] = []
    cluster.world.call_later(1.0, lambda: early.append(len(knowing())))
    last = lasting(cluster, cluster.knows, within=10 * cluster.interval)
    cluster.world.run_for(1.0)
    cluster.close()
    return {
        "30 % down: know after 1 s, %": 100 * early[0] / len(live),
        "last, s": last,
        "last, intervals": last / cluster.interval,
    }


def growth(seed: int, peers: int) -> dict[str, float]:
    """Four peers become twenty, one with every package: intervals from the last one until all agree."""
    cluster = Cluster(seed, 4, plan=at_once, interval=20.0)
    for size in (2000, 70_000) * 8:
        cluster.submitter.bring(cluster.sign("all", size), 60.0)
        cluster.world.run_for(2.0)
        cluster.office.add()
    agreeing = lasting(cluster, lambda: len(cluster.up) == 20 and cluster.agrees(), within=600.0)
    check_at_rest(cluster)
    cluster.close()
    return {"4 to 20: agree, intervals": agreeing / cluster.interval}


def absent(seed: int, peers: int) -> dict[str, float]:
    """Five of ten peers are off during 50 submissions: intervals from their return until all agree."""
    cluster = Cluster(seed, 10, plan=at_once, interval=20.0)
    cluster.world.run_for(2.0)
    away = list(cluster.machines)[:5]
    for address in away:
        cluster.power_loss(address)
    for _ in range(50):
        cluster.submitter.bring(cluster.sign("all", 2000), 60.0)
        cluster.world.run_for(1.0)
    for address in away:
        cluster.boot(address)
    agreeing = lasting(cluster, lambda: len(cluster.up) == 10 and cluster.agrees(), within=600.0)
    check_at_rest(cluster)
    cluster.close()
    return {"5 of 10 away: agree, intervals": agreeing / cluster.interval}


CASES = {"push": push, "dead": dead, "growth": growth, "absent": absent}

SUMMARY = {"least": min, "median": statistics.median, "most": max}


def table(name: str, rows: dict[int, dict[str, float]]) -> str:
    """The figures of all seeds, and the worst and the median below them, in Markdown."""
    heads = list(next(iter(rows.values())))
    columns = [[row[head] for row in rows.values()] for head in heads]
    lines = [f"| {' | '.join(['seed', *heads])} |", "|---" * (len(heads) + 1) + "|"]
    lines += [
        f"| {seed} | {' | '.join(f'{row[head]:.4g}' for head in heads)} |" for seed, row in rows.items()
    ]
    for word, of in (("least", min), ("median", statistics.median), ("most", max)):
        lines.append(f"| {word} | {' | '.join(f'{of(column):.4g}' for column in columns)} |")
    return "\n".join(["", f"{name}:", "", *lines])


def main() -> None:
    """Play all, and show the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    options = parser.parse_args()
    # The clusters listen themselves; what their remains say when they are torn down does not matter.
    globalLogBeginner.beginLoggingTo([lambda event: None], discardBuffer=True, redirectStandardIO=False)
    for name in options.only:
        rows = {}
        for seed in range(options.seeds):
            began = time.process_time()
            with apart():
                rows[seed] = CASES[name](seed, options.peers)
            facts = ", ".join(f"{head} {value:.4g}" for head, value in rows[seed].items())
            print(f"{name} seed {seed}: {facts} ({time.process_time() - began:.0f} s of CPU)", flush=True)
        print(table(name, rows), flush=True)


if __name__ == "__main__":
    main()
