"""Which packages are on their way at the same time: L{clumpt.agent.fetch}."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.fetch import AT_ONCE, FEW, SMALL, Fetcher
from clumpt.agent.fresh import Fresh
from clumpt.agent.rate import Bucket
from clumpt.interfaces import IRepository
from clumpt.model import Package
from clumpt.pieces import Bits
from clumpt.provenance import Origin
from tests.test_job import package


def packages(count: int, size: int) -> list[Package]:
    """So many packages of so many bytes."""
    made = [package(f"p{number}") for number in range(count)]
    return [evolve(one, pieces=evolve(one.pieces, total=size)) for one in made]


class WantTests(SynchronousTestCase):
    """A peer that is linked to nobody yet."""

    def setUp(self) -> None:
        assembly = SimpleNamespace(held=Bits(), needs_hashes=lambda: False)
        self.here: set[str] = set()
        repository = SimpleNamespace(
            assemble=lambda package: assembly, holds=lambda digest: digest in self.here
        )

        def nothing(*words: Any) -> None:
            pass

        self.fetcher = Fetcher(
            Clock(),
            Random(1),
            cast(IRepository, repository),
            Bucket(0),
            dict,
            nothing,
            nothing,
            nothing,
            nothing,
            nothing,
            lambda peer: Origin.GROUP,
            Fresh(),
        )

    def test_large(self) -> None:
        """Few large packages arrive at the same time, the first ones first."""
        wanted = packages(2 * FEW, SMALL)
        self.assertEqual(self.fetcher.want(wanted), wanted[:FEW])

    def test_small(self) -> None:
        """Many small ones do, in bounds."""
        wanted = packages(2 * AT_ONCE, 100)
        self.assertEqual(self.fetcher.want(wanted), wanted[:AT_ONCE])

    def test_together(self) -> None:
        """Small ones are no small matter when they are many bytes together."""
        wanted = packages(2 * AT_ONCE, SMALL // 20 + 1)
        self.assertEqual(len(self.fetcher.want(wanted)), 20)

    def test_others(self) -> None:
        """What is here is not fetched; what is not wanted any more makes room."""
        wanted = packages(4 * FEW, SMALL)
        self.here.add(wanted[0].sha256)
        self.assertEqual(self.fetcher.want(wanted), wanted[1 : FEW + 1])
        self.assertEqual(self.fetcher.want(wanted[2:]), [wanted[FEW + 1]])
        self.assertEqual(self.fetcher.arriving, wanted[2 : FEW + 2])
