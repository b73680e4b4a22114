"""Gives packages to peers (R36): what is verified, or only what was installed (H4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from clumpt.agent.fresh import Fresh
from clumpt.agent.rate import Bucket
from clumpt.agent.taken import Taken
from clumpt.agent.uplink import Uplink
from clumpt.errors import BadDocument, Busy, NotHere
from clumpt.interfaces import ILink, IPieces
from clumpt.model import Package, PeerName
from clumpt.pieces import Bits, Digest, Round


@define(eq=False)
class Server:
    """
    Answers requests for packages of the update table.

    @ivar rate: the limit of what is sent in total.
    @ivar source: is this a submitter, which gives each piece away once?
    @ivar links: the open links.
    @ivar served: may this package be given away yet?
    @ivar expected: the pieces of a package that are on their way here.
    @ivar comes: is this package on its way here?
    @ivar sent: bytes sent per peer.
    """

    _reactor: IReactorTime
    _random: Random
    _pieces: IPieces
    _rate: Bucket
    _source: bool
    _links: Callable[[], Mapping[PeerName, ILink]]
    _served: Callable[[Package], bool]
    _expected: Callable[[Package], Bits] = lambda _: Bits()  # noqa: E731 - a submitter waits for nothing
    _comes: Callable[[Digest], bool] = lambda _: False  # noqa: E731 - nor for piece hashes
    #: Who waits for piece hashes.
    _hashless: dict[Digest, list[Deferred[bytes]]] = field(factory=dict, init=False)
    #: What came last.
    fresh: Fresh = field(factory=Fresh, init=False)
    uplink: Uplink = field(init=False)
    _packages: dict[Digest, Package] = field(factory=dict, init=False)
    sent: dict[PeerName, int] = field(factory=dict, init=False)
    #: When a package was last given to somebody, by the clock.
    used: dict[Digest, float] = field(factory=dict, init=False)
    _taken: Taken = field(factory=Taken, init=False)

    def __attrs_post_init__(self) -> None:
        self.uplink = Uplink(
            self._reactor,
            self._random,
            self._rate,
            self._source,
            self._links,
            self.held,
            self.soon,
            self._read,
        )

    def know(self, package: Package) -> None:
        """This package is in the table, so it may be asked for."""
        self._packages[package.sha256] = package

    def package(self, digest: Digest) -> Package | None:
        """The package of the table that has this digest."""
        return self._packages.get(digest)

    def held(self, package: Package) -> Bits:
        """The pieces that can be asked of us."""
        return self._pieces.held(package) if self._served(package) else Bits()

    def soon(self, package: Package) -> Bits:
        """The pieces that are on their way, and can be asked of us when they have come."""
        return self._expected(package) if self._served(package) else Bits()

    def hashes(self, digest: Digest) -> Deferred[bytes]:
        """
        The piece hashes, when they are here; raises L{clumpt.errors.NotHere}.

        Fires with them, or fails with L{clumpt.errors.NotHere} if they do not come.
        """
        raw = self._pieces.hashes(self._known(digest))
        if raw is not None:
            return succeed(raw)
        if not self._comes(digest):
            raise NotHere(f"no piece hashes of {digest}")
        waiting = self._hashless.setdefault(digest, [])
        answer: Deferred[bytes] = Deferred(waiting.remove)
        waiting.append(answer)
        return answer

    def hashed(self, package: Package) -> None:
        """The piece hashes came, or will not come: answer who waits for them."""
        raw, waiting = self._pieces.hashes(package), self._hashless.pop(package.sha256, [])
        while waiting:
            # What one does with it may be that another does not wait any more.
            answer = waiting.pop(0)
            if raw is not None:
                answer.callback(raw)
            else:
                answer.errback(NotHere(f"no piece hashes of {package.sha256}"))

    def piece(self, link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """
        One piece, when it is its turn.

        Raises L{clumpt.errors.NotHere} and L{clumpt.errors.Busy}, as L{IPeerEvents} says, and
        L{BadDocument} for a piece that there is not.
        """
        package = self._known(digest)
        _check(package, index, "asks for")
        if not self._can_give(package, index):
            raise NotHere(f"no piece {index} of {digest}")
        if (pause := self._taken.pause(link.peer, package, self._reactor.seconds())) > 0:
            raise Busy(pause)
        return self.uplink.ask(link.peer, package, index, lambda: self._read(link.peer, package, index))

    def goes_round(self, link: ILink, digest: Digest, word: Round) -> None:
        """C{link} wants to be sent what it lacks of a package as it comes here, or no more of it."""
        package = self._packages.get(digest)
        if package is not None and self._taken.pause(link.peer, package, self._reactor.seconds()) <= 0:
            self.uplink.goes_round(link.peer, digest, word)

    def declined(self, peer: PeerName, digest: Digest, index: int) -> None:
        """C{peer} does not want what was offered; raises L{BadDocument} for a piece that there is not."""
        package = self._packages.get(digest)
        if package is not None:
            _check(package, index, "declines")
            self.uplink.declined(peer, digest, index)

    def _can_give(self, package: Package, index: int) -> bool:
        return index in self.held(package) or index in self.soon(package)

    def _read(self, peer: PeerName, package: Package, index: int) -> bytes:
        data = self.fresh.get(package.sha256, index)
        if data is None:
            data = self._pieces.read(package, index)
        if data is None:
            raise NotHere(f"piece {index} of {package.sha256} is gone")
        self.sent[peer] = self.sent.get(peer, 0) + len(data)
        self._taken.took(peer, package, self._reactor.seconds())
        self.used[package.sha256] = self._reactor.seconds()
        return data

    def _known(self, digest: Digest) -> Package:
        package = self._packages.get(digest)
        if package is None:
            raise NotHere(f"no package {digest} in the update table")
        return package


def _check(package: Package, index: int, does: str) -> None:
    """Everybody knows how many pieces a package has: it is signed."""
    if not 0 <= index < package.pieces.count:
        raise BadDocument(f"it {does} piece {index} of {package.pieces.count} of {package.file}")
