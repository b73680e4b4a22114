"""What enters the update table, and what is said of the rest."""

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.chain import NAMED, Chain
from clumpt.interfaces import IJournal, IKeyring
from clumpt.model import Entry, PeerName
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.keys import Deployment
from clumpt.testing.memory_journal import MemoryJournal
from tests.test_table import CHAIN, ORIGIN, SITE


class ForkTests(SynchronousTestCase):
    """Two signed histories are proof that something is very wrong; which update it is, is said."""

    def setUp(self) -> None:
        self.deployment = Deployment()
        for _ in range(3):
            self.deployment.sign()
        self.chain = Chain(MemoryJournal(MemoryDisk(Random(1))), self.deployment.keyring())

    def take(self, *entries: Entry) -> list[dict[str, Any]]:
        """What is logged when these come one by one."""
        with capturedLogs() as logged:
            for entry in entries:
                self.chain.take([entry.envelope], PeerName("liar"))
        return [event for event in logged if event["log_level"].name == "critical"]

    def test_named(self) -> None:
        """Whether it comes last or first, the update that contradicts is named, once."""
        one, two, three = self.deployment.entries
        # Its place is that of update 3, its predecessor is not.
        other = self.deployment.submit_key.sign_update(self.deployment.update(seq=3))
        for order in ([one, two, three, other], [other, one, two, three]):
            self.setUp()
            [event] = self.take(*order)
            self.assertEqual((event["seq"], event["peer"], self.chain.forked), (3, "liar", True))


class BlameTests(SynchronousTestCase):
    """Who sends what is not good is named."""

    def test_bounded(self) -> None:
        """A liar that goes on does not fill the log, and does not hide another one."""
        chain = Chain(cast(IJournal, None), SITE.keyring())
        with capturedLogs() as logged:
            for _ in range(1000):
                chain.take([b"{}"], PeerName("liar"))
            chain.take([b"{}"], PeerName("other"))
        said = Counter(event["peer"] for event in logged)
        self.assertEqual(said, {"liar": NAMED + 1, "other": 1})


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
