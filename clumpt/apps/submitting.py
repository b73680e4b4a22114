"""
Submitting (R57-R65): plan, register, and bring it to the first peers.

For a whole submission in one call::

    plan = await make_plan(desk, order)          # refuses what cannot work; nothing is written
    submitted = await submit(desk, plan, offered, within=600.0)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import define, field, frozen

from clumpt.agent.errand import Errand, Seeded, share
from clumpt.agent.rate import Bucket, minute_of_day
from clumpt.agent.serve import Server
from clumpt.agent.submission import Submission
from clumpt.aio import deferred, sleep
from clumpt.apps.desk import Desk
from clumpt.apps.nodes import fold
from clumpt.errors import (
    BadDocument,
    BadInput,
    DirectoryRefused,
    DirectoryUnavailable,
    NotAllowed,
    NothingMatched,
    SequenceTaken,
    Untrusted,
)
from clumpt.idset import IdSet
from clumpt.install.packages import fits
from clumpt.interfaces import INetwork
from clumpt.model import Entry, Group, Peer, PeerName, PeerStatus, Seq, Settings, Update
from clumpt.order import Order, Place
from clumpt.store.offered import Offered
from clumpt.targets import Selection, choose, concerned, misfits
from clumpt.trust.keyring import Keyring

#: How often somebody else may be faster before this gives up (H5).
MOST_RACES = 100
#: Seconds to wait, at most, after somebody else was faster.
RACE_PAUSE = 0.2
#: Pauses in seconds before an unanswered registration is asked for again.
UNANSWERED = (1.0, 2.0, 4.0)
#: Earlier updates that are given to peers that lack them; the others they get from each other.
MOST_EARLIER = 1000


@frozen
class Plan:
    """
    What is going to be done, to whom.

    @ivar percentage: of the targets that are told first (R62).
    @ivar least_known: the lowest head that a target reported, 0 if one never did.
    """

    order: Order
    targets: tuple[Peer, ...]
    settings: Settings
    percentage: int
    least_known: Seq

    @property
    def wanted(self) -> int:
        """How many peers are told first."""
        return share(len(self.targets), self.percentage)


@deferred
async def make_plan(desk: Desk, order: Order, percentage: int = 0) -> Plan:
    """
    Look whether C{order} can be carried out, and by whom.  Nothing is written.

    @param percentage: of the targets to tell first; 0 for what the configuration, or else the directory says.

    Fails with L{NothingMatched}, L{BadInput}, L{NotAllowed}, L{Untrusted} or L{DirectoryRefused} if it
    cannot, and as the directory does.
    """
    settings = await desk.settings()
    _check_quorum(await desk.keyring())
    groups = {group.name: group for group in await desk.directory.groups()}
    peers = await desk.directory.peers()
    targets = choose(Selection(order.groups, order.nodes, order.exclude), peers, groups)
    _check_policies(order, groups.values(), targets)
    _check_architectures(order, targets)
    least_known = await _check_head(desk, targets)
    wanted = percentage or desk.config.submit.initial or settings.initial
    return Plan(order, targets, settings, wanted, least_known)


@deferred
async def plan_again(desk: Desk, update: Update, percentage: int = 0, order: Order | None = None) -> Plan:
    """
    The plan for something about C{update} with all whom it concerns: C{order}, or to bring it to them again.

    Fails as L{make_plan} does.
    """
    settings = await desk.settings()
    targets = concerned(update, await desk.directory.peers())
    if not targets:
        raise NothingMatched(f"update {update.seq} concerns no peer any more")
    least_known = await _check_head(desk, targets)
    if order is not None:
        _check_quorum(await desk.keyring())
    else:
        order = Order(update.groups, update.action, update.installer, update.packages)
    wanted = percentage or desk.config.submit.initial or settings.initial
    return Plan(order, targets, settings, wanted, least_known)


def _check_quorum(keyring: Keyring) -> None:
    """One submitter signs here; what peers want more signatures for is refused before anybody is asked."""
    if (quorum := keyring.root.quorum) > 1:
        raise Untrusted(
            f"the root document asks for the signatures of {quorum} submitters on every update (quorum), and"
            " clumpt signs with one key: it cannot submit here until a root document with a quorum of 1 is in"
            " force, see docs/trust.md"
        )


def _check_policies(order: Order, groups: Iterable[Group], targets: Collection[Peer]) -> None:
    """What a node would refuse, for whichever of its groups, is not submitted to it (R11)."""
    for group in groups:
        members = [peer.name for peer in targets if group.name in peer.groups]
        if members and (why := group.objection(order.installer, order.packages)):
            raise NotAllowed(
                f"{why}; that holds for {fold(members)}. clumptconf group {group.name} shows and changes what"
                " is allowed, -x leaves nodes out"
            )


def _check_architectures(order: Order, targets: Collection[Peer]) -> None:
    for package, wrong in misfits(order.packages, targets, fits).items():
        there = "; ".join(f"{fold(names)}: {arch}" for arch, names in sorted(wrong.items()))
        raise BadInput(
            f"{package.file} is for {package.arch}, and some nodes are not ({there}); name other groups, or"
            " leave them out with -x"
        )


async def _check_head(desk: Desk, targets: Iterable[Peer]) -> Seq:
    """The lowest head among C{targets}; raises if a peer knows more than the directory."""
    statuses: Mapping[PeerName, PeerStatus] = await desk.directory.statuses()
    head = await desk.directory.head()
    ahead = max(statuses.values(), key=lambda status: status.head, default=None)
    if ahead is not None and ahead.head > head:
        raise DirectoryRefused(
            f"the directory ends at update {head}, but {ahead.peer} knows update {ahead.head}: it was set"
            " back to an old backup. Run clumptconf repair-directory first; what was signed now would be"
            " another history, and peers would stop"
        )
    return min((statuses[one.name].head if one.name in statuses else 0 for one in targets), default=0)


@define(eq=False)
class Submitter:
    """
    One act of submitting: L{open}, L{register}, L{seed}, and always L{close}.

    @ivar entry: what was registered, None before.
    @ivar unsure: the entry that may be registered: it was sent, and no answer came yet.
    """

    _desk: Desk
    _plan: Plan
    _offered: Offered = field(factory=Offered)
    entry: Entry | None = field(default=None, init=False)
    unsure: Entry | None = field(default=None, init=False)
    _network: INetwork | None = field(default=None, init=False)
    _submission: Submission | None = field(default=None, init=False)
    _server: Server | None = field(default=None, init=False)

    @property
    def began(self) -> float | None:
        """When the first peer was notified, by the clock; None before."""
        return self._submission.began if self._submission is not None else None

    @deferred
    async def open(self) -> None:
        """Begin to listen; what cannot be served later fails here, before anything is registered."""
        desk = self._desk
        greeting, keyring = await desk.greeting(), await desk.keyring()
        network, limits = desk.network(True), desk.config.limits
        server = self._server = Server(
            desk.reactor,
            desk.random,
            self._offered,
            Bucket(limits.upload, limits.upload_hours, lambda: minute_of_day(desk.wall())),
            True,
            network.links,
            lambda package: True,
        )
        self._submission = Submission(greeting, keyring, desk.reactor, desk.random, network, server)
        await network.start(self._submission)
        self._network = network

    @deferred
    async def register(self) -> Entry:
        """
        Sign the order and give it the next place in the table (R59, R60, H5).

        What peers would refuse is not registered.  Fails with L{Untrusted} or L{BadInput} then, and as the
        directory does; L{unsure} tells whether it may be registered nevertheless.
        """
        desk, order = self._desk, self._plan.order
        keyring = await desk.keyring()
        signer = desk.signer()
        submit_id = f"{desk.name}-{desk.random.getrandbits(96):024x}"
        for race in range(MOST_RACES):
            head = await desk.directory.head()
            place = Place(keyring.deployment, head + 1, await desk.digest(head), submit_id, int(desk.wall()))
            entry = keyring.entry(signer.sign_update(order.at(place)).envelope)
            try:
                await self._add(entry)
            except SequenceTaken:
                self.unsure = None
                await sleep(desk.reactor, desk.random.uniform(0.0, min(RACE_PAUSE, 0.02 * (race + 1))))
                continue
            self.entry, self.unsure = entry, None
            return entry
        raise DirectoryUnavailable(f"others were faster {MOST_RACES} times in a row; try again")

    async def _add(self, entry: Entry) -> None:
        """Register C{entry}, and ask again if no answer comes: a second time changes nothing."""
        self.unsure = entry
        for pause in (*UNANSWERED, None):
            try:
                await self._desk.directory.register(entry)
                return
            except DirectoryRefused:
                self.unsure = None
                raise
            except DirectoryUnavailable:
                if pause is None:
                    raise
            await sleep(self._desk.reactor, pause)

    @deferred
    async def seed(
        self,
        entry: Entry,
        within: float,
        told: Callable[[Seeded], None] = lambda so_far: None,
    ) -> Seeded:
        """
        Bring C{entry} to the first peers (R62-R64); they are served until L{close}.

        @param told: called with what was reached so far.

        Fires with what was reached; see L{Submission.run}.
        """
        assert self._submission is not None, "open comes first"
        self._submission.told = told
        candidates = {peer.name: peer.addresses for peer in self._plan.targets}
        earlier = await self._earlier(entry.seq)
        errand = Errand([entry], earlier, candidates, self._plan.wanted)
        return await self._submission.run(errand, within)

    async def _earlier(self, seq: Seq) -> Mapping[Seq, bytes]:
        """What some targets may lack; they can get it from each other, so it is no matter if it fails."""
        first = max(self._plan.least_known + 1, seq - MOST_EARLIER)
        if first >= seq:
            return {}
        try:
            found = await self._desk.entries(IdSet([(first, seq - 1)]))
        except (BadDocument, DirectoryRefused, DirectoryUnavailable, Untrusted) as trouble:
            self._desk.screen.say(f"earlier updates cannot be given along: {trouble}")
            return {}
        return {seq: entry.envelope for seq, entry in found.items()}

    @property
    def so_far(self) -> Seeded:
        """Whom it reached."""
        return self._submission.so_far if self._submission is not None else Seeded()

    @property
    def sent(self) -> int:
        """Bytes of packages that were given away so far."""
        return sum(self._server.sent.values()) if self._server is not None else 0

    @deferred
    async def close(self) -> None:
        """Serve no more; fires when all links are closed."""
        if self._submission is not None:
            self._submission.stop()
        if self._network is not None:
            await self._network.stop()
        self._offered.withdraw()


@frozen
class Submitted:
    """A submission that is over: the update goes on spreading from those who received it."""

    entry: Entry
    plan: Plan
    seeded: Seeded


@deferred
async def submit(desk: Desk, plan: Plan, offered: Offered, within: float) -> Submitted:
    """Register C{plan}, bring it to the first peers within so many seconds, and close; see L{Submitter}."""
    submitter = Submitter(desk, plan, offered)
    try:
        await submitter.open()
        entry = await submitter.register()
        return Submitted(entry, plan, await submitter.seed(entry, within))
    finally:
        await submitter.close()
