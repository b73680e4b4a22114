"""How a peer behaves, towards the other peers and on its own node."""

from __future__ import annotations

from attrs import frozen

from clumpt.hours import Hours
from clumpt.places import Locality
from clumpt.trees import TREES


@frozen
class Manners:
    """
    How a peer behaves; from its configuration.

    @ivar serve_installed: give a package away only after it was installed here (R54, H4).
    @ivar jitter: share by which periodic synchronisation is spread, 0 <= jitter < 1.
    @ivar report_delay: seconds over which changes are gathered into one report.
    @ivar fanout: peers served at once, and dialled at once when neighbours fail.
    @ivar upload: bytes per second given in total, 0 for no limit; likewise C{download}.
    @ivar upload_hours: other rates at some hours of the day; likewise C{download_hours}.
    @ivar locality: what tells which peers are near; these are preferred.
    @ivar quota: bytes that the repository may take, 0 for no limit.
    """

    serve_installed: bool = False
    jitter: float = 0.2
    report_delay: float = 1.0
    fanout: int = 10
    upload: float = 0.0
    download: float = 0.0
    upload_hours: Hours = Hours()
    download_hours: Hours = Hours()
    quota: int = 0
    locality: Locality = Locality.NONE

    @property
    def choosy(self) -> bool:
        """Does it matter to this peer what comes from where, and when?"""
        limited = bool(self.download or self.download_hours.spans)
        return limited or self.locality is not Locality.NONE

    @property
    def modest(self) -> bool:
        """Does this peer not pass on at once what comes, to some others, as fast as it comes?"""
        limited = bool(self.upload or self.upload_hours.spans)
        return limited or self.serve_installed or self.fanout < TREES
