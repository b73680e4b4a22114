"""What waits to be sent, and for which links there is no room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, cast

from attrs import define, frozen

from clumpt.interfaces import ILink
from clumpt.model import Package, PeerName
from clumpt.pieces import Digest

#: Pieces that wait for one that is fed.
QUEUED = 2


@define(eq=False)
class Request:
    """
    A piece that is to go to a peer.

    @ivar read: its bytes; raises L{clumpt.errors.NotHere}.
    @ivar since: when it was asked for, by the clock.
    @ivar give: called with its bytes, when it is its turn; or C{fail} with why it is not sent.
    @ivar asked: did the peer ask for it?  Or is it fed.
    """

    peer: PeerName
    digest: Digest
    index: int
    read: Callable[[], bytes]
    length: int
    since: float
    give: Callable[[bytes], object]
    fail: Callable[[Exception], object]
    asked: bool = True


def unasked(
    peer: PeerName,
    package: Package,
    index: int,
    read: Callable[[PeerName, Package, int], bytes],
    links: Callable[[], Mapping[PeerName, ILink]],
    now: float,
) -> Request:
    """A piece for a peer that is fed; it goes over its link when it is its turn, and nobody waits for it."""

    def give(data: bytes) -> None:
        if (link := links().get(peer)) is not None:
            link.fed(package.sha256, index, data)

    length, nothing = package.pieces.length(index), lambda _: None
    return Request(
        peer, package.sha256, index, lambda: read(peer, package, index), length, now, give, nothing, False
    )


def unheard(
    link: ILink | None, sent: Mapping[PeerName, Mapping[tuple[Digest, int], float]], now: float
) -> tuple[float, float]:
    """
    Seconds since the oldest was sent over C{link} that was not shown to be there, and since it said anything.

    @param sent: when that was sent, by peer.
    """
    times = sent.get(link.peer) if link is not None else None
    return (now - min(times.values()), now - link.heard) if link is not None and times else (0.0, 0.0)


@frozen
class Full:
    """The peers on whose links there is no room for a piece."""

    _links: Mapping[PeerName, ILink]

    def __contains__(self, peer: object) -> bool:
        link = self._links.get(cast(PeerName, peer))
        return link is not None and link.full


class Queue(Protocol):
    """
    Where pieces wait until they may be sent: L{clumpt.agent.uplink.Uplink}.

    @ivar usual: seconds until a peer shows to have what it was sent, usually.
    """

    usual: float

    def queued(self, peer: PeerName) -> int:
        """How many pieces wait for C{peer}."""

    def queue(self, peer: PeerName, package: Package, index: int) -> None:
        """Let a piece wait that C{peer} did not ask for."""

    def spare(self, digest: Digest) -> None:
        """None of a package need be sent but what was asked for."""

    def waits(self, peer: PeerName | None) -> tuple[float, float]:
        """Seconds for which C{peer} does not show to have something that it was sent, or says nothing."""
