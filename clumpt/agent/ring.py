"""Who stands before this peer in the ring of a group (R73): that peer passes on to us what comes to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import define

from clumpt.agent.job import Agenda
from clumpt.agent.roster import Roster
from clumpt.graph import place_in_ring
from clumpt.interfaces import ILink
from clumpt.model import Entry, GroupName, Package, PeerName


@define(eq=False)
class Ring:
    """
    The rings of this peer's groups.

    @ivar groups: the groups of a linked peer, None if it is not linked.
    @ivar links: the open links.
    """

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
        update, settings, me = entry.update, self._roster.settings, self._roster.name
        if settings is None or len(update.groups) != 1:
            return []
        (group,) = update.groups
        places = {
            place_in_ring(settings.deployment, group, peer): peer
            for peer in linked
            if update.concerns(peer, self._groups(peer) or ())
        }
        mine = place_in_ring(settings.deployment, group, me)
        order = sorted(places, reverse=True)
        return [places[at] for at in [*(at for at in order if at < mine), *(at for at in order if at > mine)]]
