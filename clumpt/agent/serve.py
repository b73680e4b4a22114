"""Gives packages to peers (R36): what is verified, or only what was installed (H4)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from clumpt.agent.rate import Bucket
from clumpt.aio import deferred, sleep
from clumpt.errors import Busy, NotHere
from clumpt.interfaces import ILink, IPieces
from clumpt.model import Package, PeerName
from clumpt.pieces import Bits, Digest

#: Requests of one peer that may wait for the upload limit; more are answered with Busy.
MOST_WAITING = 16


@define(eq=False)
class Server:
    """
    Answers requests for packages of the update table.

    @ivar served: may this package be given away yet?
    @ivar sent: bytes sent per peer.
    """

    _reactor: IReactorTime
    _pieces: IPieces
    upload: Bucket
    _served: Callable[[Package], bool]
    _packages: dict[Digest, Package] = field(factory=dict, init=False)
    _waiting: dict[PeerName, int] = field(factory=dict, init=False)
    sent: dict[PeerName, int] = field(factory=dict, init=False)

    def know(self, package: Package) -> None:
        """This package is in the table, so it may be asked for."""
        self._packages[package.sha256] = package

    def package(self, digest: Digest) -> Package | None:
        """The package of the table that has this digest."""
        return self._packages.get(digest)

    def held(self, package: Package) -> Bits:
        """The pieces that can be asked of us."""
        return self._pieces.held(package) if self._served(package) else Bits()

    def hashes(self, digest: Digest) -> bytes:
        """The piece hashes.  Raises L{clumpt.errors.NotHere}."""
        raw = self._pieces.hashes(self._known(digest))
        if raw is None:
            raise NotHere(f"no piece hashes of {digest}")
        return raw

    def piece(self, link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """One piece, as soon as the upload limit lets it go; fails as L{IPeerEvents} says."""
        return self._piece(link.peer, digest, index)

    @deferred
    async def _piece(self, peer: PeerName, digest: Digest, index: int) -> bytes:
        package = self._known(digest)
        if not 0 <= index < package.pieces.count or not self._served(package):
            raise NotHere(f"no piece {index} of {digest}")
        waiting = self._waiting.get(peer, 0)
        if waiting >= MOST_WAITING:
            raise Busy(1.0)
        data = self._pieces.read(package, index)
        if data is None:
            raise NotHere(f"no piece {index} of {digest}")
        if (pause := self.upload.take(len(data), self._reactor.seconds())) > 0:
            self._waiting[peer] = waiting + 1
            await sleep(self._reactor, pause)
            self._waiting[peer] -= 1
        self.sent[peer] = self.sent.get(peer, 0) + len(data)
        return data

    def _known(self, digest: Digest) -> Package:
        package = self._packages.get(digest)
        if package is None:
            raise NotHere(f"no package {digest} in the update table")
        return package
