"""The console scripts, as far as no reactor has to run."""

import sys
from collections.abc import Callable
from io import StringIO

from twisted.scripts import twistd
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps import scripts


class ScriptTests(SynchronousTestCase):
    """Each command is the service that twistd has under the longer name."""

    def test_modules(self) -> None:
        """Commands name their modules and pass on their words."""
        ran: list[tuple[str, list[str]]] = []
        self.patch(scripts, "run", lambda module, words: ran.append((module, words)))
        self.patch(sys, "argv", ["x", "list", "-v"])
        commands: tuple[Callable[[], object], ...] = (scripts.clumpt, scripts.clumptconf, scripts.directory)
        for command in commands:
            command()
        self.assertEqual(
            ran, [(f"clumpt.apps.{name}", ["list", "-v"]) for name in ("submit", "conf", "directory")]
        )

    def test_daemon(self) -> None:
        """clumptd is twistd in the foreground, without a pid file."""
        self.patch(sys, "argv", ["clumptd", "--config", "x.ini"])
        self.patch(twistd, "run", lambda: None)
        scripts.clumptd()
        self.assertEqual(sys.argv, ["clumptd", "--nodaemon", "--pidfile=", "clumpt", "--config", "x.ini"])

    def test_not_made(self) -> None:
        """A service that cannot be made is told in its own words, with the status of the error."""
        stderr = StringIO()
        self.patch(sys, "stderr", stderr)
        with self.assertRaises(SystemExit) as caught:
            scripts.run("tests.tool", ["unmade"])
        self.assertEqual(caught.exception.code, 5)
        self.assertEqual(stderr.getvalue(), "clumpt: no answer from ldap2; is it up?\n")
