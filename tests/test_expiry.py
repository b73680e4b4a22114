"""The near end of a certificate: said by a node, read by others."""

import os
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis.strategies import integers, text
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps.identity import Expiry
from clumpt.expiry import SOON, told, worry
from clumpt.trust.pki import Authority, Validity

NOW = 1_800_000_000.0
DAY = 86400.0


class WordsTests(SynchronousTestCase):
    """L{worry} and L{told}."""

    def test_soon(self) -> None:
        """A certificate is worth a word when its end is near, or was."""
        self.assertEqual(worry(NOW + SOON, NOW), "")
        self.assertEqual(worry(NOW + SOON - 1, NOW), "its certificate ends on 2027-02-14 07:59 UTC")
        self.assertEqual(worry(NOW - DAY, NOW), "its certificate ends on 2027-01-14 08:00 UTC")

    @given(integers(0, 2**33))
    def test_back(self, ends: int) -> None:
        """What was said is read to the minute."""
        self.assertEqual(told(worry(ends, ends)), ends // 60 * 60)

    @given(text())
    def test_else(self, reason: str) -> None:
        """No other reason is taken for it."""
        self.assertIsNone(told(reason))


class ExpiryTests(SynchronousTestCase):
    """L{Expiry} looks at the file."""

    def setUp(self) -> None:
        self.path, self.now = Path(self.mktemp()), NOW
        self.expiry = Expiry(self.path, lambda: self.now)
        self.authority = Authority.create("d-1", Validity(NOW, 3000.0))

    def issue(self, days: float, at: int) -> None:
        name: Any = "n1"
        self.path.write_bytes(self.authority.peer(name, ["localhost"], Validity(NOW, days)).certificate_pem)
        os.utime(self.path, (at, at))

    def test_ends(self) -> None:
        """It worries from a month before the end on, until the file is another."""
        self.issue(90.0, 1)
        self.assertEqual(self.expiry.worry(), "")
        self.now += 61 * DAY
        self.assertEqual(told(self.expiry.worry()), NOW + 90 * DAY)
        self.issue(900.0, 2)
        self.assertEqual(self.expiry.worry(), "")

    def test_unreadable(self) -> None:
        """A file that is missing, or being written just now, is nothing to worry about."""
        self.assertEqual(self.expiry.worry(), "")
        self.path.write_text("half a certificate")
        self.assertEqual(self.expiry.worry(), "")
