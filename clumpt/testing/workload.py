"""What the administrators of a simulated cluster do all day: updates of all kinds, and changes to it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field

from clumpt.agent.errand import Seeded
from clumpt.model import Action, Entry, Interrupted, Outcome, Seq, Update
from clumpt.store.repository import SPARE
from clumpt.testing.cluster import Cluster
from clumpt.testing.disk import MEMORY
from clumpt.testing.invariants import Broken
from clumpt.testing.keys import ISSUED
from clumpt.testing.machine import Machine
from clumpt.testing.memory_installer import Fate, Plan, failure, hang, locked, success

__all__ = ["Fates", "Workload"]

#: Sizes of packages: one piece, a few, many.
SIZES = (200, 200, 20_000, 70_000, 200_000)
#: Seconds for one try to bring an update to somebody.
ERRAND = 30.0
#: How often that is tried when all is well.
TRIES = 300
#: Seconds that a run may take which is going to hang.
PATIENCE = 20


@define(eq=False)
class Fates:
    """
    What becomes of runs, for a whole cluster.

    @ivar canaries: does a peer pass on only what succeeded there?  Then nothing may fail for good.
    @ivar hard: updates whose runs need not succeed, and what may become of them.
    """

    canaries: bool = False
    hard: dict[Seq, Plan] = field(factory=dict)

    def __call__(self, update: Update, attempt: int, random: Random) -> Fate:
        """See L{Plan}."""
        plan = self.hard.get(update.seq, success)
        return (plan if random.random() < 0.5 else success)(update, attempt, random)


def waited(update: Update, attempt: int, random: Random) -> Fate:
    """Somebody else has the package manager, but not for ever."""
    if attempt > 2:
        return success(update, attempt, random)
    fate = locked(update, attempt, random)
    return Fate(Outcome(fate.outcome.state, None, fate.outcome.reason, 5.0), 5.0, works=False)


@define(eq=False)
class Workload:
    """
    One step after the other, each drawn from the seed.

    @ivar fates: the cluster's plan.
    @ivar backup: an old backup of the directory, if one was made.
    """

    cluster: Cluster
    fates: Fates
    backup: Any = None
    _pending: list[Entry] = field(factory=list, init=False)
    _under_way: set[Seq] = field(factory=set, init=False)

    @property
    def _random(self) -> Random:
        return self.cluster.world.random

    def step(self) -> None:
        """Do one thing, and offer again what nobody took."""
        self.offer()
        steps: list[tuple[int, Callable[[], None]]] = [
            (8, self.install),
            (2, self.bundle),
            (2, self.require),
            (2, self.withdraw),
            (2, self.retry),
            (2, self.run),
            (1, self.forbidden),
            (1, self.some_nodes),
            (1, self.regroup),
            (1, self.add),
            (1, self.remove),
            (1, self.back_up),
            (1, self.flip),
            (1, self.fill),
        ]
        weights = [weight for weight, _ in steps]
        self._random.choices([step for _, step in steps], weights)[0]()

    def offer(self) -> None:
        """Bring what nobody has yet to somebody."""
        for entry in self._pending:
            if entry.seq not in self._under_way:
                self._under_way.add(entry.seq)
                bringing = self.cluster.submitter.bring(entry, ERRAND)
                bringing.addCallback(self._brought, entry)
                bringing.addErrback(self.cluster.world.fault)

    def _brought(self, seeded: Seeded, entry: Entry) -> None:
        self._under_way.discard(entry.seq)
        honest = {machine.name for machine in self.cluster.machines.values()}
        if seeded.received & honest and entry in self._pending:
            self._pending.remove(entry)

    def _submit(self, group: str | None = None, **fields: Any) -> Entry:
        group = group or self._random.choice(["all", "all", *self.cluster.groups])
        entry = self.cluster.sign(group, **fields)
        if self._random.random() < 0.3:
            self.fates.hard[entry.seq] = (
                waited if self.fates.canaries else self._random.choice([failure, waited])
            )
        self._pending.append(entry)
        self.offer()
        return entry

    # Updates.

    def install(self) -> None:
        """One package."""
        interrupted = Interrupted.RERUN if self.fates.canaries else self._random.choice(list(Interrupted))
        self._submit(size=self._random.choice(SIZES), interrupted=interrupted)

    def bundle(self) -> None:
        """Several packages at once."""
        packages = tuple(
            self.cluster.package(self._random.choice(SIZES)) for _ in range(self._random.randint(2, 4))
        )
        self._submit(packages=packages)

    def require(self) -> None:
        """Something that is of use only where something else has succeeded (H6)."""
        self._submit(requires=self._some())

    def withdraw(self) -> None:
        """Take back, where it is not too late."""
        if earlier := self._some():
            groups = self.cluster.keys.entries[earlier[0] - 1].update.groups
            self._submit(min(groups), size=0, action=Action.WITHDRAW, withdraws=earlier)

    def retry(self) -> None:
        """Try again what has failed or is held somewhere."""
        if earlier := self._some():
            self.try_again(earlier[0])

    def try_again(self, seq: Seq) -> None:
        """The same packages for the same peers."""
        update = self.cluster.keys.entries[seq - 1].update
        if update.action is not Action.WITHDRAW:
            self._submit(
                min(update.groups),
                packages=update.packages,
                action=update.action,
                targets=update.targets,
                nodes=update.nodes,
                exclude=update.exclude,
                retries=seq,
            )

    def run(self) -> None:
        """Something without a package, which may hang, or be too late."""
        not_after = int(ISSUED + self.cluster.world.now) + 20 if self._random.random() < 0.3 else 0
        entry = self._submit(
            size=0, action=Action.REMOVE, targets=("something",), timeout=PATIENCE, not_after=not_after
        )
        if self._random.random() < 0.3:
            self.fates.hard[entry.seq] = hang

    def forbidden(self) -> None:
        """Something that no node allows (H3)."""
        self._submit(installer="rpm")

    def some_nodes(self) -> None:
        """Only some of a group."""
        names = [machine.name for machine in self.cluster.machines.values() if not machine.removed]
        some = frozenset(self._random.sample(names, max(1, len(names) // 2)))
        if self._random.random() < 0.5:
            self._submit(nodes=some)
        else:
            self._submit(exclude=some)

    def _some(self) -> tuple[Seq, ...]:
        """An earlier update, a recent one rather than an old one."""
        head = self.cluster.head
        return (max(1, head - int(self._random.expovariate(0.5))),) if head else ()

    # The cluster itself.

    def regroup(self) -> None:
        """Another set of groups for one peer (H10)."""
        machine = self._one()
        self.cluster.office.regroup(
            machine, [group for group in self.cluster.groups if self._random.random() < 0.5]
        )
        if self._random.random() < 0.5 and machine.peer is not None:
            machine.agent.reload()

    def add(self) -> None:
        """One peer more."""
        self.cluster.office.add()

    def remove(self) -> None:
        """One peer less; its daemon may not know it yet."""
        machine = self._one()
        if len(self.cluster.enrolled) > 5 and self._spare(machine):
            self.cluster.office.remove(machine)
            self.cluster.world.call_later(self._random.uniform(0.0, 30.0), self._switch_off, machine)

    def _spare(self, machine: Machine) -> bool:
        """Would nothing be lost with it?"""
        others = [other for other in self.cluster.up if other is not machine and not other.removed]
        return bool(others) and all(
            any(other.agent.repository.holds(digest) for other in others) for digest in self.cluster.contents
        )

    def _switch_off(self, machine: Machine) -> None:
        if self.cluster.network.host(machine.address).alive:
            self.cluster.crash(machine.address)

    def _one(self) -> Machine:
        machines = [machine for machine in self.cluster.machines.values() if not machine.removed]
        return self._random.choice(machines)

    def back_up(self) -> None:
        """Make a backup of the directory; or restore the one that there is, and repair it (R13)."""
        if self.backup is None:
            self.backup = self.cluster.site.backup()
            return
        self.cluster.office.set_back(self.backup)
        self.backup = None
        self.cluster.world.run_for(self._random.uniform(0.0, 40.0))
        self.cluster.office.repair()

    # Accidents.

    def flip(self) -> None:
        """A bit of some package turns over on a disk, which nobody notices at once."""
        machine = self._one()
        if machine.peer is not None and (digests := machine.agent.repository.digests()):
            machine.suspect = True
            path = machine.agent.repository.path(self._random.choice(sorted(digests)))
            machine.disk.bit_flip(path.relative_to(MEMORY).as_posix())

    def fill(self) -> None:
        """Somebody else fills a disk, and cleans up later."""
        machine = self._one()
        machine.disk.limit = machine.disk.used + self._random.choice([0, 2000, 100_000, SPARE + 100_000])
        self.cluster.world.call_later(self._random.uniform(1.0, 60.0), self._clean, machine)

    def _clean(self, machine: Machine) -> None:
        machine.disk.limit = None

    # After the storm.

    def finish(self) -> None:
        """Bring what no disk holds (any more) to somebody; to be called when all is well again."""
        for _ in range(TRIES):
            self._pending = [entry for entry in self.cluster.keys.entries if self._lacking(entry)]
            if not self._pending:
                break
            self.offer()
            self.cluster.world.run_for(2.0)
        else:
            raise Broken(f"H8: nobody takes update {self._pending[0].seq} from the submitter")
        self.cluster.world.run_until(lambda: not self._under_way, within=2 * ERRAND)

    def _lacking(self, entry: Entry) -> bool:
        """Does a peer need what no honest peer has?"""
        wanted = {package.sha256 for package in entry.update.packages}
        for machine in self._members():
            holding = machine.agent.repository.holds
            wanted = {
                digest
                for digest in wanted
                if not holding(digest) or machine.read(digest) != self.cluster.contents[digest]
            }
        return bool(wanted) and any(self._needs(machine, entry) for machine in self._members())

    def _needs(self, machine: Machine, entry: Entry) -> bool:
        agent = machine.agent
        if agent.chain.head < entry.seq:
            return entry.update.concerns(machine.name, machine.groups)
        return entry.seq in agent.agenda.open

    def _members(self) -> list[Machine]:
        return [machine for machine in self.cluster.up if not machine.removed]

    def undecided(self) -> list[Seq]:
        """The updates that wait for the administrators on some peer: nobody knows how they ended there."""
        agendas = [machine.agent.agenda for machine in self.cluster.up]
        return sorted({seq for agenda in agendas for seq in agenda.stuck if seq in agenda.open})

    def decide(self) -> None:
        """Have all those tried again; or taken back, where others wait for their packages."""
        for seq in self.undecided():
            if self.fates.canaries:
                groups = self.cluster.keys.entries[seq - 1].update.groups
                self._submit(min(groups), size=0, action=Action.WITHDRAW, withdraws=(seq,))
            else:
                self.try_again(seq)
            self.fates.hard.pop(self.cluster.head, None)
