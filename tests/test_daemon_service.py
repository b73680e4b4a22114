"""When whoever started the daemon is told that it is started."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps import daemon
from clumpt.apps.daemon import PATIENCE, Daemon, Peer
from clumpt.config import Config
from clumpt.errors import IdentityError


class StartedTests(SynchronousTestCase):
    """A peer of which only the start matters."""

    def setUp(self) -> None:
        self.reactor, self.starting = MemoryReactorClock(), Deferred[None]()
        self.told: list[str] = []
        self.status: list[int] = []
        agent = SimpleNamespace(name="n1", start=lambda: self.starting)
        peer = Peer(cast(Any, agent), cast(Any, None), cast(Any, None))
        self.patch(daemon, "build", lambda config, node: succeed(peer))
        node = SimpleNamespace(security=None)
        serving = Daemon(
            Path("clumpt.ini"),
            Config(),
            self.reactor,
            lambda config, reactor: cast(Any, node),
            self.status.append,
            self.told.append,
        )
        serving.startService()
        self.reactor.run()

    def test_up(self) -> None:
        """It is told when the peer is up, and only then."""
        self.reactor.advance(PATIENCE / 2)
        self.assertEqual(self.told, [])
        self.starting.callback(None)
        self.assertEqual(self.told, ["n1 is up"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_waits(self) -> None:
        """A start that takes long holds nobody up: it is told that it waits, and again when it is up."""
        self.reactor.advance(PATIENCE)
        self.assertEqual(self.told, ["waiting for the directory"])
        self.starting.callback(None)
        self.assertEqual(self.told, ["waiting for the directory", "n1 is up"])

    def test_fails(self) -> None:
        """A peer that cannot start is never said to be started."""
        self.starting.errback(IdentityError("another node's"))
        self.assertEqual((self.told, self.status), ([], [6]))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
