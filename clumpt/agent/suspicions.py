"""What the operator is told of peers that send wrong pieces, or none of those that they announce: bounded."""

from __future__ import annotations

from collections import Counter

from attrs import define, field
from twisted.logger import Logger

from clumpt.model import Package, PeerName, bearer

#: Requests in a row that bring nothing until a peer is named.
IN_VAIN = 8
#: Packages of which one peer sends wrong bytes that are named, until this peer is started anew.
NAMED = 16


@define(eq=False)
class Suspicions:
    """Names each peer once, or for the first packages, however long it goes on."""

    _vain: Counter[PeerName] = field(factory=Counter, init=False)
    _idle: set[PeerName] = field(factory=set, init=False)
    _wrong: Counter[PeerName] = field(factory=Counter, init=False)
    _log = Logger()

    def sent(self, peer: PeerName) -> None:
        """C{peer} sent a piece that it was asked for."""
        self._vain.pop(peer, None)

    def in_vain(self, peer: PeerName, package: Package) -> None:
        """C{peer} was asked for a piece, and it did not come from there in time."""
        self._vain[peer] += 1
        if self._vain[peer] == IN_VAIN and peer not in self._idle:
            self._idle.add(peer)
            self._log.warn(
                "{peer} is slow or does not send what it announces: {many} pieces were asked of it in vain,"
                " the last of {file}",
                peer=peer,
                many=IN_VAIN,
                file=package.file,
            )

    def spoiled(self, peer: PeerName, package: Package, what: str) -> None:
        """C{peer} sent something of C{package} that is not what was signed."""
        peer = bearer(peer)
        self._wrong[peer] += 1
        if self._wrong[peer] <= NAMED:
            self._log.error(
                "{peer} sent wrong bytes of {file}: {what}; it is not asked for it again",
                peer=peer,
                file=package.file,
                what=what,
            )
        if self._wrong[peer] == NAMED:
            self._log.error(
                "{peer} sent wrong bytes of {many} packages: no more are named", peer=peer, many=NAMED
            )
