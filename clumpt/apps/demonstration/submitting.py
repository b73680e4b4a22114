"""One submission of a demonstration: as C{clumpt install} does it, and watched closely (R57-R65)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from clumpt.aio import deferred, sleep
from clumpt.apps.demonstration.peers import Peers, Standing
from clumpt.apps.desk import Desk
from clumpt.apps.following import Watch, watch
from clumpt.apps.submitting import Plan, Submitter, make_plan
from clumpt.apps.verbs.install import offer
from clumpt.errors import DirectoryUnavailable
from clumpt.install.packages import read_package
from clumpt.model import Action, Entry, GroupName, PeerName
from clumpt.order import Order
from clumpt.progress import Picture
from clumpt.store.offered import Offered

#: Seconds between two looks at the peers, and at the directory.
LOOK, ASK = 0.1, 0.25


@frozen
class View:
    """
    How an update spreads, seen at one moment.

    @ivar seconds: since it was submitted.
    @ivar standing: what the peers know themselves, None if they cannot be asked.
    @ivar picture: what the directory knows, None at first.
    @ivar submitter: bytes that the submitter gave away.
    @ivar sent: bytes that each peer gave to others meanwhile; None if nobody can tell.
    """

    entry: Entry
    plan: Plan
    seconds: float
    standing: Standing | None
    picture: Picture | None
    submitter: int
    sent: Mapping[PeerName, int] | None


@define(eq=False)
class Spreading:
    """
    An update on its way.

    @ivar show: called with every view.
    """

    _desk: Desk
    _peers: Peers
    _show: Callable[[View], None]
    _submitter: Submitter
    _plan: Plan
    _entry: Entry
    _began: float
    _before: Mapping[PeerName, int]
    _picture: Picture | None = field(default=None, init=False)

    def view(self) -> View:
        """How it stands now."""
        sent = self._peers.sent()
        more = (
            {name: now - self._before.get(name, 0) for name, now in sent.items()}
            if sent is not None
            else None
        )
        return View(
            self._entry,
            self._plan,
            self._desk.reactor.seconds() - self._began,
            self._peers.standing(self._entry),
            self._picture,
            self._submitter.sent,
            more,
        )

    @deferred
    async def follow(self, within: float) -> View:
        """Look until nothing more will happen, or C{within} seconds are over; fires with the last view."""
        clock = self._desk.reactor
        watching = await watch(self._desk, self._entry.update, self._plan.targets)
        asked = 0.0
        while True:
            if clock.seconds() >= asked + ASK and self._worth_asking():
                await self._ask(watching)
                asked = clock.seconds()
            view = self.view()
            self._show(view)
            if view.seconds >= within or (self._picture is not None and self._picture.over):
                return view
            await sleep(clock, LOOK)

    def _worth_asking(self) -> bool:
        """May the directory know more than what was seen last?"""
        standing = self._peers.standing(self._entry)
        if standing is None or self._picture is None:
            return True
        return len(standing.settled) > sum(stand.over for stand in self._picture.peers.values())

    async def _ask(self, watching: Watch) -> None:
        try:
            self._picture = await watching.look()
        except DirectoryUnavailable as away:
            self._desk.screen.say(str(away))


@deferred
async def submit(
    desk: Desk, peers: Peers, path: Path, group: GroupName, within: float, show: Callable[[View], None]
) -> View:
    """
    Submit the package at C{path} to C{group}, and follow it for at most C{within} seconds.

    Fires with the last view; fails as C{clumpt install} does.
    """
    metadata = await desk.in_thread(read_package, path)
    offered = Offered()
    try:
        packages = await offer(desk, offered, [path], [metadata])
        order = Order(frozenset([group]), Action.INSTALL, metadata.installer, packages, why="clumpt demo")
        plan = await make_plan(desk, order)
        return await _carry_out(desk, peers, plan, offered, within, show)
    finally:
        offered.withdraw()


async def _carry_out(
    desk: Desk, peers: Peers, plan: Plan, offered: Offered, within: float, show: Callable[[View], None]
) -> View:
    submitter = Submitter(desk, plan, offered)
    before, began = dict(peers.sent() or {}), desk.reactor.seconds()
    seeding: Any = None
    try:
        await submitter.open()
        entry = await submitter.register()
        spreading = Spreading(desk, peers, show, submitter, plan, entry, began, before)
        seeding = submitter.seed(entry, within)
        view = await spreading.follow(within)
        await seeding
        return view
    finally:
        await submitter.close()
