"""
Who stands before this peer in the ring of a group (R73), and who next to it.

The one before us passes on to us what comes to it; the next one hears of what is new at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from random import Random

from attrs import define

from clumpt.agent.job import Agenda
from clumpt.agent.roster import Roster
from clumpt.graph import place_in_ring
from clumpt.interfaces import ILink
from clumpt.model import Entry, GroupName, Package, PeerName

#: Peers that hear at once of a new update.
EAGER = 3


@define(eq=False)
class Ring:
    """
    The rings of this peer's groups.

    @ivar groups: the groups of a linked peer, None if it is not linked.
    @ivar links: the open links.
    """

    _random: Random
    _roster: Roster
    _agenda: Agenda
    _groups: Callable[[PeerName], Collection[GroupName] | None]
    _links: Callable[[], Mapping[PeerName, ILink]]

    def nearest(self, package: Package) -> list[PeerName]:
        """
        The linked peers before us in the ring of those whom a package concerns, the nearest first.

        An update for several groups goes through several rings, which one submitter cannot feed: nobody.
        """
        for seq in self._agenda.users(package.sha256):
            return self.before(self._agenda.concerning()[seq], self._links())
        return []

    def before(self, entry: Entry, linked: Iterable[PeerName]) -> list[PeerName]:
        """Those of C{linked} whom C{entry} concerns, in that order."""
        if len(entry.update.groups) != 1:
            return []
        (group,) = entry.update.groups
        return self._around(entry, group, linked)

    def after(self, package: Package, peer: PeerName) -> list[PeerName]:
        """Who follows C{peer} in the ring of those whom a package concerns, linked or not; but for us."""
        settings = self._roster.settings
        for seq in self._agenda.users(package.sha256):
            groups = self._agenda.concerning()[seq].update.groups
            if settings is None or len(groups) != 1:
                return []
            (group,) = groups
            names = {peer, *self._roster.members(group)}
            order = sorted(names, key=lambda name: place_in_ring(settings.deployment, group, name))
            at = order.index(peer) + 1
            return [name for name in order[at:] + order[: at - 1] if name != self._roster.name]
        return []

    def first(self, entry: Entry, lacking: Sequence[PeerName]) -> Collection[PeerName]:
        """
        Whom of those who lack C{entry} to tell of it at once: some whom it concerns.

        One of them is the next one in the ring: so it comes to everybody, whomever chance forgets.
        """
        if len(lacking) <= EAGER:
            return lacking
        update = entry.update
        concerned = self.concerned(entry, lacking)
        mine = sorted(update.groups & self._roster.groups)
        following = self._around(entry, mine[0], concerned)[-1:] if mine else []
        others = [peer for peer in concerned if peer not in following]
        more = min(len(others), EAGER - len(following))
        return [*following, *self._random.sample(others, more)]

    def concerned(self, entry: Entry, peers: Iterable[PeerName]) -> list[PeerName]:
        """Those of C{peers}, which are linked, whom C{entry} concerns."""
        return [peer for peer in peers if entry.update.concerns(peer, self._groups(peer) or ())]

    def _around(self, entry: Entry, group: GroupName, linked: Iterable[PeerName]) -> list[PeerName]:
        """Those of C{linked} whom C{entry} concerns, from the one before us in the ring to the one after."""
        settings, me = self._roster.settings, self._roster.name
        if settings is None:
            return []
        places = {
            place_in_ring(settings.deployment, group, peer): peer for peer in self.concerned(entry, linked)
        }
        mine = place_in_ring(settings.deployment, group, me)
        order = sorted(places, reverse=True)
        return [places[at] for at in [*(at for at in order if at < mine), *(at for at in order if at > mine)]]
