"""Brings packages here, piece by piece, from whoever holds them (R33, R35, R52)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from attrs import define, field
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from clumpt.agent.arrival import Arrival, full_hands
from clumpt.agent.counts import Counts
from clumpt.agent.feeds import Feeds
from clumpt.agent.fresh import Fresh
from clumpt.agent.near import Near
from clumpt.agent.pauses import Pauses
from clumpt.agent.rate import Bucket
from clumpt.agent.suspicions import Suspicions
from clumpt.agent.swarm import Ask, Swarm
from clumpt.aio import deferred, sleep, unattended
from clumpt.errors import BadDocument, Busy, ClumptError, Damaged, NotHere, StoreFull
from clumpt.interfaces import ILink, IRepository
from clumpt.model import Package, PeerName
from clumpt.pieces import NONE, Bits, Digest
from clumpt.provenance import Origin, Provenance

#: Seconds before something that failed for a while is tried again.
PAUSE = 1.0
#: Seconds before a full disk is tried again.
FULL_PAUSE = 30.0
#: Pauses after refusals that are waited for; a peer may refuse for an hour, and offer again at once.
MOST_TIMERS = 64
#: Seconds in which the hashes of pieces come, or are asked of somebody else: without them, nothing can be.
HASHES = 2.0


@define(eq=False)
class Fetcher:
    """
    All packages on their way to this peer.

    @ivar links: the open links, asked for anew each time.
    @ivar arrived: called with a package, the index of a piece that is now held, and who sent it.
    @ivar completed: called with a package that is now wholly here and durable.
    @ivar awaited: called when more pieces are on their way here, so that they can be promised to others.
    @ivar missed: called with a package of which something that was asked for does not come.
    @ivar hindered: called with a package and the reason why it cannot be kept here now.
    @ivar hashed: called with a package whose piece hashes are here now, or do not come.
    @ivar fed: called with the sender, the package and the index of a piece that came by itself.
    @ivar near: where peers stand, None if it does not matter.
    @ivar origin: what kind of sender a peer is.
    @ivar fresh: keeps pieces that came, for a while.
    """

    _reactor: IReactorTime
    _random: Random
    _repository: IRepository
    download: Bucket
    _links: Callable[[], Mapping[PeerName, ILink]]
    _arrived: Callable[[Package, int, PeerName], None]
    _completed: Callable[[Package], None]
    _awaited: Callable[[], None]
    _missed: Callable[[Package], None]
    _hindered: Callable[[Package, str], None]
    _origin: Callable[[PeerName], Origin]
    _fresh: Fresh
    feeds: Feeds
    _hashed: Callable[[Package], None]
    _fed: Callable[[PeerName, Digest, int], None]
    near: Near | None = None
    _arrivals: dict[Digest, Arrival] = field(factory=dict, init=False)
    _not_before: dict[Digest, float] = field(factory=dict, init=False)
    _pauses: Pauses = field(init=False)
    _stopped: bool = field(default=False, init=False)
    counts: Counts = field(factory=Counts, init=False)
    suspicions: Suspicions = field(factory=Suspicions, init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._pauses = Pauses(self._reactor, MOST_TIMERS)

    def want(self, packages: Sequence[Package]) -> list[Package]:
        """
        These are needed here, the first ones first; others are no longer.

        Returns those whose arrival begins now, so that the links can be told.
        """
        wanted = {package.sha256: package for package in packages}
        for digest in [digest for digest in self._arrivals if digest not in wanted]:
            self._abandon(self._arrivals[digest].package)
        begun = []
        for digest, package in wanted.items():
            if digest in self._arrivals or self._repository.holds(digest):
                continue
            if full_hands(self.arriving):
                break
            if self._begin(package):
                begun.append(package)
        return begun

    def _begin(self, package: Package) -> bool:
        if self._not_before.get(package.sha256, 0.0) > self._reactor.seconds():
            return False
        try:
            assembly = self._repository.assemble(package)
        except StoreFull as full:
            self._full(package, full)
            return False
        counted = self.counts.get(package.sha256) if len(assembly.held) else None
        self.counts.put(package.sha256, counted or Provenance())
        swarm = Swarm(package.pieces.count, self._random, assembly.held, self.near)
        self._arrivals[package.sha256] = Arrival(package, swarm, assembly)
        self._pump(package.sha256)
        return True

    def begun(self, package: Package) -> None:
        """The links were told that this package is wanted: let it come, once its pieces can be judged."""
        arrival = self._arrivals.get(package.sha256)
        if arrival is not None and not arrival.assembly.needs_hashes():
            self.feeds.let_come(package, arrival.swarm)
        self._pump(package.sha256)

    def branched(self, peer: PeerName, digest: Digest, tree: int) -> None:
        """C{peer} pushes what a tree carries of a package that is on its way."""
        package = self._arrivals[digest].package
        self.feeds.branched(peer, package, tree)
        self.begun(package)

    def unring(self, digest: Digest) -> None:
        """A package does not come by itself any more."""
        if digest in self._arrivals:
            self._arrivals[digest].swarm.comes = NONE
            self.feeds.refresh(digest, self._arrivals[digest].swarm)
            self._pump(digest)

    def wants(self, digest: Digest) -> bool:
        """Is this package on its way?"""
        return digest in self._arrivals

    def expected(self, digest: Digest) -> Bits:
        """The pieces of a package that were asked for and should be here soon."""
        return self._arrivals[digest].swarm.expected if digest in self._arrivals else Bits()

    @property
    def arriving(self) -> list[Package]:
        """The packages on their way."""
        return [arrival.package for arrival in self._arrivals.values()]

    @property
    def busy(self) -> bool:
        """Is anything on its way?"""
        return bool(self._arrivals)

    @property
    def starving(self) -> list[Package]:
        """Packages on their way of which nobody linked holds a missing piece, or expects one."""
        return [one.package for one in self._arrivals.values() if one.starves]

    def learn(self, peer: PeerName, digest: Digest, bits: Bits) -> None:
        """C{peer} holds these pieces."""
        arrival = self._arrivals.get(digest)
        if arrival is not None and arrival.swarm.learn(peer, bits):
            self._pump(digest)

    def expect(self, peer: PeerName, digest: Digest) -> None:
        """C{peer} told of an update of this package."""
        arrival = self._arrivals.get(digest)
        if arrival is not None and arrival.expect(peer, self._reactor.seconds()):
            self._reply(arrival)

    def offered(self, link: ILink, digest: Digest, index: int) -> None:
        """C{link} would send a piece, wanted or not; raises L{BadDocument} if there is no such piece."""
        arrival = self._arrivals.get(digest)
        feeds = self.feeds
        if arrival is None or arrival.finishing or feeds.declines(link.peer, digest, index, arrival.swarm):
            link.decline(digest, index)
            return
        arrival.check(index, "is offered")
        feeds.offered(digest, arrival.swarm)
        arrival.swarm.offered(link.peer, index, self._reactor.seconds())
        if arrival.assembly.needs_hashes():
            unattended(self._hashes(arrival), self._log, "asking for the hashes of pieces")
        else:
            self._reply(arrival)

    def fed(self, link: ILink, digest: Digest, index: int, data: bytes) -> None:
        """A piece came by itself; raises L{BadDocument} if there is no such piece, or if it should not."""
        arrival = self._arrivals.get(digest)
        if arrival is None or arrival.finishing or arrival.assembly.needs_hashes():
            self.feeds.came(link.peer, digest, index, False)
            return
        arrival.check(index, "is sent")
        self.feeds.came(link.peer, digest, index, index not in arrival.swarm.held)
        if not self.feeds.pushes(digest):
            self._fed(link.peer, digest, index)
        try:
            self._received(arrival, Ask(link.peer, index), data)
        except StoreFull as full:
            self._full(arrival.package, full)
        self._pump(digest)

    def _reply(self, arrival: Arrival) -> None:
        """Take or decline what is on offer."""
        swarm = arrival.swarm
        if not swarm.unanswered or arrival.finishing or self._stopped or arrival.assembly.needs_hashes():
            # Declined, they would not come again soon; the hashes are here in a moment.
            return
        links, awaited = self._links(), False
        for reply in swarm.replies(self._reactor.seconds()):
            if reply.peer not in links:
                swarm.lost(reply.peer)
            elif isinstance(reply, Ask):
                unattended(self._piece(arrival, reply, links[reply.peer]), self._log, "taking a piece")
                awaited = True
            else:
                links[reply.peer].decline(arrival.package.sha256, reply.index)
        if awaited:
            self._awaited()

    def lost(self, peer: PeerName) -> None:
        """The link to C{peer} is gone."""
        self.feeds.lost(peer)
        for digest in list(self._arrivals):
            self._arrivals[digest].swarm.lost(peer)
            self._missed(self._arrivals[digest].package)
            self._pump(digest)

    def pump(self) -> None:
        """Look again at everything on its way: time has passed."""
        self.feeds.look()
        for digest, arrival in list(self._arrivals.items()):
            arrival.give_up_silent(self._links(), self._reactor.seconds())
            self.feeds.let_in(digest, arrival.swarm.complete_holders)
            arrival.barren.clear()
            self._pump(digest)

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stopped = True
        for arrival in self._arrivals.values():
            arrival.cancel()
        self._pauses.stop()
        self._arrivals.clear()

    def _pump(self, digest: Digest) -> None:
        arrival = self._arrivals.get(digest)
        if arrival is None or arrival.finishing or self._stopped:
            return
        if arrival.swarm.complete:
            arrival.finishing = True
            unattended(self._finish(arrival), self._log, "finishing a package")
        elif arrival.assembly.needs_hashes():
            unattended(self._hashes(arrival), self._log, "asking for the hashes of pieces")
        else:
            links = self._links()
            self.feeds.refresh(digest, arrival.swarm)
            self._reply(arrival)
            for ask in arrival.swarm.asks(self._reactor.seconds()):
                if ask.peer in links:
                    unattended(self._piece(arrival, ask, links[ask.peer]), self._log, "taking a piece")
                else:
                    arrival.swarm.lost(ask.peer)

    @deferred
    async def _hashes(self, arrival: Arrival) -> None:
        links, swarm = self._links(), arrival.swarm
        # Who offers pieces that are on their way to it has the hashes already; who may feed us, soon.
        known = swarm.holders or swarm.givers or self.feeds.source(arrival.package, arrival.barren)
        holders = [peer for peer in known if peer in links]
        if not holders or not arrival.asking.isdisjoint(holders):
            return
        peer = self._random.choice(holders)
        arrival.asking.add(peer)
        try:
            answer = links[peer].hashes(arrival.package.sha256)
            answer.addTimeout(max(HASHES, swarm.patience), self._reactor)
            arrival.assembly.put_hashes(await answer)
        except BadDocument as wrong:
            self._spoiled(arrival, peer, str(wrong))
        except (ClumptError, TimeoutError) as trouble:
            self._log.debug("no piece hashes from {peer}: {trouble}", peer=peer, trouble=trouble)
            swarm.lost(peer)
            arrival.barren.add(peer)
        else:
            self._hashed(arrival.package)
            self.begun(arrival.package)
        arrival.asking.discard(peer)
        self._pump(arrival.package.sha256)

    @deferred
    async def _piece(self, arrival: Arrival, ask: Ask, link: ILink) -> None:
        package, swarm = arrival.package, arrival.swarm
        length = package.pieces.length(ask.index)
        try:
            if (pause := self.download.take(length, self._reactor.seconds())) > 0:
                arrival.open[ask] = sleep(self._reactor, pause)
                await arrival.open[ask]
            arrival.open[ask] = link.piece(package.sha256, ask.index, length)
            data = await arrival.open[ask]
            self._received(arrival, ask, data)
        except CancelledError:
            # It came from somebody else, or is not wanted any more.
            swarm.refused(ask.peer, ask.index, self._reactor.seconds())
        except NotHere:
            self._lacks(arrival, ask)
        except Busy as busy:
            self._refused(arrival, ask, busy.retry_after)
        except StoreFull as full:
            self._full(package, full)
        except ClumptError as trouble:
            self._log.debug(
                "no piece {index} from {peer}: {why}", index=ask.index, peer=ask.peer, why=trouble
            )
            if ask.peer in self._links():
                self.suspicions.in_vain(ask.peer, package)
            self._refused(arrival, ask, PAUSE)
        finally:
            arrival.open.pop(ask, None)
        self._pump(package.sha256)

    def _lacks(self, arrival: Arrival, ask: Ask) -> None:
        if ask.peer != arrival.teller:
            self.suspicions.in_vain(ask.peer, arrival.package)
        arrival.swarm.missing(ask.peer, ask.index)
        self._missed(arrival.package)

    def _refused(self, arrival: Arrival, ask: Ask, pause: float) -> None:
        arrival.swarm.refused(ask.peer, ask.index, self._reactor.seconds() + pause)
        self._missed(arrival.package)
        self._pauses.after(pause, self._pump, arrival.package.sha256)

    def _received(self, arrival: Arrival, ask: Ask, data: bytes) -> None:
        package, swarm = arrival.package, arrival.swarm
        self.suspicions.sent(ask.peer)
        counted = self.counts.get(package.sha256) or Provenance()
        if ask.index in swarm.held or self._arrivals.get(package.sha256) is not arrival:
            swarm.arrived(ask.peer, ask.index, self._reactor.seconds())
            self.counts.put(package.sha256, counted.came_twice(len(data)))
        elif arrival.assembly.put(ask.index, data):
            self._fresh.keep(package.sha256, ask.index, data)
            self.counts.put(package.sha256, counted.came(arrival.origin(ask.peer, self._origin), len(data)))
            swarm.arrived(ask.peer, ask.index, self._reactor.seconds())
            for other in swarm.others(ask.index):
                if (late := arrival.open.get(Ask(other, ask.index))) is not None:
                    self.suspicions.in_vain(other, package)
                    late.cancel()
            # First what is to come, which takes longest.
            self._reply(arrival)
            self._arrived(package, ask.index, ask.peer)
        else:
            self.counts.put(package.sha256, counted.came_wrong(ask.peer))
            self._spoiled(arrival, ask.peer, f"piece {ask.index} is not the signed one")

    def _spoiled(self, arrival: Arrival, peer: PeerName, what: str) -> None:
        if peer not in arrival.swarm.spoilers:
            # What it was asked for before may still come, and be wrong too.
            self.suspicions.spoiled(peer, arrival.package, what)
        arrival.swarm.spoiled(peer)
        self._missed(arrival.package)

    def _abandon(self, package: Package) -> None:
        """The package does not arrive any more; who waits for pieces of it is told."""
        arrival = self._gone(package)
        if arrival is not None:
            arrival.cancel()
            self._missed(package)

    def _gone(self, package: Package) -> Arrival | None:
        self.feeds.forget(package.sha256)
        self._hashed(package)
        return self._arrivals.pop(package.sha256, None)

    def _full(self, package: Package, full: StoreFull) -> None:
        self._abandon(package)
        self._not_before[package.sha256] = self._reactor.seconds() + FULL_PAUSE
        self._hindered(package, str(full))

    @deferred
    async def _finish(self, arrival: Arrival) -> None:
        package = arrival.package
        try:
            await arrival.assembly.finish()
        except StoreFull as full:
            self._full(package, full)
        except NotHere:
            # It was dropped meanwhile: it is not wanted any more, or is begun again.
            self._gone(package)
        except Damaged as damaged:
            # The pieces were right when they came: this disk changed them. Begin again, later.
            self._log.error("{file} did not survive on this disk: {why}", file=package.file, why=damaged)
            self._gone(package)
            self._not_before[package.sha256] = self._reactor.seconds() + PAUSE
        else:
            self._gone(package)
            came = str(self.counts.get(package.sha256))
            self._log.info("{file} is here: {came}", file=package.file, came=came)
            if not self._stopped:
                self._completed(package)
