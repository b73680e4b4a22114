"""From whom this peer's packages came: the kinds of senders, and what is told of them after a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from attrs import define
from twisted.logger import Logger

from clumpt.agent.roster import Roster
from clumpt.errors import StoreFull
from clumpt.interfaces import IJournal
from clumpt.model import GroupName, PeerName
from clumpt.pieces import Digest
from clumpt.provenance import Origin, Provenance, Source

#: Where the journal keeps it.
_KEY = "sources"


@define(eq=False)
class Sources:
    """
    What kind of sender a peer is, and what was told of the newest packages.

    @ivar groups: the groups of a peer that is or was linked, None if it never was.
    """

    _roster: Roster
    _journal: IJournal
    _groups: Callable[[PeerName], frozenset[GroupName] | None]
    _log = Logger()

    def origin(self, peer: PeerName) -> Origin:
        """What kind of sender C{peer} is to this one."""
        if self._roster.beside(peer):
            return Origin.RACK
        groups = self._groups(peer)
        if groups is None:
            return Origin.OTHER
        if not groups:
            # Who belongs to no group is a tool, and of these only a submitter has packages.
            return Origin.SUBMITTER
        return Origin.OTHER if groups.isdisjoint(self._roster.groups) else Origin.GROUP

    def submits(self, peer: PeerName) -> bool:
        """Is C{peer} a submitter?"""
        return self.origin(peer) is Origin.SUBMITTER

    def keep(self, told: Sequence[Source]) -> None:
        """Write down what is told, so that a restart does not take it back."""
        plain = {digest: provenance.encode() for digest, provenance in told}
        try:
            self._journal.cache(_KEY, json.dumps(plain).encode(), lazily=True)
        except StoreFull as full:
            self._log.warn("cannot keep where packages came from: {full}", full=full)

    def recall(self) -> Mapping[Digest, Provenance]:
        """What L{keep} wrote last, the newest package last."""
        raw = self._journal.cached(_KEY)
        plain = json.loads(raw) if raw is not None else {}
        return {Digest(digest): Provenance.parse(text) for digest, text in plain.items()}
