"""Pulls what is missing: the guarantee behind the notifications (R29, R47-R51, R76, R77, H13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from attrs import define, field
from twisted.internet.defer import DeferredList, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from clumpt.agent.chain import Chain
from clumpt.agent.roster import Roster
from clumpt.aio import deferred, unattended
from clumpt.errors import ClumptError, DirectoryRefused, DirectoryUnavailable
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory, ILink, INetwork
from clumpt.model import Address, Entry, PeerName

#: The sender of what came from the directory; no peer can have this name.
DIRECTORY = PeerName("the directory")
#: Updates asked of the directory at a time.
PAGE = 200
#: Seconds in which a peer gives a page of the table, or somebody else is asked.
PATIENCE = 5.0
#: Seconds between two readings of the directory that peers may cause.
REFRESH_AT_LEAST = 1.0
#: Seconds between two searches for more members that hold what is needed.
WIDEN_AT_LEAST = 5.0


@define(eq=False)
class Sync:
    """
    Keeps the table in step: at every link, at every hint, and once an interval.

    @ivar took: called with the envelopes of a page and where it came from; returns the entries that joined.
    @ivar refreshed: called when the roster was read anew.
    @ivar isolated: nobody could be reached in the last round, though there are others (R77).
    """

    _reactor: IReactorTime
    _random: Random
    _directory: IDirectory
    _network: INetwork
    _roster: Roster
    _chain: Chain
    _jitter: float
    _fanout: int
    _took: Callable[[Sequence[bytes], PeerName], list[Entry]]
    _refreshed: Callable[[], None]
    isolated: bool = field(default=False, init=False)
    directory_trouble: str = field(default="", init=False)
    _pulling: bool = field(default=False, init=False)
    _disappointing: set[PeerName] = field(factory=set, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _refresh_timer: IDelayedCall | None = field(default=None, init=False)
    _wide_until: float = field(default=0.0, init=False)
    _stopped: bool = field(default=False, init=False)
    _log = Logger()

    def start(self) -> None:
        """
        Begin with the first round, a moment after the links had time to open.

        It reads the directory once more, as nobody could tell us of what changed there meanwhile.
        """
        self._later(min(2.0, self._roster.interval))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True
        for timer in (self._timer, self._refresh_timer):
            if timer is not None and timer.active():
                timer.cancel()

    def _later(self, seconds: float) -> None:
        if not self._stopped:
            spread = self._random.uniform(1 - self._jitter, 1 + self._jitter)
            self._timer = self._reactor.callLater(seconds * spread, self._begin)

    def _begin(self) -> None:
        unattended(self._tick(), self._log, "a round of synchronisation")

    def consider(self) -> None:
        """Pull from the link that knows most, if it knows more than we do."""
        if self._pulling or self._stopped:
            return
        ahead = [
            (-link.head, self._random.random(), link)
            for link in self._network.links().values()
            if link.head > self._chain.head and link.peer not in self._disappointing
        ]
        if ahead:
            unattended(self._follow(min(ahead)[2]), self._log, "pulling the update table")

    @deferred
    async def _follow(self, link: ILink) -> None:
        self._pulling = True
        try:
            if not await self._pull(link):
                self._disappointing.add(link.peer)
        finally:
            self._pulling = False
        self.consider()

    async def _pull(self, link: ILink) -> bool:
        """Take page after page from C{link}; False if it failed or did not bring what it promised."""
        try:
            while not self._stopped:
                page = await link.table(self._chain.known).addTimeout(PATIENCE, self._reactor)
                if not page or self._stopped:
                    break
                if not self._took(page, link.peer):
                    return False
        except (ClumptError, TimeoutError) as trouble:
            self._log.debug("no update table from {peer}: {trouble}", peer=link.peer, trouble=trouble)
            return False
        return bool(link.head <= self._chain.head)

    def refresh_soon(self) -> None:
        """Somebody says that the directory has news for us (R67)."""
        if not self._stopped and (self._refresh_timer is None or not self._refresh_timer.active()):
            self._refresh_timer = self._reactor.callLater(
                REFRESH_AT_LEAST,
                lambda: unattended(self.refresh(), self._log, "reading the directory"),
            )

    @deferred
    async def refresh(self) -> None:
        """Read the directory; if it is away, what was known stays (R8)."""
        try:
            await self._roster.refresh()
            gone = await self._roster.dismissed(list(self._network.links()))
        except ClumptError as trouble:
            self._troubled("cannot take in what the directory says: {trouble}", trouble)
            return
        self.directory_trouble = ""
        if self._stopped:
            return
        links = self._network.links()
        for peer in gone:
            if peer in links:
                self._log.info("{peer} was removed from the directory: closing its link", peer=peer)
                links[peer].close()
        self._refreshed()

    @deferred
    async def _tick(self) -> None:
        self._disappointing.clear()
        try:
            await self.refresh()
            await self._round()
            await self._ask_directory()
        finally:
            # Whatever happened: without the next round nothing is guaranteed any more (H13).
            self._later(self._roster.interval)

    async def _round(self) -> None:
        """One round: a neighbour at random (R50), else any member of our groups (R76), else nobody (R77)."""
        if await self._try(self._roster.neighbours(), first=1):
            return
        await self._roster.read_members()
        if await self._try(self._roster.members(), first=self._fanout):
            return
        isolated = bool(self._roster.members())
        if isolated and not self.isolated:
            self._log.warn(
                "isolated: no member of {groups} can be reached", groups=sorted(self._roster.groups)
            )
        self.stands(isolated)

    def stands(self, isolated: bool) -> None:
        """Nobody can be reached, or somebody is: if that is new, the directory is told soon (R77)."""
        if isolated is not self.isolated:
            self.isolated = isolated
            self.refresh_soon()

    async def _try(self, addresses: Mapping[PeerName, Sequence[Address]], first: int) -> bool:
        names = sorted(addresses)
        self._random.shuffle(names)
        size = first
        while names and not self._stopped:
            batch, names = names[:size], names[size:]
            answers = await DeferredList([self._visit(peer, addresses[peer]) for peer in batch])
            if any(answer for _, answer in answers):
                self.stands(False)
                return True
            size = self._fanout
        return False

    @deferred
    async def _visit(self, peer: PeerName, addresses: Sequence[Address]) -> bool:
        try:
            link = await self._network.dial(peer, addresses)
        except ClumptError as trouble:
            self._log.debug("cannot reach {peer}: {trouble}", peer=peer, trouble=trouble)
            return False
        await self._pull(link)
        return True

    @deferred
    async def widen(self) -> None:
        """Open links to some more members of our groups, at most once in a while (R52, H12)."""
        if self._reactor.seconds() < self._wide_until or self._stopped:
            return
        self._wide_until = self._reactor.seconds() + WIDEN_AT_LEAST
        await self._roster.read_members()
        members, links = self._roster.members(), self._network.links()
        others = sorted(name for name in members if name not in links)
        self._random.shuffle(others)
        await DeferredList([self._visit(name, members[name]) for name in others[: self._fanout]])

    async def _ask_directory(self) -> None:
        """A submitter may have died after it registered an update, before it told anybody."""
        try:
            head = await self._directory.head()
            while self._chain.head < head and not self._stopped:
                ids = IdSet([(self._chain.head + 1, min(head, self._chain.head + PAGE))])
                page = await self._directory.updates(ids)
                if self._stopped or not self._took(page, DIRECTORY):
                    return
        except (DirectoryUnavailable, DirectoryRefused) as trouble:
            self._troubled("cannot read the updates in the directory: {trouble}", trouble)

    def _troubled(self, text: str, trouble: ClumptError) -> None:
        """The directory did not do what was asked of it, unless this peer closed it itself."""
        if not self._stopped:
            self.directory_trouble = str(trouble)
            self._log.warn(text, trouble=trouble)
