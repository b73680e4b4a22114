"""The way round a peer that does not keep up with what it is fed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.detour import SOON, TRIES, Around
from clumpt.errors import PeerUnreachable
from clumpt.model import PeerName
from clumpt.pieces import Round
from tests.test_feeding import PACKAGE

SLOW = PeerName("slow")


class AroundTests(SynchronousTestCase):
    """Five peers follow the slow one."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[tuple[str, Any]] = []
        self.looks = True
        self.off: set[PeerName] = set()
        after = [PeerName(f"n{number}") for number in range(5)]
        network: Any = SimpleNamespace(dial=self.dial, links=lambda: {SLOW: self.link(SLOW)})
        roster: Any = SimpleNamespace(
            read_members=lambda: succeed(None), members=lambda: dict.fromkeys(after, [("10.0.0.1", 1)])
        )
        ring: Any = SimpleNamespace(after=lambda package, peer: after if peer == SLOW else [])
        self.around = Around(
            self.clock, network, roster, ring, lambda peer, package: self.said.append((peer, "shown"))
        )

    def link(self, peer: PeerName) -> Any:
        return SimpleNamespace(feed=lambda digest, word, size: self.said.append((peer, word)))

    def dial(self, peer: PeerName, addresses: Any) -> Deferred[Any]:
        return fail(PeerUnreachable(peer)) if peer in self.off else succeed(self.link(peer))

    def find(self) -> None:
        self.around.find(PACKAGE, SLOW, lambda: self.looks)

    def test_next(self) -> None:
        """The next one hears what is here, and that it can be fed; nobody else, if it asks to be."""
        self.find()
        self.assertEqual(self.said, [("n0", "shown"), ("n0", Round.INSTEAD)])
        self.looks = False
        self.clock.advance(SOON)
        self.assertEqual(len(self.said), 2)

    def test_others(self) -> None:
        """If it does not ask, or cannot be reached, another one is tried a moment later; a few in all."""
        self.off.add(PeerName("n1"))
        self.find()
        self.clock.pump([SOON / 2] * 20)
        invited = [peer for peer, word in self.said if word is Round.INSTEAD]
        self.assertEqual(invited, ["n0", *[f"n{number}" for number in range(2, TRIES)]])

    def test_not_any_more(self) -> None:
        """Who can be reached only when nobody is looked for any more is not invited."""
        self.looks = False
        self.find()
        self.assertEqual(self.said, [])

    def test_left_out(self) -> None:
        """The slow one hears that it is left out, if it is still linked."""
        self.around.leave_out(PACKAGE.sha256, SLOW)
        self.around.leave_out(PACKAGE.sha256, PeerName("gone"))
        self.assertEqual(self.said, [(SLOW, Round.WITHOUT)])
