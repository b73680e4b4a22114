"""
What must hold in every cluster, at every moment and after every run.

Checked against the truth that the machines keep, never against what a peer
says of itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clumpt.model import Seq, State

if TYPE_CHECKING:
    from clumpt.testing.cluster import Cluster, Machine


class Broken(AssertionError):
    """An invariant does not hold; the text says which, where, and for which update."""


def check_always(cluster: Cluster) -> None:
    """What must hold after every event: cheap, as it looks at what is new only."""
    for machine in cluster.machines.values():
        runs = machine.installed.runs
        if len(runs) != machine.looked_at:
            machine.looked_at = len(runs)
            _check_runs(cluster, machine)


def _check_runs(cluster: Cluster, machine: Machine) -> None:
    highest: Seq = 0
    for ran in machine.installed.runs:
        entry = cluster.keys.entries[ran.seq - 1]
        if not entry.update.concerns(machine.name, machine.groups):
            raise Broken(f"{machine.name} ran update {ran.seq}, which is not for it")
        if ran.attempt == 1:
            if ran.seq <= highest:
                raise Broken(f"{machine.name} began update {ran.seq} after update {highest}")
            highest = ran.seq
    _check_repeats(machine)


def _check_repeats(machine: Machine) -> None:
    """Never again after a success; one extra run at most, and only after an interruption (promise 2)."""
    by_seq: dict[Seq, list[bool]] = {}
    for ran in machine.installed.runs:
        if ran.effect is None and not ran.cut:
            continue
        earlier = by_seq.setdefault(ran.seq, [])
        if earlier and not all(earlier):
            raise Broken(f"{machine.name} ran update {ran.seq} again though it had not been interrupted")
        if len(earlier) > 1:
            raise Broken(f"{machine.name} ran update {ran.seq} {len(earlier) + 1} times")
        earlier.append(ran.cut)


def check_at_rest(cluster: Cluster) -> None:
    """What must hold once a cluster has healed and agrees."""
    for machine in cluster.machines.values():
        _check_truth(cluster, machine)
        _check_bytes(cluster, machine)
    if cluster.world.errors:
        cluster.world.errors[0].raiseException()


def _check_truth(cluster: Cluster, machine: Machine) -> None:
    """What is said to be done was done, by peer and by directory alike (promise 3)."""
    status = cluster.directory.server.contents.statuses[machine.name]
    told = {failure.seq for failure in status.failures}
    if status.settled != cluster.head:
        raise Broken(f"the directory has {machine.name} at {status.settled} of {cluster.head}")
    for entry in cluster.keys.entries:
        if not entry.update.concerns(machine.name, machine.groups):
            continue
        state = machine.agent.agenda.states[entry.seq]
        done = state is State.DONE
        if done == (entry.seq in told):
            raise Broken(f"{machine.name} tells the directory another end of update {entry.seq} than {state}")
        if done and entry.update.packages and not machine.installed.effects(entry.seq):
            raise Broken(f"{machine.name} says that update {entry.seq} is done, and it never ran")


def _check_bytes(cluster: Cluster, machine: Machine) -> None:
    """What the repository gives is what was submitted."""
    repository = machine.agent.repository
    for digest in repository.digests():
        if machine.disk.at(repository.path(digest)) != cluster.contents[digest]:
            raise Broken(f"{machine.name} holds other bytes under {digest}")
