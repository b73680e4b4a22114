"""Following an update until nothing more will happen by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import define, field

from clumpt.aio import deferred, sleep
from clumpt.apps.desk import Desk
from clumpt.apps.oneshot import Status
from clumpt.errors import BadDocument, DirectoryUnavailable, Untrusted
from clumpt.idset import IdSet
from clumpt.model import Peer, PeerName, PeerStatus, Seq, Settings, Update
from clumpt.progress import Picture, Retries, Target, picture, retries_among
from clumpt.trust.keyring import Keyring

#: Seconds between two looks at the directory, at least and at most.
SHORTEST, LONGEST = 1.0, 30.0
#: Seconds between two looks, as a multiple of what one took: following is to cost the directory little.
GENTLE = 20.0
#: Intervals of a peer that may pass without a report before it counts as silent.
MISSED = 3
#: Updates after the one looked at among which its retries are searched.
MOST_LATER = 10_000


def targets(peers: Iterable[Peer], settings: Settings, keyring: Keyring) -> list[Target]:
    """C{peers} as far as it matters for how updates stand on them."""
    return [_target(peer, settings, keyring) for peer in peers]


def _target(peer: Peer, settings: Settings, keyring: Keyring) -> Target:
    try:
        stated = keyring.member(peer.member).issued
    except (BadDocument, Untrusted):
        # Nobody will link to it, which its reports show soon enough.
        stated = 0
    interval = float(dict(peer.overrides).get("interval", settings.interval))
    return Target(peer.name, peer.groups, stated, max(60.0, MISSED * interval))


@define(eq=False)
class Watch:
    """
    Looks at one update again and again.

    @ivar update: which one.
    """

    _desk: Desk
    update: Update
    _targets: list[Target]
    _retries: Retries = field(factory=dict, init=False)
    _known: Seq = field(init=False)
    _later: list[Update] = field(factory=list, init=False)

    @_known.default
    def _update_itself(self) -> Seq:
        return self.update.seq

    @deferred
    async def look(self) -> Picture:
        """How the update stands now; fails as the directory does."""
        await self._read_later()
        names = [target.name for target in self._targets]
        statuses: Mapping[PeerName, PeerStatus] = await self._desk.directory.statuses(names)
        return picture(self.update, self._targets, statuses, self._retries, self._desk.wall())

    async def _read_later(self) -> None:
        head = min(await self._desk.directory.head(), self.update.seq + MOST_LATER)
        if head > self._known:
            later = await self._desk.entries(IdSet([(self._known + 1, head)]))
            self._later += [entry.update for entry in later.values()]
            self._retries, self._known = retries_among(self._later), head

    @property
    def withdrawn_by(self) -> Seq:
        """The update that withdraws this one, 0 for none."""
        return next((one.seq for one in self._later if self.update.seq in one.withdraws), 0)


@deferred
async def watch(desk: Desk, update: Update, peers: Iterable[Peer]) -> Watch:
    """A watch over C{update} on those of C{peers} whom it concerns."""
    concerned = [peer for peer in peers if update.concerns(peer.name, peer.groups)]
    return Watch(desk, update, targets(concerned, await desk.settings(), await desk.keyring()))


@deferred
async def follow(watch: Watch, desk: Desk, told: Callable[[Picture], None], within: float) -> Picture:
    """
    Look until nothing more will happen by itself, or C{within} seconds are over.

    @param told: called with each picture.

    Fires with the last picture; fails with L{DirectoryUnavailable} if the directory does not answer when the
    time is over.
    """
    end = desk.reactor.seconds() + within
    trouble = ""
    while True:
        begun = desk.reactor.seconds()
        try:
            seen = await watch.look()
        except DirectoryUnavailable as away:
            if desk.reactor.seconds() >= end:
                raise
            if not trouble:
                desk.screen.say(f"{away}; the update goes on spreading, and this goes on asking")
            trouble = str(away)
        else:
            trouble = ""
            told(seen)
            if seen.over or desk.reactor.seconds() >= end:
                return seen
        took = desk.reactor.seconds() - begun
        pause = min(LONGEST, max(SHORTEST, GENTLE * took))
        await sleep(desk.reactor, max(0.0, min(pause, end - desk.reactor.seconds())))


def ending(seen: Picture) -> Status:
    """What the exit status says about an update that stands like this."""
    if seen.failed:
        return Status.FAILED
    return Status.DONE if seen.over else Status.SPREADING
