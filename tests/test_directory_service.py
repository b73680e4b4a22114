"""The small directory as a service."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps.conf_init import NewDeployment, create
from clumpt.apps.directory import LOOK, DirectoryServer, DirectoryService, Listening, Options
from clumpt.apps.oneshot import Status
from clumpt.errors import BadInput
from clumpt.ldap import schema
from clumpt.ldap.embedded.store import Store


class OptionsTests(SynchronousTestCase):
    """What can be said."""

    def parsed(self, *words: str) -> Options:
        options = Options()
        options.parseOptions(list(words))
        return options

    def test_usual(self) -> None:
        """TLS at the usual port, and what clumptconf init made, unless it is said otherwise."""
        options = self.parsed()
        self.assertEqual(options.listening, Listening("0.0.0.0", 636, None))
        self.assertEqual(options["tls"], "/etc/clumpt/directory")

    def test_ports(self) -> None:
        """Any port, or any free one; what cannot be a port is refused."""
        self.assertEqual(
            self.parsed("-p", "0", "--starttls-port", "389").listening, Listening(ldaps=0, ldap=389)
        )
        for words in (("-p", "65536"), ("--starttls-port", "-1")):
            with self.assertRaises(SystemExit) as caught:
                self.parsed(*words)
            self.assertEqual(caught.exception.code, Status.USAGE)


class ServiceTests(SynchronousTestCase):
    """It starts, ends, and says why it does not."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        create(self.folder, NewDeployment("d-1", ("ldaps://127.0.0.1",)), 1.8e9)
        self.reactor = MemoryReactorClock()
        self.status: list[int] = []

    def service(self, *words: str) -> DirectoryService:
        options = Options()
        state, tls = str(self.folder / "state"), str(self.folder / "clumpt/directory")
        options.parseOptions(["--state", state, "--tls", tls, *words])
        return DirectoryService(options, self.reactor, self.status.append)

    def begin(self, service: DirectoryService) -> list[str]:
        """Start it; what it says."""
        with capturedLogs() as logged:
            service.startService()
            self.reactor.run()
        return [event["log_format"] for event in logged if event.get("log_format")]

    def test_runs(self) -> None:
        """It listens with TLS, and with StartTLS if that is wanted, and keeps its entries alone."""
        service = self.service("--starttls-port", "389")
        self.begin(service)
        self.assertEqual([port[0] for port in self.reactor.sslServers], [636])
        self.assertEqual([port[0] for port in self.reactor.tcpServers], [389])
        self.assertEqual((self.folder / "state").stat().st_mode & 0o777, 0o700)
        first, self.reactor = self.reactor, MemoryReactorClock()
        # Another one cannot have the same folder.
        self.begin(self.service())
        self.assertEqual(self.status, [Status.USAGE])
        self.successResultOf(service.stopService())
        self.assertEqual(first.getDelayedCalls(), [])

    def test_no_certificate(self) -> None:
        """Without its certificate it ends, and says what it lacks; nothing has to be stopped then."""
        (self.folder / "clumpt/directory/server.pem").unlink()
        service = self.service()
        self.assertEqual(self.begin(service), ["cannot start: {reason}"])
        self.assertEqual(self.status, [Status.USAGE])
        self.assertIsNone(service.stopService())

    def test_bad_certificate(self) -> None:
        """What is no certificate is told as that."""
        (self.folder / "clumpt/directory/server.pem").write_text("x")
        self.begin(self.service())
        self.assertEqual(self.status, [Status.USAGE])

    def test_mistake(self) -> None:
        """A mistake of the program ends it, too, with its trace."""
        self.patch(DirectoryServer, "start", lambda self: 1 / 0)
        self.begin(self.service())
        self.assertEqual(self.status, [Status.UNEXPECTED])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_disk(self) -> None:
        """If what was changed cannot be kept any more, it ends."""
        service = self.service()
        self.begin(service)
        server: Any = service._server
        self.reactor.advance(LOOK)
        self.assertEqual(self.status, [])
        server.store._log.broken = OSError("full")
        with capturedLogs() as logged:
            self.reactor.advance(LOOK)
        self.assertEqual(self.status, [Status.UNEXPECTED])
        self.assertIn("cannot be kept", logged[0]["log_format"])

    def test_no_folder(self) -> None:
        """A state folder that cannot be made is named."""
        (self.folder / "state").touch()
        self.begin(self.service())
        self.assertEqual(self.status, [Status.USAGE])


class PortTests(SynchronousTestCase):
    """A port that somebody else has."""

    def test_taken(self) -> None:
        """It is named, and no other one is held."""
        reactor: Any = MemoryReactorClock()

        def refuse(port: int, *words: Any, **more: Any) -> None:
            raise CannotListenError("127.0.0.1", port, OSError("in use"))

        reactor.listenTCP = refuse
        server = DirectoryServer(
            reactor,
            Store("o=clumpt", schema.load()),
            cast(Any, SimpleNamespace()),
            Listening("127.0.0.1", 636, 389),
        )
        error = self.failureResultOf(server.start(), BadInput).value
        self.assertIn("port 389", str(error))
        self.assertEqual(server._ports, [])
