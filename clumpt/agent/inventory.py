"""Which whole packages are here, and which of them may be dropped (H11)."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define

from clumpt.agent.care import Held, keeps
from clumpt.agent.job import Agenda
from clumpt.agent.serve import Server
from clumpt.agent.spread import Spread
from clumpt.interfaces import IRepository
from clumpt.model import PeerName
from clumpt.pieces import Digest


@define(eq=False)
class Inventory:
    """What is here, by what the parts of the agent know."""

    _name: PeerName
    _repository: IRepository
    _agenda: Agenda
    _server: Server
    _spread: Spread

    def held(self, useful: Mapping[Digest, float]) -> list[Held]:
        """
        The whole packages here.

        @param useful: when some were of use, by the clock.
        """
        return [self._look(digest, useful.get(digest, 0.0)) for digest in self._repository.digests()]

    def _look(self, digest: Digest, useful: float) -> Held:
        package, users = self._server.package(digest), self._agenda.users(digest)
        others = self._spread.holders(package) if package is not None else []
        return Held(
            digest,
            size=package.size if package is not None else 0,
            used=max(useful, self._server.used.get(digest, 0.0)),
            open=any(not self._agenda.states[seq].settled for seq in users),
            live=any(not self._agenda.withdrawn(seq) for seq in users),
            kept=keeps(self._name, others, digest),
        )
