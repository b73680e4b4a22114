"""
Peers that do harm with pieces, each in one way, on and on.

They hold everything, as after a break-in on a node that has long been a member.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred

from clumpt.errors import Busy, NotHere
from clumpt.interfaces import ILink
from clumpt.model import Package, PeerName, Seq
from clumpt.pieces import HASH, NONE, Bits, Digest, Round
from clumpt.protocols.limits import Limits
from clumpt.protocols.news import Holding
from clumpt.testing.liars import Liar, Vice

__all__ = [
    "Again",
    "Beyond",
    "Endless",
    "Hollow",
    "Longer",
    "OtherHashes",
    "OtherLength",
    "Promising",
    "Shorter",
]

#: The largest index that fits a message.
LARGEST_INDEX = 2**32 - 1
#: Seconds in which a peer is answered once.
SOON = 0.3
#: Misdeeds in one go.
MANY = 50
#: What honest programs keep to.
UNLIMITED = Limits(in_flight=1_000_000)


def ignored(asked: Deferred[Any]) -> None:
    """Whatever comes of it."""
    asked.addBoth(lambda _: None)


class _Holder(Vice):
    """
    One that boasts, and is believed: it gives true lists of hashes, and true pieces.

    @ivar answered: when each peer was last answered.
    """

    def __init__(self, liar: Liar) -> None:
        super().__init__(liar)
        self.answered: dict[PeerName, float] = {}

    def act(self, links: Sequence[ILink]) -> None:
        """Boast, and offer."""
        self.boast(links)
        for link in links:
            for package in self.packages():
                link.offer(package.sha256, self.random.randrange(package.pieces.count))

    def notified(self, link: ILink, envelopes: Sequence[bytes], holding: Collection[Seq], head: Seq) -> bool:
        """Boast at once of what is new."""
        self.answer(link)
        return False

    def holding_told(self, link: ILink, digest: Digest, raw: bytes) -> None:
        """And to whoever wants something."""
        self.answer(link)

    def answer(self, link: ILink) -> None:
        """Boast, but not to other liars, and not for ever."""
        now = self.liar.cluster.world.now
        honest = {machine.name for machine in self.liar.cluster.machines.values()}
        if link.peer in honest and now - self.answered.get(link.peer, -SOON) >= SOON:
            self.answered[link.peer] = now
            self.act([link])

    def contents(self, digest: Digest) -> tuple[Package, bytes]:
        """The package and its bytes."""
        package = next((one for one in self.packages() if one.sha256 == digest), None)
        if package is None:
            raise NotHere("no")
        return package, self.liar.cluster.contents[digest]

    def hashes_wanted(self, link: ILink, digest: Digest) -> Any:
        """The true ones."""
        package, data = self.contents(digest)
        pieces = package.pieces
        cut = [data[pieces.offset(index) :][: pieces.length(index)] for index in range(pieces.count)]
        return b"".join(sha256(piece).digest() for piece in cut)

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Any:
        """The true one."""
        package, data = self.contents(digest)
        if index >= package.pieces.count:
            # Another liar asks.
            raise NotHere("no")
        begin = package.pieces.offset(index)
        return data[begin : begin + package.pieces.length(index)]


class Beyond(_Holder):
    """Speaks of pieces that there are not: it has, offers, declines and wants them."""

    def act(self, links: Sequence[ILink]) -> None:
        """One of these, at random."""
        for link in links:
            for package in self.packages():
                beyond = self.random.choice([package.pieces.count, 100_000, LARGEST_INDEX])
                match self.random.randrange(4):
                    case 0:
                        link.have(package.sha256, Bits.of([min(beyond, 2**16 - 1)]), NONE)
                    case 1:
                        link.offer(package.sha256, beyond)
                    case 2:
                        link.decline(package.sha256, beyond)
                    case _:
                        ignored(link.piece(package.sha256, beyond, 100))


class Longer(_Holder):
    """Sends pieces with something behind them."""

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> bytes:
        """More than was asked for."""
        return bytes(super().piece_wanted(link, digest, index)) + b"more"


class Shorter(_Holder):
    """Sends the beginning of each piece."""

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> bytes:
        """Less than was asked for, or nothing."""
        data = bytes(super().piece_wanted(link, digest, index))
        return data[: self.random.choice([0, 1, len(data) - 1])]


class OtherLength(_Holder):
    """Tells what it holds in bit fields of another length, or with bits too many."""

    def act(self, links: Sequence[ILink]) -> None:
        """Tell."""
        for link in links:
            for package in self.packages():
                right = -(-package.pieces.count // 8)
                raw = self.random.choice([b"", bytes(right + 1), b"\xff" * 128, b"\xff" * right + b"\x01"])
                link._pair.update.send(Holding(package.sha256, raw))  # type: ignore[attr-defined] # wrong on purpose


class OtherHashes(_Holder):
    """Gives lists of hashes that are not those of the signed update."""

    def hashes_wanted(self, link: ILink, digest: Digest) -> bytes:
        """One bit is wrong, or the length, or all of it."""
        right = bytes(super().hashes_wanted(link, digest))
        return self.random.choice(
            [bytes([right[0] ^ 1]) + right[1:], right[:-HASH], b"", self.random.randbytes(len(right))]
        )


class Promising(_Holder):
    """Announces and offers everything, and when it is asked, does not have it, or has no time."""

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Any:
        """No, and offer it again."""
        for one in range(MANY):
            link.offer(digest, (index + one) % self.contents(digest)[0].pieces.count)
        raise Busy(3600.0) if self.random.random() < 0.5 else NotHere("no")


class Hollow(_Holder):
    """Announces and offers everything, and never answers."""

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Any:
        """Never."""
        return Deferred()


class Stuffing(_Holder):
    """Feeds whoever asks for it: one piece again and again, and wrong ones; or one that there is not."""

    def act(self, links: Sequence[ILink]) -> None:
        """Seem to want everything, as honest peers in the ring do."""
        for link in links:
            for package in self.packages():
                link.holding(package.sha256, package.pieces.count, NONE)

    def goes_round(self, link: ILink, digest: Digest, word: Round) -> None:
        """Gladly, and if it is to stop all the more."""
        package, data = self.contents(digest)
        pieces = package.pieces
        if self.random.random() < 0.5:
            link.fed(digest, pieces.count, data[: pieces.size])
            return
        for number in range(MANY):
            index = self.random.choice([0, 0, number % pieces.count])
            piece = data[pieces.offset(index) : pieces.offset(index) + pieces.size]
            link.fed(digest, index, self.random.choice([piece, piece, bytes(len(piece))]))


class _Asker(Vice):
    """
    Holds nothing, and asks.

    @ivar asked: how often.
    """

    asked: int = 0

    def want(self, link: ILink, package: Package) -> None:
        """Ask once more."""
        self.asked += 1


class Endless(_Asker):
    """Asks for everything, as fast as it can, whatever it is told."""

    def act(self, links: Sequence[ILink]) -> None:
        """Ask."""
        for link in links:
            for _ in range(MANY):
                for package in self.packages():
                    self.want(link, package)

    def want(self, link: ILink, package: Package) -> None:
        """Without waiting for answers: the code of honest peers would not send so many."""
        super().want(link, package)
        link._asking._limits = UNLIMITED  # type: ignore[attr-defined] # wrong on purpose
        ignored(link.hashes(package.sha256))
        ignored(link.piece(package.sha256, 0, package.pieces.length(0)))


class Again(_Asker):
    """Asks for one and the same piece for ever, politely."""

    def linked(self, link: ILink, head: int, top: Digest) -> None:
        """Begin."""
        self.act([link])

    def act(self, links: Sequence[ILink]) -> None:
        """One request under way on each link."""
        for link in links:
            for package in self.packages()[-1:]:
                link.holding(package.sha256, package.pieces.count, Bits())
                self.want(link, package)

    def want(self, link: ILink, package: Package) -> None:
        """Once more, as soon as it came."""
        super().want(link, package)
        link.piece(package.sha256, 0, package.pieces.length(0)).addCallbacks(
            lambda _: self.want(link, package), lambda _: None
        )
