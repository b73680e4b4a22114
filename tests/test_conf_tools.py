"""What the tools share: their identity, how they greet peers; and clumptconf from its words to its status."""

from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.visitor import Visitor
from clumpt.apps.conf import Options, main
from clumpt.apps.conf_init import NewDeployment, create
from clumpt.apps.connect import ADMIN_FILES, as_tool, calling_network
from clumpt.apps.oneshot import Status
from clumpt.apps.visitor import greeting
from clumpt.configfile import load
from clumpt.errors import IdentityError, NotHere, Untrusted
from clumpt.idset import IdSet
from clumpt.model import Peer, PeerName, Settings
from clumpt.pieces import digest_of
from clumpt.testing.keys import Deployment
from clumpt.testing.memory_directory import MemoryDirectory
from clumpt.trust.pki import ADMIN, SUBMITTER

NAME = PeerName(ADMIN)


class VisitorTests(SynchronousTestCase):
    """A tool among peers."""

    def setUp(self) -> None:
        self.deployment = Deployment("test")
        self.keyring = self.deployment.keyring()
        self.directory = MemoryDirectory.holding(Settings("test"))
        self.visitor = Visitor(("test", 0, self.keyring.origin, b"own"), self.keyring)

    def greet(self) -> Any:
        return greeting(self.directory, self.keyring, NAME)

    def test_greeting(self) -> None:
        """It greets as its statement and the directory's newest update have it."""
        self.failureResultOf(self.greet(), IdentityError)
        self.successResultOf(self.directory.put_peer(Peer(NAME, (), frozenset(), b"statement")))
        first = ("test", 0, self.keyring.origin, b"statement")
        self.assertEqual(self.successResultOf(self.greet()), first)
        entries = [self.deployment.sign(), self.deployment.sign()]
        for entry in entries:
            self.successResultOf(self.directory.register(entry))
        self.assertEqual(self.successResultOf(self.greet()), ("test", 2, entries[1].digest, b"statement"))

    def test_admit(self) -> None:
        """It talks to peers whose statement is theirs, and to nobody else."""
        statement = self.deployment.member("n1")
        self.visitor.admit(PeerName("n1"), digest_of(b"n1"), statement)
        for name, key in (("n2", digest_of(b"n1")), ("n1", digest_of(b"other"))):
            self.assertRaises(Untrusted, self.visitor.admit, PeerName(name), key, statement)
        other = Deployment("other").member("n1")
        self.assertRaises(Untrusted, self.visitor.admit, PeerName("n1"), digest_of(b"n1"), other)

    def test_nothing_to_give(self) -> None:
        """Whatever is asked of it, it has nothing."""
        link: Any = None
        digest = digest_of(b"")
        self.assertEqual(self.visitor.table_wanted(link, IdSet()), ())
        self.assertRaises(NotHere, self.visitor.hashes_wanted, link, digest)
        self.assertRaises(NotHere, self.visitor.piece_wanted, link, digest, 0)
        self.assertRaises(NotHere, self.visitor.output_wanted, link, 1)


class IdentityTests(SynchronousTestCase):
    """Who a tool is on this machine."""

    def setUp(self) -> None:
        self.out = Path(self.mktemp()).absolute()
        create(self.out, NewDeployment("site-1", ("ldaps://localhost",)), 1.8e9)
        self.config = load(self.out / "clumpt.ini")

    def test_own(self) -> None:
        """The files of its own, beside those of [tls]; without them those of [tls] themselves."""
        tool = as_tool(self.config, ADMIN_FILES)
        self.assertEqual(tool.tls.certificate, self.out / "clumpt/tls/admin.pem")
        self.assertEqual(tool.tls.key, self.out / "clumpt/tls/admin-key.pem")
        tool.tls.certificate.unlink()
        self.assertEqual(as_tool(self.config, ADMIN_FILES), self.config)

    def test_network(self) -> None:
        """Its network calls with that identity, and does not listen."""
        reactor, clock = MemoryReactor(), Clock()
        reactor.seconds, reactor.callLater = clock.seconds, clock.callLater  # type: ignore[method-assign]
        for config, name in ((as_tool(self.config, ADMIN_FILES), ADMIN), (self.config, SUBMITTER)):
            network: Any = calling_network(config, reactor, Random(1))
            self.assertEqual((network.name, network.ports), (name, None))


class MainTests(SynchronousTestCase):
    """From words to status, where no directory is needed."""

    def run_main(self, *words: str) -> tuple[int, str, str]:
        import sys

        stdout, stderr = StringIO(), StringIO()
        self.patch(sys, "__stderr__", stderr)
        options = Options()
        options.parseOptions(list(words))
        status = self.successResultOf(main(options, MemoryReactor(), stdout))
        return status, stdout.getvalue(), stderr.getvalue()

    def test_schema(self) -> None:
        """The schema goes to stdout."""
        status, stdout, stderr = self.run_main("schema", "-f", "ldif")
        self.assertEqual((status, stderr), (Status.DONE, ""))
        self.assertIn("cn=clumpt,cn=schema,cn=config", stdout)

    def test_init(self) -> None:
        """A dry run makes nothing; offline makes the files and says what comes next."""
        out = Path(self.mktemp())
        words = ("init", "-n", "site", "-u", "ldaps://localhost", "-o", str(out), "--offline")
        self.run_main(*words, "--dry-run")
        self.assertFalse(out.exists())
        status, stdout, stderr = self.run_main(*words)
        self.assertEqual((status, stdout), (Status.DONE, ""))
        self.assertIn("publish", stderr)
        self.assertTrue((out / "clumpt.ini").exists())
