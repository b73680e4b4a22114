"""Which packages are on their way at the same time: L{clumpt.agent.fetch}."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.arrival import AT_ONCE, FEW, SMALL, Arrival
from clumpt.agent.feeds import UNDER_WAY
from clumpt.agent.pauses import Pauses
from clumpt.agent.rate import Bucket
from clumpt.agent.serve import Server
from clumpt.agent.swarm import Swarm
from clumpt.errors import BadDocument, NotHere
from clumpt.interfaces import IAssembly
from clumpt.model import Package, PeerName
from clumpt.pieces import Bits, digest_of
from tests.fetching import a_fetcher
from tests.test_job import package


def packages(count: int, size: int) -> list[Package]:
    """So many packages of so many bytes."""
    made = [package(f"p{number}") for number in range(count)]
    return [evolve(one, pieces=evolve(one.pieces, total=size)) for one in made]


class WantTests(SynchronousTestCase):
    """A peer that is linked to nobody yet."""

    def setUp(self) -> None:
        self.here: set[str] = set()
        self.fetcher = a_fetcher(Clock(), dict, lambda digest: digest in self.here)

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

    def test_fed(self) -> None:
        """What is fed must be a piece of the package; of what nobody waits for, only so much may come."""
        (wanted,) = self.fetcher.want(packages(1, SMALL))
        link: Any = SimpleNamespace(peer="a")
        for index in (-1, wanted.pieces.count):
            self.assertRaises(BadDocument, self.fetcher.fed, link, wanted.sha256, index, b"")
        for _ in range(UNDER_WAY):
            self.fetcher.fed(link, digest_of(b"another"), 0, b"")
        self.assertRaises(BadDocument, self.fetcher.fed, link, digest_of(b"another"), 0, b"")


class StarvingTests(SynchronousTestCase):
    """A package of which no linked peer is known to hold anything."""

    def test_asking(self) -> None:
        """Who waits for the hashes of its pieces does not starve: the pieces may follow. Else it does."""
        (wanted,) = packages(1, SMALL)
        arrival = Arrival(wanted, Swarm(wanted.pieces.count, Random(1)), cast(IAssembly, SimpleNamespace()))
        self.assertTrue(arrival.starves)
        arrival.asking.add(PeerName("a"))
        self.assertFalse(arrival.starves)
        arrival.asking.clear()
        self.assertTrue(arrival.starves)
        arrival.swarm.learn(PeerName("a"), Bits(1))
        self.assertFalse(arrival.starves)


class HashesTests(SynchronousTestCase):
    """A peer that is asked for the hashes of pieces, which come later."""

    def setUp(self) -> None:
        self.raw: bytes | None = None
        self.comes = True
        pieces: Any = SimpleNamespace(hashes=lambda package: self.raw)
        self.server = Server(
            Clock(),
            Random(1),
            pieces,
            Bucket(0),
            False,
            dict,
            lambda _: True,
            comes=lambda digest: self.comes,
        )
        (self.package,) = packages(1, SMALL)
        self.server.know(self.package)

    def test_later(self) -> None:
        """It answers when it has them; who does not wait any more is not answered."""
        answers = [self.server.hashes(self.package.sha256) for _ in range(2)]
        answers[0].cancel()
        self.failureResultOf(answers[0], CancelledError)
        self.assertNoResult(answers[1])
        self.raw = b"hashes"
        self.server.hashed(self.package)
        self.assertEqual(self.successResultOf(answers[1]), b"hashes")
        self.assertEqual(self.successResultOf(self.server.hashes(self.package.sha256)), b"hashes")

    def test_while_answering(self) -> None:
        """One answer may be the reason why another is not wanted any more."""
        first, second = [self.server.hashes(self.package.sha256) for _ in range(2)]
        first.addCallback(lambda raw: second.cancel())
        self.raw = b"hashes"
        self.server.hashed(self.package)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_never(self) -> None:
        """It says so if they do not come."""
        answer = self.server.hashes(self.package.sha256)
        self.server.hashed(self.package)
        self.failureResultOf(answer, NotHere)
        self.comes = False
        self.assertRaises(NotHere, self.server.hashes, self.package.sha256)


class PausesTests(SynchronousTestCase):
    """Pauses before something is looked at again."""

    def test_bounded(self) -> None:
        """No more than so many are waited for at the same time, and none after the end."""
        clock, rang = Clock(), []
        pauses = Pauses(clock, 2)
        for number in range(3):
            pauses.after(1, rang.append, number)
        clock.advance(1)
        self.assertEqual(rang, [0, 1])
        pauses.after(1, rang.append, 3)
        pauses.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
