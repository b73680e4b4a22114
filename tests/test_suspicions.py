"""Peers that take too much, or send nothing: L{clumpt.agent.taken} and L{clumpt.agent.suspicions}."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.serve import Server
from clumpt.agent.suspicions import IN_VAIN, NAMED, Suspicions
from clumpt.agent.taken import COPIES, PERIOD, REMEMBERED, Taken
from clumpt.errors import BadDocument, Busy
from clumpt.interfaces import ILink
from clumpt.model import PeerName
from clumpt.pieces import SMALLEST, Bits, Pieces, digest_of
from tests.test_job import package

A, B = PeerName("a"), PeerName("b")
#: Of three pieces.
PACKAGE = evolve(package("large"), pieces=Pieces(3 * SMALLEST, SMALLEST, digest_of(b"large")))


class TakenTests(SynchronousTestCase):
    """The same package again and again."""

    def setUp(self) -> None:
        self.taken = Taken()

    def take(self, peer: PeerName, pieces: int, now: float = 0.0) -> None:
        for _ in range(pieces):
            self.taken.took(peer, PACKAGE, now)

    def test_enough(self) -> None:
        """Some copies may be taken; then one must wait until the hour is over, and is named once."""
        with capturedLogs() as logged:
            self.take(A, 3 * COPIES - 1)
            self.assertEqual(self.taken.pause(A, PACKAGE, 10.0), 0)
            self.take(A, 1)
            for _ in range(100):
                self.assertEqual(self.taken.pause(A, PACKAGE, 10.0), PERIOD - 10)
        self.assertEqual([formatEvent(event) for event in logged], [
            f"a took large.deb {COPIES} times within an hour: it gets no more of it for a while",
        ])  # fmt: skip
        self.assertEqual(self.taken.pause(A, PACKAGE, PERIOD), 0)
        self.take(A, 1, PERIOD)
        self.assertEqual(self.taken.pause(A, PACKAGE, PERIOD), 0)

    def test_others(self) -> None:
        """Nobody else waits, nor does who takes something else."""
        self.take(A, 3 * COPIES)
        self.assertEqual(self.taken.pause(B, PACKAGE, 0.0), 0)
        self.assertEqual(self.taken.pause(A, package("another"), 0.0), 0)

    def test_bounded(self) -> None:
        """So many are remembered, and no more."""
        for number in range(REMEMBERED + 5):
            self.taken.took(PeerName(f"p{number}"), PACKAGE, 0.0)
        self.assertEqual(len(self.taken._counts), REMEMBERED)


class ServerTests(SynchronousTestCase):
    """What the server of packages refuses."""

    def setUp(self) -> None:
        self.clock = Clock()
        held = SimpleNamespace(held=lambda one: Bits.full(3), read=lambda one, index: b"data")
        self.server = Server(
            self.clock, cast(Any, None), cast(Any, held), cast(Any, None), False, dict, lambda one: True
        )
        self.asked: list[Any] = []
        self.server.uplink = cast(
            Any,
            SimpleNamespace(
                ask=lambda peer, one, index, read: read(), declined=lambda *words: self.asked.append(words)
            ),
        )
        self.server.know(PACKAGE)

    def want(self, index: int) -> Any:
        return self.server.piece(cast(ILink, SimpleNamespace(peer=A)), PACKAGE.sha256, index)

    @given(st.integers(3, 2**32 - 1))
    def test_index(self, index: int) -> None:
        """There is no piece beyond the last one: it costs nothing to say so, however large the number is."""
        self.assertRaises(BadDocument, self.want, index)
        self.assertRaises(BadDocument, self.server.declined, A, PACKAGE.sha256, index)
        self.assertEqual(self.asked, [])

    def test_declined(self) -> None:
        """A refusal gets through; one of a package that is not known here means nothing."""
        self.server.declined(A, PACKAGE.sha256, 2)
        self.server.declined(A, digest_of(b"what"), 2**32 - 1)
        self.assertEqual(self.asked, [(A, PACKAGE.sha256, 2)])

    def test_again(self) -> None:
        """Who takes the same piece again and again is told to wait."""
        for _ in range(3 * COPIES):
            self.assertEqual(self.want(1), b"data")
        self.assertRaises(Busy, self.want, 1)
        self.clock.advance(PERIOD)
        self.assertEqual(self.want(1), b"data")


class SuspicionTests(SynchronousTestCase):
    """What the operator hears."""

    def setUp(self) -> None:
        self.suspicions = Suspicions()

    def test_in_vain(self) -> None:
        """Who sends nothing for long is named once; a piece in between proves the contrary."""
        with capturedLogs() as logged:
            for _ in range(10):
                for _ in range(IN_VAIN - 1):
                    self.suspicions.in_vain(A, PACKAGE)
                self.suspicions.sent(A)
            self.assertEqual(len(logged), 0)
            for _ in range(5):
                for _ in range(3 * IN_VAIN):
                    self.suspicions.in_vain(A, PACKAGE)
                self.suspicions.sent(A)
            self.suspicions.in_vain(B, PACKAGE)
        self.assertEqual([event["peer"] for event in logged], ["a"])
        self.assertIn("a is slow or does not send what it announces", formatEvent(logged[0]))

    def test_wrong(self) -> None:
        """A liar that spoils one package after the other does not fill the log, and hides no other."""
        with capturedLogs() as logged:
            for _ in range(1000):
                self.suspicions.spoiled(A, PACKAGE, "piece 1 is not the signed one")
            self.suspicions.spoiled(B, PACKAGE, "piece 1 is not the signed one")
        self.assertEqual([event["peer"] for event in logged].count("a"), NAMED + 1)
        self.assertEqual(logged[-1]["peer"], "b")
