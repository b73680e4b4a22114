"""
What must hold in every cluster: whenever a peer touches the world, now and then, and after every run.

Checked against the truth that the cluster keeps, never against what a peer
says of itself.  Each check is named as in docs/simulation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from clumpt.agent.arrival import AT_ONCE
from clumpt.idset import IdSet
from clumpt.model import Action, Entry, PeerStatus, Seq, State
from clumpt.pieces import digest_of
from clumpt.table import MOST_WAITING
from clumpt.testing.machine import Kept, Machine
from clumpt.testing.memory_installer import Ran
from clumpt.testing.watch import Broken

if TYPE_CHECKING:
    from clumpt.testing.cluster import Cluster

__all__ = ["Broken", "check_at_rest", "check_kept", "check_now", "check_report", "check_run", "check_stopped"]

#: Bytes that may wait to be sent on one wire, beside what a few pieces take.
MOST_UNSENT = 2 * 1024 * 1024
#: Timers that one daemon may have, for itself and for each wire.
MOST_TIMERS, TIMERS_PER_WIRE = 100, 40


# What reaches the installer.


def check_run(
    cluster: Cluster, machine: Machine, entry: Entry, attempt: int, packages: Sequence[Path]
) -> None:
    """Called before the installer is given something."""
    _check_order_is_signed(cluster, machine, entry)
    _check_bytes_are_signed(machine, entry, packages)
    _check_turn(cluster, machine, entry)
    check_repeats(machine)


def _check_order_is_signed(cluster: Cluster, machine: Machine, entry: Entry) -> None:
    """I1: what is run was signed, for this deployment and for the groups that this peer was put in."""
    seq, groups = entry.seq, machine.agent.agenda.groups
    if seq > cluster.head or cluster.keys.entries[seq - 1].digest != entry.digest:
        raise Broken(f"I1: {machine.name} runs update {seq}, which nobody signed like this")
    if groups not in [member.groups for member in machine.members]:
        raise Broken(f"I1: {machine.name} believes itself in {sorted(groups)}, which nobody signed")
    if not entry.update.concerns(machine.name, groups):
        raise Broken(f"I1: {machine.name} runs update {seq}, which is not for it")


def _check_bytes_are_signed(machine: Machine, entry: Entry, packages: Sequence[Path]) -> None:
    """I2: what is handed over are the packages that were signed, unless the disk has changed them."""
    wanted = [package.sha256 for package in entry.update.packages]
    found = [digest_of(machine.disk.at(path)) for path in packages]
    if wanted != found and not machine.suspect:
        raise Broken(f"I2: {machine.name} hands other bytes to the installer than update {entry.seq} says")


def _check_turn(cluster: Cluster, machine: Machine, entry: Entry) -> None:
    """I4: nothing is run while an earlier update for this peer is open."""
    groups = machine.agent.agenda.groups
    for earlier in cluster.keys.entries[: entry.seq - 1]:
        settled = _over(cluster, machine, earlier) or _excused(cluster, earlier)
        if not settled and earlier.update.concerns(machine.name, groups):
            raise Broken(f"I4: {machine.name} runs update {entry.seq} before update {earlier.seq}")


def _over(cluster: Cluster, machine: Machine, entry: Entry) -> bool:
    """Has a run of this come to an end?"""
    return any(ran.outcome.state.settled for ran in machine.installed.runs if _ended(cluster, ran, entry.seq))


def _ended(cluster: Cluster, ran: Ran, seq: Seq) -> bool:
    return ran.seq == seq and not ran.cut and ran.ends <= cluster.world.now


def _excused(cluster: Cluster, entry: Entry) -> bool:
    """May this have been settled without a run?"""
    update, later = entry.update, cluster.keys.entries[entry.seq :]
    return (
        update.action is Action.WITHDRAW
        or update.installer not in cluster.allowed
        or bool(update.requires or update.not_after)
        or any(entry.seq in other.update.withdraws or other.update.retries == entry.seq for other in later)
    )


def check_repeats(machine: Machine) -> None:
    """I5, I6: never again after a success, and again at most once, after an interruption (promise 2)."""
    by_seq: dict[Seq, list[bool]] = {}
    for ran in machine.installed.runs:
        if ran.effect is None and not ran.cut:
            continue
        earlier = by_seq.setdefault(ran.seq, [])
        if earlier and not all(earlier):
            raise Broken(f"I5: {machine.name} ran update {ran.seq} again though it had not been interrupted")
        if len(earlier) > 1:
            raise Broken(f"I6: {machine.name} ran update {ran.seq} {len(earlier) + 1} times")
        earlier.append(ran.cut)
    for one, after in pairwise(machine.installed.runs):
        if after.began < one.ends:
            raise Broken(f"I4: {machine.name} ran updates {one.seq} and {after.seq} at the same time")


# What reaches the directory.


def check_report(cluster: Cluster, machine: Machine, status: PeerStatus) -> None:
    """I9, I10: a peer speaks of itself alone, and what it says happened has happened (promise 3)."""
    if status.peer != machine.name:
        raise Broken(f"I10: {machine.name} reports for {status.peer}")
    if status.head > cluster.head:
        raise Broken(f"I9: {machine.name} reports update {status.head} of {cluster.head}")
    assert machine.journal is not None
    states = machine.journal.states()
    failures = {failure.seq: failure.state for failure in status.failures}
    for seq in IdSet.upto(status.settled) | IdSet.parse(status.above):
        entry = cluster.keys.entries[seq - 1]
        if not entry.update.concerns(machine.name, machine.agent.agenda.groups):
            continue
        if states.get(seq) is not failures.get(seq, State.DONE):
            raise Broken(f"I9: {machine.name} reports another end of update {seq} than its journal has")
        if (
            seq not in failures
            and entry.update.action is not Action.WITHDRAW
            and not _done(cluster, machine, seq)
        ):
            raise Broken(f"I9: {machine.name} reports update {seq} as done, which it is not")


def _done(cluster: Cluster, machine: Machine, seq: Seq) -> bool:
    runs = machine.installed.runs
    return any(_ended(cluster, ran, seq) and ran.outcome.state is State.DONE for ran in runs)


# What outlives a daemon.


def check_kept(machine: Machine) -> None:
    """I7: a new daemon finds all that the last one was promised to be kept."""
    assert machine.journal is not None
    if machine.kept and Kept.of(machine.journal) not in machine.kept:
        raise Broken(f"I7: the journal of {machine.name} forgot something")


# What must hold at any time; looked at now and then.


def check_now(cluster: Cluster) -> None:
    """Look at all that is up."""
    for machine in cluster.up:
        _check_history(cluster, machine)
        _check_progress(cluster, machine)
        _check_bounds(cluster, machine)


def _check_history(cluster: Cluster, machine: Machine) -> None:
    """I8: all have one history, the one that was signed."""
    chain = machine.agent.chain
    if chain.head > cluster.head or (chain.head and cluster.keys.entries[chain.head - 1].digest != chain.top):
        raise Broken(f"I8: {machine.name} has another history up to update {chain.head}")
    if chain.forked:
        raise Broken(f"I8: {machine.name} believes in a fork")


def _check_progress(cluster: Cluster, machine: Machine) -> None:
    """I7: what a peer has taken for good never goes back, whatever the directory or other peers say."""
    assert machine.journal is not None
    statement = machine.agent.roster.statement
    if statement:
        generation = cluster.statements[statement].generation
        if generation < machine.generation:
            raise Broken(f"I7: {machine.name} went back to statement {generation} from {machine.generation}")
        machine.generation = generation
    head = len(machine.journal.entries())
    if head < machine.head:
        raise Broken(f"I7: the journal of {machine.name} went back from update {machine.head} to {head}")
    machine.head = head


def _check_bounds(cluster: Cluster, machine: Machine) -> None:
    """I11: what others send does not pile up."""
    agent, reactor = machine.agent, cluster.network.host(machine.address).reactor
    others = len(cluster.machines) + len(cluster.liars) + 2
    wires = list(reactor.wires)
    bounds = (
        (len(wires), 6 * others + 16, "wires"),
        (len(agent.chain.known) - agent.chain.head, MOST_WAITING, "updates that wait"),
        (len(agent.fetcher._arrivals), AT_ONCE, "packages on their way"),
        (max((wire.unsent for wire in wires), default=0), MOST_UNSENT, "bytes unsent on a wire"),
    )
    for found, most, what in bounds:
        if found > most:
            raise Broken(f"I11: {machine.name} has {found} {what}, at most {most} are allowed")


def check_timers(cluster: Cluster) -> None:
    """I11: timers do not pile up either."""
    for machine in cluster.up:
        reactor = cluster.network.host(machine.address).reactor
        timers, most = len(reactor.getDelayedCalls()), MOST_TIMERS + TIMERS_PER_WIRE * len(reactor.wires)
        if timers > most:
            raise Broken(f"I11: {machine.name} has {timers} timers, at most {most} are allowed")


# What must hold in the end.


def check_at_rest(cluster: Cluster) -> None:
    """L2 and the rest: what must hold once a cluster has healed and agrees."""
    check_now(cluster)
    check_timers(cluster)
    statuses = cluster.statuses()
    for machine in cluster.up:
        check_repeats(machine)
        _check_truth(cluster, machine, statuses[machine.name])
        _check_bytes(cluster, machine)
    if cluster.world.errors:
        cluster.world.errors[0].raiseException()


def _check_truth(cluster: Cluster, machine: Machine, status: PeerStatus) -> None:
    """L2: the directory says of each peer what became of each update."""
    told = {failure.seq: failure.state for failure in status.failures}
    if status.settled != cluster.head:
        raise Broken(f"L2: the directory has {machine.name} at {status.settled} of {cluster.head}")
    for entry in cluster.keys.entries:
        if not entry.update.concerns(machine.name, machine.groups):
            continue
        state = machine.agent.agenda.states[entry.seq]
        if told.get(entry.seq, State.DONE) is not state:
            raise Broken(
                f"L2: the directory has another end of update {entry.seq} on {machine.name} than {state}"
            )
        if state is State.DONE and entry.update.packages and not machine.installed.effects(entry.seq):
            raise Broken(f"L2: {machine.name} says that update {entry.seq} is done, and it never ran")


def _check_bytes(cluster: Cluster, machine: Machine) -> None:
    """I3: what the repository gives is what was submitted."""
    for digest in machine.agent.repository.digests():
        if machine.read(digest) != cluster.contents[digest] and not machine.suspect:
            raise Broken(f"I3: {machine.name} holds other bytes under {digest}")


def check_stopped(cluster: Cluster, machine: Machine) -> None:
    """I12: a daemon that was stopped leaves no timer, no wire and no port."""
    reactor = cluster.network.host(machine.address).reactor
    left = [f"a timer at {timer.getTime():.1f}" for timer in reactor.getDelayedCalls()]
    # Who calls at this very moment has not been answered, and will not be.
    left += [f"a wire to {wire.getPeer().host}" for wire in reactor.wires if wire.connected]
    left += [f"port {port}" for port in reactor.ports]
    if left:
        raise Broken(f"I12: {machine.name} was stopped at {cluster.world.now:.1f} and left {', '.join(left)}")
