"""One simulated node: what survives its daemon, and the truth about what happened on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import deferLater

from clumpt.agent.agent import Agent
from clumpt.apps.daemon import Peer
from clumpt.model import GroupName, Member, Outcome, PeerName, PeerStatus, Seq, State
from clumpt.pieces import Digest
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.memory_installer import MemoryMachine
from clumpt.testing.memory_journal import MemoryJournal

__all__ = ["Kept", "Machine"]


@frozen
class Kept:
    """What a journal has promised to keep, whatever happens to the node."""

    entries: tuple[bytes, ...] = ()
    states: Mapping[Seq, State] = field(factory=dict)
    outcomes: Mapping[Seq, Outcome | None] = field(factory=dict)
    attempts: Mapping[Seq, int] = field(factory=dict)
    roots: tuple[bytes, ...] = ()
    changes: int = 0
    reported: int = 0
    cached: Mapping[str, bytes | None] = field(factory=dict)

    @classmethod
    def of(cls, journal: MemoryJournal) -> Kept:
        """What C{journal} says now."""
        states = journal.states()
        return cls(
            tuple(journal.entries()),
            dict(states),
            {seq: journal.outcome(seq) for seq in states},
            {seq: journal.attempts(seq) for seq in states},
            tuple(journal.roots()),
            journal.changes(),
            journal.reported(),
            {key: journal.cached(key) for key in ("settings", "peers", "members")},
        )


@define(eq=False)
class Machine:
    """
    One node, and its daemon while there is one.

    @ivar installed: the package manager's side, and the truth about what it ran.
    @ivar members: the membership statements signed for it, the newest last.
    @ivar removed: was it removed from the deployment?
    @ivar slow: seconds that work on the disk may take.
    @ivar suspect: may its disk hold other bytes than were written?
    @ivar peer: the daemon, None while there is none.
    @ivar kept: what may be left of the journal of the last life, by what it had promised.
    @ivar told: what the directory last took from it.
    """

    name: PeerName
    address: str
    disk: MemoryDisk
    installed: MemoryMachine
    members: list[Member] = field(factory=list)
    removed: bool = False
    slow: float = 0.0
    suspect: bool = False
    peer: Peer | None = None
    journal: MemoryJournal | None = None
    kept: tuple[Kept, ...] = ()
    told: PeerStatus | None = None
    #: The newest generation that its daemons ever took, and the highest head that one had on disk.
    generation: int = 0
    head: Seq = 0

    @property
    def agent(self) -> Agent:
        """The agent of the daemon that runs."""
        assert self.peer is not None
        return self.peer.agent

    @property
    def groups(self) -> frozenset[GroupName]:
        """The groups that it was last put in."""
        return self.members[-1].groups

    def open_journal(self) -> MemoryJournal:
        """The journal as the disk has it."""
        self.journal = MemoryJournal(self.disk)
        return self.journal

    def die(self) -> None:
        """The daemon is no more."""
        self.kept = ()
        if self.journal is not None:
            # The last result may be lost with the power: the package manager's side has it.
            left = self.journal.left(lambda: MemoryDisk(Random(0)))
            self.kept = tuple(map(Kept.of, left))
        self.peer = None

    def worker(self, reactor: Any, random: Any) -> Callable[..., Deferred[Any]]:
        """What does slow work on the disk, in one life of the daemon."""

        def work(call: Callable[..., Any], *words: Any) -> Deferred[Any]:
            if self.slow:
                return deferLater(reactor, random.uniform(0.0, self.slow), call, *words)
            return execute(call, *words)

        return work

    def read(self, digest: Digest) -> bytes:
        """The bytes that its repository has under C{digest}."""
        return self.disk.at(self.agent.repository.path(digest))
