"""What is told on the update lines: which pieces are here, and which are on their way (R32-R34)."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clumpt.agent.fetch import Fetcher
from clumpt.agent.known import Known
from clumpt.agent.serve import Server
from clumpt.model import Package, PeerName
from clumpt.pieces import NONE, Bits, Digest

#: Seconds for which news of pieces are gathered; but who sent a piece is told at once.
TELL = 0.4
#: Pieces that are told of sooner.
NEWS = 16
#: So many times less often is told of what comes along trees: hardly anybody has to ask for that.
SELDOM = 3
#: Pieces of a package that goes round, of which who sent them is told together, and seconds for that.
TOGETHER, AT_LEAST = 3, 0.1
#: Seconds between looks at what was not told yet.
REMIND = 0.2


@define(eq=False)
class Holdings:
    """
    Tells of the pieces of packages.

    @ivar known: the open links, and what is known of them.
    """

    _clock: IReactorTime
    _known: Mapping[PeerName, Known]
    _server: Server
    _fetcher: Fetcher
    #: Packages of which pieces came that were not told of yet.
    _untold: dict[Digest, Package] = field(factory=dict, init=False)
    _came: int = field(default=0, init=False)
    _telling: IDelayedCall | None = field(default=None, init=False)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._telling is not None and self._telling.active():
            self._telling.cancel()

    def say(self, peer: PeerName, package: Package) -> None:
        """Say once on a link what we hold of C{package}; changes follow."""
        known = self._known[peer]
        if package.sha256 not in known.told:
            known.saw(package.sha256, NONE)
            held = self._server.held(package)
            known.told[package.sha256] = held.value
            known.link.holding(package.sha256, package.pieces.count, held)

    def show(self, peer: PeerName, package: Package) -> None:
        """Tell C{peer} now what is here of a package, so that it is not sent, or is asked for."""
        known = self._known.get(peer)
        if known is not None:
            self.say(peer, package)
            self._tell(known, package, self._server.held(package))

    def arrived(self, package: Package, index: int, sender: PeerName) -> None:
        """A piece came: tell who sent it at once, and the others soon."""
        held, feeders = self._server.held(package), self._fetcher.feeds.feeders(package.sha256)
        # Not only the sender: whoever feeds us would send the same.
        for peer in dict.fromkeys([sender, *feeders]):
            self._acknowledge(peer, package, held.with_bit(index), sender in feeders)
        self._server.uplink.arrived(package, index)
        self._untold[package.sha256] = package
        self._came += 1
        if len(held) == package.pieces.count:
            self._tell_news(0.0)
        elif self._came >= NEWS:
            self._tell_news(TELL)
        if self._telling is None:
            self._telling = self._clock.callLater(REMIND, self._tell_in_time)

    def unrung(self, digest: Digest) -> None:
        """A package goes round no more: all who are linked are to know what is here of it."""
        package = self._server.package(digest)
        if package is not None:
            self._untold[digest] = package
            self._tell_news(0.0)

    def _acknowledge(self, peer: PeerName, package: Package, held: Bits, fed: bool) -> None:
        """Tell a sender what came; if it came by itself, of several pieces at a time."""
        known = self._known.get(peer)
        if known is None or package.sha256 not in known.told:
            return
        few = (held.value & ~known.told[package.sha256]).bit_count() < TOGETHER
        soon = self._clock.seconds() - known.told_at < AT_LEAST
        if not (fed and few and soon) or len(held) == package.pieces.count:
            self._tell(known, package, held)

    def _tell_in_time(self) -> None:
        self._telling = None
        if self._untold:
            self._tell_news(TELL)
        if self._untold:
            self._telling = self._clock.callLater(REMIND, self._tell_in_time)

    def _tell_news(self, since: float) -> None:
        """
        Tell those who said what they hold of a package what we hold of it by now.

        While it goes round only those who feed us need to know.

        @param since: who was told something of it in so many seconds has time.
        """
        news, self._untold, self._came = self._untold, {}, 0
        for digest, package in news.items():
            held, feeders = self._server.held(package), self._fetcher.feeds.feeders(digest)
            pushed = self._fetcher.feeds.pushes(digest)
            ring, often = feeders and not pushed, SELDOM if pushed else 1
            long_ago = self._clock.seconds() - (AT_LEAST if ring else since * often)
            for known in self._known.values() if held.value else ():
                if ring and known.link.peer not in feeders:
                    continue
                if digest in known.pieces and digest in known.told:
                    fresh = (held.value & ~known.told[digest]).bit_count()
                    if fresh and (known.told_at <= long_ago or fresh >= NEWS * often):
                        self._tell(known, package, held)
                    elif fresh:
                        self._untold[digest] = package

    def _tell(self, known: Known, package: Package, held: Bits) -> None:
        """Tell C{known} what came since it was last told, and what is to come."""
        digest = package.sha256
        fresh = held.value & ~known.told[digest]
        known.told[digest] |= held.value
        known.told_at = self._clock.seconds()
        known.link.have(digest, Bits(fresh), Bits(self._fetcher.expected(digest).value & ~held.value))
