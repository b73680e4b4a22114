"""What waits to be sent without being asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.waiting import unasked
from clumpt.errors import Busy
from tests.test_feeding import PACKAGE
from tests.test_offers import A


class UnaskedTests(SynchronousTestCase):
    """A piece for a peer that is fed."""

    def setUp(self) -> None:
        self.fed: list[Any] = []
        self.links: dict[Any, Any] = {A: SimpleNamespace(fed=lambda *words: self.fed.append(words))}
        self.request = unasked(A, PACKAGE, 3, lambda *_: b"data", lambda: self.links, 0.0)

    def test_given(self) -> None:
        """It goes over the peer's link."""
        self.request.give(self.request.read())
        self.assertEqual(self.fed, [(PACKAGE.sha256, 3, b"data")])

    def test_unlinked(self) -> None:
        """If that ended a moment ago, it goes nowhere."""
        del self.links[A]
        self.request.give(b"data")
        self.assertEqual(self.fed, [])

    def test_failed(self) -> None:
        """If it is not sent, nobody need hear of it."""
        self.request.fail(Busy(1.0))
        self.assertEqual(self.fed, [])
