"""What systemd is told of a service."""

from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps.ready import tell_systemd


class ReadyTests(SynchronousTestCase):
    """L{tell_systemd}."""

    def told(self, bound: str, named: str, status: str = "") -> bytes:
        with socket(AF_UNIX, SOCK_DGRAM) as waiting:
            waiting.bind(bound)
            waiting.settimeout(0)
            tell_systemd({"NOTIFY_SOCKET": named}, status)
            return waiting.recv(100)

    def test_file(self) -> None:
        """Whoever waits at a socket in the file system is told."""
        # Not the temporary folder of the test: the path of a socket must be short.
        with TemporaryDirectory() as folder:
            path = str(Path(folder) / "notify")
            self.assertEqual(self.told(path, path), b"READY=1")

    def test_abstract(self) -> None:
        """Whoever waits at an abstract socket is told."""
        name = f"clumpt-test-{id(self)}"
        self.assertEqual(self.told(f"\0{name}", f"@{name}"), b"READY=1")

    def test_status(self) -> None:
        """What is to be shown as the status is told along."""
        name = f"clumpt-test-{id(self)}"
        self.assertEqual(self.told(f"\0{name}", f"@{name}", "n1 is up"), b"READY=1\nSTATUS=n1 is up")

    def test_deaf(self) -> None:
        """Nobody at the socket that is named is no reason to fail."""
        tell_systemd({"NOTIFY_SOCKET": f"@clumpt-test-nobody-{id(self)}"})

    def test_nobody(self) -> None:
        """Without systemd nothing is said to anybody."""
        tell_systemd({})
