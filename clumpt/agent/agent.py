"""
The local agent (R28): a loop that asks "what is missing here?".

Notifications, timers, the start and the directory only wake it (R48, R51).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from clumpt.agent.afterwards import Afterwards
from clumpt.agent.answers import Answers
from clumpt.agent.care import Care
from clumpt.agent.chain import Chain
from clumpt.agent.detour import Around
from clumpt.agent.feeds import Feeds
from clumpt.agent.fetch import Fetcher
from clumpt.agent.gossip import Gossip
from clumpt.agent.inventory import Inventory
from clumpt.agent.job import Agenda
from clumpt.agent.manners import Manners
from clumpt.agent.near import Near
from clumpt.agent.planter import Planter
from clumpt.agent.queue import Queue, interrupted
from clumpt.agent.rate import Bucket, minute_of_day
from clumpt.agent.recovery import verdicts
from clumpt.agent.report import Reporter, summarise
from clumpt.agent.ring import Ring
from clumpt.agent.roster import Roster
from clumpt.agent.serve import Server
from clumpt.agent.sources import Sources
from clumpt.agent.spread import Spread
from clumpt.agent.sync import DIRECTORY, Sync
from clumpt.aio import deferred, sleep, unattended
from clumpt.errors import DirectoryRefused, DirectoryUnavailable, IdentityError, StoreFull
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory, IInstaller, IJournal, IKeyring, INetwork, IRepository
from clumpt.model import Entry, GroupName, Package, PeerName, PeerStatus, Seq, State
from clumpt.pieces import Digest
from clumpt.places import Locality

#: Seconds between attempts to start without ever having read the directory.
START_PAUSE = 5.0


@define(eq=False)
class Agent:
    """
    One peer, in one piece: give it the rooms below, start it, stop it.

    @ivar wall: seconds since the epoch, to show.
    @ivar mended: given if the journal was lost; called once nothing can be run twice for it.
    @ivar worry: what is to be said of this node besides, if it is well otherwise; empty for nothing.
    """

    name: PeerName
    manners: Manners
    _reactor: IReactorTime
    _random: Random
    _wall: Callable[[], float]
    _directory: IDirectory
    _network: INetwork
    _journal: IJournal
    repository: IRepository
    _installer: IInstaller
    _keyring: IKeyring
    _mended: Callable[[], None] | None = None
    _worry: Callable[[], str] = lambda: ""
    chain: Chain = field(init=False)
    agenda: Agenda = field(init=False)
    roster: Roster = field(init=False)
    sources: Sources = field(init=False)
    ring: Ring = field(init=False)
    queue: Queue = field(init=False)
    reporter: Reporter = field(init=False)
    sync: Sync = field(init=False)
    server: Server = field(init=False)
    fetcher: Fetcher = field(init=False)
    spread: Spread = field(init=False)
    care: Care = field(init=False)
    _answers: Answers | None = field(default=None, init=False)
    #: Entries of the chain that are not in the journal yet, so nothing is done about them.
    _undone: list[Entry] = field(factory=list, init=False)
    #: Updates of which a package came that was not passed on yet.
    _came: list[Seq] = field(factory=list, init=False)
    _afterwards: Afterwards = field(init=False)
    #: Nothing is run or reported before it is known what may have been run already.
    _recovering: bool = field(default=False, init=False)
    _stopped: bool = field(default=False, init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        reactor, manners = self._reactor, self.manners
        self.chain = Chain(self._journal, self._keyring)
        self.agenda = Agenda(self.name, policies=lambda: self.roster.policies)
        self.roster = Roster(self.name, self._directory, self._journal, self._keyring)
        self.roster.locality = manners.locality
        self.sources = Sources(self.roster, self._journal, self._groups)
        self.ring = Ring(self._random, self.roster, self.agenda, self._groups, self._network.links)
        self.queue = Queue(
            reactor,
            self._wall,
            self.agenda,
            self._journal,
            self.repository,
            self._installer,
            self._keyring,
            self._changed,
        )
        self.reporter = Reporter(
            reactor, self._random, self._directory, self._journal, manners.report_delay, self.status
        )
        self.sync = Sync(
            reactor,
            self._random,
            self._directory,
            self._network,
            self.roster,
            self.chain,
            manners.jitter,
            manners.fanout,
            self.take,
            self._refreshed,
        )
        self.server = Server(
            reactor,
            self._random,
            self.repository,
            Bucket(manners.upload, manners.upload_hours, self._minute),
            False,
            self._network.links,
            self._served,
            lambda package: self.fetcher.expected(package.sha256),
            lambda digest: self.fetcher.wants(digest),
        )
        self.fetcher = Fetcher(
            reactor,
            self._random,
            self.repository,
            Bucket(manners.download, manners.download_hours, self._minute),
            self._network.links,
            lambda package, index, sender: self.spread.arrived(package, index, sender),
            self._completed,
            self.server.uplink.go_on,
            self.server.uplink.missed,
            self._hindered,
            self.sources.origin,
            self.server.fresh,
            Feeds(reactor, self._network.links, self.ring.nearest, self.sources.submits, self._unring),
            self.server.hashed,
            self.server.uplink.feeder.came,
        )
        self.behave(manners)
        feeder = self.server.uplink.feeder
        feeder.broken = self.fetcher.feeds.end
        if manners.locality is not Locality.NONE:
            self.server.uplink.near = self.fetcher.near = Near(self.name, self.roster.where)
        self.spread = Spread(
            reactor,
            self.agenda,
            Gossip(),
            self.server,
            self.fetcher,
            self._entry,
            self.sources.submits,
            self._widen,
            self.ring.first,
            self.ring.concerned,
        )
        feeder.detour = Around(reactor, self._network, self.roster, self.ring, self.spread.holdings.show)
        feeder.push.comes = self.fetcher.feeds.pushes
        Planter(reactor, self._network, feeder.push, self.roster.find, self.spread.announce)
        self._afterwards = Afterwards(reactor, self._pass_on, self._run_on)
        inventory = Inventory(self.name, self.repository, self.agenda, self.server, self.spread)
        self.care = Care(reactor, self.repository, manners.quota, inventory.held)
        # Whoever finds it, before it is run, given away, or in its turn: it is fetched again (H11).
        self.repository.damaged = self.spread.restore

    # Starting and stopping.

    @deferred
    async def start(self) -> None:
        """
        Restore, read the directory, listen, and begin (R29, R44-R47).

        Fires when the first report was sent or failed.  Fails with L{clumpt.errors.IdentityError} if
        this node is not what the directory says, with L{clumpt.errors.DirectoryRefused}, and as
        L{INetwork.start} does.  Without a directory a peer that never read it waits for it here.
        """
        self.chain.restore()
        self.agenda.states.update(self._journal.states())
        self.fetcher.counts.recall(self.sources.recall())
        await self._read_directory()
        if self._stopped:
            return
        self._regroup()
        if self._mended is not None:
            await self._recover(self._mended)
        answers = self._answers = Answers(
            self._keyring.deployment,
            self.chain,
            self.agenda,
            self.roster,
            self.sync,
            self.spread,
            self.server,
            self._installer,
            self.take,
        )
        await self._network.start(answers)
        self._network.keep(self.roster.neighbours())
        self.sync.start()
        self.care.start()
        self.queue.wake()
        self.spread.fetch()
        await self.reporter.send()

    async def _read_directory(self) -> None:
        while not self._stopped:
            try:
                await self.roster.refresh()
                return
            except (DirectoryUnavailable, DirectoryRefused, IdentityError) as trouble:
                # A directory that was set back may have an older statement of this peer than is known here.
                if (self.roster.enrolled or not isinstance(trouble, IdentityError)) and self.roster.restore():
                    self._log.warn("starting from what is known here: {trouble}", trouble=trouble)
                    self.sync.directory_trouble = str(trouble)
                    return
                if not isinstance(trouble, DirectoryUnavailable):
                    raise
                self._log.warn("waiting for the directory: {trouble}", trouble=trouble)
            await sleep(self._reactor, START_PAUSE)

    async def _recover(self, mended: Callable[[], None]) -> None:
        """The journal was lost: settle or hold what may have run, by what the directory knows."""
        self._recovering = True
        head = await self._directory.head()
        status = (await self._directory.statuses([self.name])).get(self.name)
        self.take(await self._directory.updates(IdSet.upto(head)), DIRECTORY)
        if self._undone:
            raise StoreFull("there is no room to mend the journal of this node: make some on its disk")
        for seq, outcome in list(verdicts(self.agenda, status, head)):
            self._journal.settle(seq, outcome, self._wall())
            self.agenda.mark(seq, outcome.state)
        self._regroup()
        mended()
        self._recovering = False

    @deferred
    async def stop(self) -> None:
        """End cleanly, whatever is under way; fires when all links are closed."""
        self._stopped = True
        self._afterwards.stop()
        self.sync.stop()
        self.care.stop()
        self.spread.stop()
        self.queue.stop()
        self.reporter.stop()
        await self._network.stop()

    def reload(self) -> None:
        """Read the directory anew, soon (SIGHUP, R67)."""
        self.sync.refresh_soon()

    def behave(self, manners: Manners) -> None:
        """Behave in another way from now on."""
        self.manners = manners
        up, down = self.server.uplink.rate, self.fetcher.download
        up.rate, up.hours = manners.upload, manners.upload_hours
        down.rate, down.hours = manners.download, manners.download_hours
        self.server.uplink.fanout = manners.fanout
        self.fetcher.feeds.choosy, self.fetcher.feeds.modest = manners.choosy, manners.modest

    # What changes here.

    def _regroup(self) -> None:
        table = self.chain.table.after(0)
        for entry in table:
            for package in entry.update.packages:
                self.server.know(package)
        self.agenda.regroup(self.roster.groups, table)
        for seq in self.agenda.open:
            if interrupted(self._journal.outcome(seq)):
                self.agenda.stuck.add(seq)

    def _refreshed(self) -> None:
        """The roster was read anew."""
        if self.roster.groups != self.agenda.groups:
            self._log.info("the groups of this peer are now {groups}", groups=sorted(self.roster.groups))
            self._regroup()
        if self._answers is not None:
            self._network.keep(self.roster.neighbours())
        self.take((), DIRECTORY)
        self.spread.fetch()
        self.queue.wake()
        self.reporter.answers()

    def take(self, envelopes: Sequence[bytes], sender: PeerName) -> list[Entry]:
        """Envelopes came: keep, pass on and act on what is new and good."""
        was_forked = self.chain.forked
        joined, good = self.chain.take(envelopes, sender)
        if self.chain.forked and not was_forked:
            self.queue.halt()
            self.reporter.wake()
        self.spread.notified(sender, good, ())
        if joined:
            # Passed on before it is on disk: whoever loses it asks for it again.
            # What the directory told, a submitter is about to: whoever tells now is asked for the package.
            self.spread.joined(joined, sender != DIRECTORY)
        self._undone += joined
        if self._undone and self.chain.save(joined):
            self.agenda.add(self._undone)
            self._undone = []
            if not self._recovering:
                self.spread.fetch()
                self.queue.wake()
                self.reporter.wake()
        self.spread.told(sender, good)
        return joined

    def _entry(self, seq: Seq) -> Entry | None:
        return self.chain.table[seq] if 1 <= seq <= self.chain.head else None

    def _changed(self, seq: Seq) -> None:
        self.reporter.wake()
        if self.agenda.states[seq].settled:
            if not self.fetcher.busy:
                # What comes makes room for the next.
                self.spread.fetch()
            if self.manners.serve_installed and self.agenda.states[seq] is State.DONE:
                self.spread.servable([seq])

    def _widen(self) -> None:
        if self._answers is not None:
            unattended(self.sync.widen(), self._log, "looking for more members")

    def _served(self, package: Package) -> bool:
        if not self.manners.serve_installed:
            return True
        users = self.agenda.users(package.sha256)
        return any(self.agenda.states[seq] is State.DONE for seq in users)

    def _unring(self, digest: Digest) -> bool:
        """A package is passed on by offers from now on; did it go round until now?"""
        self.spread.holdings.unrung(digest)
        self.fetcher.unring(digest)
        return self.server.uplink.unring(digest)

    def _groups(self, peer: PeerName) -> frozenset[GroupName] | None:
        return self._answers.groups(peer) if self._answers is not None else None

    def _minute(self) -> int:
        return minute_of_day(self._wall())

    def _completed(self, package: Package) -> None:
        """A package is here."""
        self.care.useful(package)
        self._came += self.agenda.came(package, lambda other: self.repository.holds(other.sha256))
        self._afterwards.came()

    def _pass_on(self) -> None:
        """Packages came: pass them on, and fetch what is next."""
        seqs, self._came = self._came, []
        self.spread.servable(seqs)
        self.spread.fetch()
        self.care.tidy()

    def _run_on(self) -> None:
        """Packages came a moment ago: run what is next."""
        self.queue.wake()
        self.sources.keep(self.fetcher.counts.newest())

    def _hindered(self, package: Package, reason: str) -> None:
        self.care.hindered(package, reason)
        self.reporter.wake()

    def status(self) -> PeerStatus:
        """What this peer says of itself now."""
        state, reason = "active", self.care.hindrance or self.sync.directory_trouble or self._worry()
        if self.sync.isolated and not self._network.links():
            state, reason = "isolated", "no member of its groups can be reached"
        if self.chain.forked:
            state, reason = "forked", "two histories were signed; nothing is run"
        return summarise(
            self.agenda,
            self.name,
            # Not what is not on disk yet, of which the agenda knows nothing.
            self.chain.head - len(self._undone),
            self._journal.outcome,
            self._journal.settled_at,
            state=state,
            reason=reason,
            seen=int(self._wall()),
            sources=self.fetcher.counts.newest(),
        )
