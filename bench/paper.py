"""
The evaluation of the paper with a process for each peer, beside the paper's figures: make bench-paper.

    bench/paper.py [--in-process] [--directory slapd] [--idle SECONDS]
    bench/paper.py --only-idle --idle 310     # peers as they are installed, to which nothing has happened yet

Everything is done on the loopback, in a temporary folder (TMPDIR says where).
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from random import SystemRandom
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.task import react

from clumpt.aio import deferred, sleep
from clumpt.apps.demonstration import deployment
from clumpt.apps.demonstration.bare import WATCHED
from clumpt.apps.demonstration.bare_peers import BareInProcess, BareProcesses
from clumpt.apps.demonstration.cluster import Cluster
from clumpt.apps.demonstration.figures import table
from clumpt.apps.demonstration.paper import INTERVAL, Evaluation, Extent
from clumpt.apps.oneshot import steady

PEERS = 20
#: What an idle peer may take.
MOST_MB, MOST_SHARE = 60.0, 0.002
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Seconds of a processor that the process has taken."""
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def memory(pid: int) -> float:
    """Megabytes that the process has in memory."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


async def idle(reactor: Any, pids: Sequence[int], seconds: float) -> list[str]:
    """What peers take when nothing happens."""
    # What came before comes to rest, above all the close look at peers that started.
    await sleep(reactor, WATCHED + 5.0)
    before, began = [cpu(pid) for pid in pids], time.monotonic()
    await sleep(reactor, seconds)
    took = time.monotonic() - began
    shares = [(after - earlier) / took for after, earlier in zip(map(cpu, pids), before, strict=True)]
    sizes = [memory(pid) for pid in pids]
    good = max(sizes) <= MOST_MB and max(shares) <= MOST_SHARE
    return [
        f"idle, {len(pids)} peers for {seconds:g} s: at most {max(sizes):.0f} MB, {max(shares):.2%} of a core"
        f" (mean {sum(shares) / len(shares):.3%})"
        f"  (goal {MOST_MB:g} MB, {MOST_SHARE:.1%}: {'reached' if good else 'MISSED'})"
    ]


@deferred
async def main(reactor: Any, words: argparse.Namespace) -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {text}\n")

    cluster = Cluster(reactor, words.directory, say)
    try:
        await cluster.open(0.0 if words.only_idle else INTERVAL, watched=not words.only_idle)
        processes = BareProcesses(reactor, cluster.directory)
        peers = BareInProcess(reactor) if words.in_process else processes
        cluster.run_with(peers)
        nodes = deployment.nodes(PEERS)
        lines = []
        if words.only_idle:
            await cluster.grow(nodes)
        else:
            evaluation = Evaluation(cluster, peers, nodes, SystemRandom(), Extent(words.table))
            lines += table(await evaluation.run(), goals=True)
        if not words.in_process:
            say("nothing happens")
            lines += ["", *await idle(reactor, processes.pids, words.idle)]
        load = " ".join(f"{one:.1f}" for one in os.getloadavg())
        print(
            "\n".join(
                [*lines, "", f"load of the machine in the last minutes: {load}, cores: {os.cpu_count()}"]
            )
        )
    finally:
        await cluster.close()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The evaluation of the paper.")
    parser.add_argument("--in-process", action="store_true", help="all peers in this process")
    parser.add_argument("--directory", choices=("embedded", "slapd"), default="embedded")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds for which nothing happens")
    parser.add_argument("--only-idle", action="store_true", help="nothing else, with the usual intervals")
    parser.add_argument("--table", type=int, default=223, help="updates in the table (the paper's: 223)")
    return parser.parse_args()


if __name__ == "__main__":
    steady(installed)
    react(lambda reactor: main(reactor, parsed()))
