"""
What is done about updates after the journal of a node was lost: nothing is run
again that may have run, unless an administrator says so (promise 2).
"""

from __future__ import annotations

from collections.abc import Iterator

from clumpt.agent.job import Agenda
from clumpt.agent.queue import INTERRUPTED
from clumpt.idset import IdSet
from clumpt.model import Outcome, PeerStatus, Seq, State

_LOST = f"{INTERRUPTED}: the journal of this node was lost, and nobody knows whether this ran here"


def verdicts(agenda: Agenda, status: PeerStatus | None, head: Seq) -> Iterator[tuple[Seq, Outcome]]:
    """
    How each open update up to the last one this peer can have known ended, as far as anybody knows.

    @param status: what this peer last said of itself in the directory.
    @param head: the directory's head, for a peer that never said anything.
    """
    settled, failures, known = IdSet(), {}, head
    if status is not None:
        settled = IdSet.upto(status.settled) | IdSet.parse(status.above)
        failures = {failure.seq: failure for failure in status.failures}
        known = status.head
    for seq in agenda.open:
        if seq > known:
            return
        failure = failures.get(seq)
        if seq not in settled:
            yield seq, Outcome(State.HELD, None, _LOST)
        elif failure is not None:
            yield seq, Outcome(failure.state, failure.code, failure.reason)
        else:
            yield seq, Outcome(State.DONE, None, "by what the directory says of this peer")
