"""What a peer knows of the updates."""

from types import SimpleNamespace
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.chain import Chain
from clumpt.interfaces import IJournal, IKeyring
from clumpt.model import Entry, PeerName
from tests.test_table import CHAIN, ORIGIN, SITE


class TakeTests(SynchronousTestCase):
    """Envelopes come from neighbours."""

    def setUp(self) -> None:
        keyring = SITE.keyring()
        self.verified: list[bytes] = []

        def entry(envelope: bytes) -> Entry:
            self.verified.append(envelope)
            return keyring.entry(envelope)

        judge: Any = SimpleNamespace(origin=ORIGIN, entry=entry)
        self.chain = Chain(cast(IJournal, None), cast(IKeyring, judge))

    def test_verified_once(self) -> None:
        """The same update from many neighbours is verified once, and good from each of them."""
        envelope = CHAIN[0].envelope
        self.assertEqual(self.chain.take([envelope], PeerName("one")), ([CHAIN[0]], [1]))
        self.assertEqual(self.chain.take([envelope], PeerName("two")), ([], [1]))
        self.assertEqual(self.verified, [envelope])
