"""The daemon as a service: whom it tells that it is started, and of what it warns."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps import daemon
from clumpt.apps.daemon import PATIENCE, WARN, Daemon, Peer
from clumpt.config import Config, PeerSection
from clumpt.errors import IdentityError


class ServiceCase(SynchronousTestCase):
    """A peer of which only start and end matter."""

    worry = ""

    def setUp(self) -> None:
        self.reactor, self.starting = MemoryReactorClock(), Deferred[None]()
        self.told: list[str] = []
        self.status: list[int] = []
        agent = SimpleNamespace(name="n1", start=lambda: self.starting, stop=lambda: succeed(None))
        room = SimpleNamespace(close=lambda: succeed(None))
        peer = Peer(cast(Any, agent), cast(Any, room), cast(Any, room))
        self.patch(daemon, "build", lambda config, node: succeed(peer))
        node = SimpleNamespace(security=None, worry=lambda: self.worry)
        self.serving = Daemon(
            Path("clumpt.ini"),
            Config(peer=PeerSection(name="n1")),
            self.reactor,
            lambda config, reactor: cast(Any, node),
            self.status.append,
            self.told.append,
        )
        self.serving.startService()
        self.reactor.run()

    def assert_ends(self) -> None:
        """When it is stopped, nothing is left to be done."""
        stopping: Any = self.serving.stopService()
        self.successResultOf(stopping)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class StartedTests(ServiceCase):
    """When whoever started it is told that it is started."""

    def test_up(self) -> None:
        """It is told when the peer is up, and only then."""
        self.reactor.advance(PATIENCE / 2)
        self.assertEqual(self.told, [])
        self.starting.callback(None)
        self.assertEqual(self.told, ["n1 is up"])
        self.assert_ends()

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
        self.assert_ends()


class WarnTests(ServiceCase):
    """A certificate that ends."""

    def test_daily(self) -> None:
        """It is warned of each day as long as it is so, with the command that makes a new one."""
        self.starting.callback(None)
        with capturedLogs() as logged:
            self.reactor.advance(WARN)
            self.assertEqual(logged, [])
            self.worry = "its certificate ends on 2027-02-14 07:59 UTC"
            self.reactor.advance(WARN)
            self.reactor.advance(WARN)
        self.assertEqual([(event["worry"], event["peer"]) for event in logged], [(self.worry, "n1")] * 2)
        self.assertIn("clumptconf renew", logged[0]["log_format"])
        self.assert_ends()


class WarnAtOnceTests(ServiceCase):
    """A certificate that ends, already at the start."""

    worry = "its certificate ends on 2027-02-14 07:59 UTC"

    def setUp(self) -> None:
        with capturedLogs() as self.logged:
            super().setUp()

    def test_start(self) -> None:
        """It is warned of before anything else can go wrong."""
        self.assertEqual([event["worry"] for event in self.logged], [self.worry])
