"""A fetcher without a peer around it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from clumpt.agent.feeds import Feeds
from clumpt.agent.fetch import Fetcher
from clumpt.agent.fresh import Fresh
from clumpt.agent.rate import Bucket
from clumpt.pieces import Bits, Digest
from clumpt.provenance import Origin


def a_fetcher(clock: Clock, links: Callable[[], Any], holds: Callable[[Digest], bool]) -> Fetcher:
    """One that tells nobody of anything; whatever comes is right, and nothing is fed."""

    def nothing(*words: Any) -> None:
        pass

    assembly = SimpleNamespace(
        held=Bits(), needs_hashes=lambda: False, put=lambda index, data: True, finish=lambda: succeed(None)
    )
    # Any: nothing else of a repository is used.
    repository: Any = SimpleNamespace(assemble=lambda package: assembly, holds=holds)
    return Fetcher(
        clock,
        Random(1),
        repository,
        Bucket(0),
        links,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        lambda peer: Origin.GROUP,
        Fresh(),
        Feeds(Clock(), dict, lambda package: [], lambda peer: False, lambda digest: False),
        nothing,
        nothing,
    )
