"""
Care of the repository (H11): room for what comes, and a slow look at what lies
there.

What is dropped first was useful longest ago.  Never dropped: what an open
update needs, and what nobody else is known to hold while its update is live.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from clumpt.aio import deferred, unattended
from clumpt.interfaces import IRepository
from clumpt.model import Package, PeerName
from clumpt.pieces import Digest, digest_of

#: Above this share of the quota packages are dropped, down to the other share.
HIGH, LOW = 0.9, 0.8
#: Seconds between looks at one package after the other, so that the disk belongs to others.
SCRUB = 600.0


@frozen
class Held:
    """
    A whole package here.

    @ivar used: when it was last of use, by the clock; 0 for not since the start.
    @ivar open: does an open update of this peer need it?
    @ivar live: may some peer still want it?  Not if all its updates are withdrawn.
    @ivar kept: has this peer to keep it for the others?  See L{keeps}.
    """

    digest: Digest
    size: int
    used: float
    open: bool
    live: bool
    kept: bool

    @property
    def droppable(self) -> bool:
        """May it go?"""
        return not self.open and not (self.live and self.kept)


def keeps(peer: PeerName, others: Iterable[PeerName], digest: Digest) -> bool:
    """
    Is it for C{peer} to keep a package that C{others} are known to hold too?

    All who know of each other find the same keeper, so they cannot all drop it at the same time.
    """

    def rank(name: PeerName) -> Digest:
        return digest_of(f"{name} {digest}".encode())

    return all(rank(peer) <= rank(other) for other in others)


def to_drop(held: Collection[Held], excess: int) -> Sequence[Digest]:
    """
    What to drop to free C{excess} bytes, or as much of them as may be freed.

    What no peer wants any more goes first, then what was useful longest ago.
    """
    chosen: list[Digest] = []
    for one in sorted(
        (one for one in held if one.droppable), key=lambda one: (one.live, one.used, one.digest)
    ):
        if excess <= 0:
            break
        chosen.append(one.digest)
        excess -= one.size
    return chosen


@define(eq=False)
class Care:
    """
    Keeps the repository below its quota, and finds what the disk damaged.

    @ivar quota: bytes, 0 for no limit of our own.
    @ivar held: what is here now; is given when it was of use.
    """

    _reactor: IReactorTime
    _repository: IRepository
    _quota: int
    _held: Callable[[Mapping[Digest, float]], Collection[Held]]
    used: dict[Digest, float] = field(factory=dict, init=False)
    _hindrances: dict[Digest, str] = field(factory=dict, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _last: Digest = field(default=Digest(""), init=False)
    _log = Logger()

    def start(self) -> None:
        """Look at one package now and then."""
        self._timer = self._reactor.callLater(SCRUB, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def useful(self, package: Package) -> None:
        """C{package} is here, and was of use now."""
        self._hindrances.pop(package.sha256, None)
        self.used[package.sha256] = self._reactor.seconds()

    def hindered(self, package: Package, reason: str) -> None:
        """There is no room for C{package}: say so once, and make some."""
        if package.sha256 not in self._hindrances:
            self._log.error("{file} cannot be kept here: {reason}", file=package.file, reason=reason)
        self._hindrances[package.sha256] = reason
        self.make_room(package.size)

    @property
    def hindrance(self) -> str:
        """Why a package cannot be kept here; empty if none is hindered."""
        return next(iter(self._hindrances.values()), "")

    def tidy(self) -> None:
        """Drop what may go if the quota is nearly used up."""
        usage = self._repository.usage()
        if self._quota and usage > HIGH * self._quota:
            self.make_room(usage - int(LOW * self._quota))

    def make_room(self, size: int) -> None:
        """Drop what may go until C{size} bytes are free, or nothing more may go."""
        for digest in to_drop(self._held(self.used), size):
            self._log.info("dropping the package {digest}: others hold it, or nobody wants it", digest=digest)
            self._repository.drop(digest)
            self.used.pop(digest, None)

    def _look(self) -> None:
        self._timer = self._reactor.callLater(SCRUB, self._look)
        unattended(self.scrub(), self._log, "checking a package")

    @deferred
    async def scrub(self) -> None:
        """Hash the next package again; if it is damaged, the repository says so, and sets it aside."""
        digests = sorted(self._repository.digests())
        if not digests:
            return
        self._last = next((digest for digest in digests if digest > self._last), digests[0])
        await self._repository.check(self._last)
