"""An embedded directory and its clients in memory, without a reactor."""

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from clumpt.ldap import schema
from clumpt.ldap.bootstrap import NewEntry, bootstrap
from clumpt.ldap.embedded.log import Log
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import Connection, EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.model import Settings
from tests.ldapclient import Client

BASE = "o=clumpt"
ADMIN, SUBMITTER = f"cn=admin,{BASE}", f"cn=submitter,{BASE}"
SCHEMA = schema.load()
PASSWORDS = Passwords(Random(1).randbytes, cost=2)


def new_store(more: tuple[NewEntry, ...] = (), log: Log | None = None, base: str = BASE) -> Store:
    """A directory in memory, or in C{log}, with what every directory begins with and C{more}."""
    store = Store(base, SCHEMA, log)
    if not len(store):
        admin, submitter = PASSWORDS.hashed(b"admin-secret"), PASSWORDS.hashed(b"submitter-secret")
        store.fill((*bootstrap(base, admin, Settings("deployment"), submitter), *more))
    return store


class Wire:
    """A client and a connection of the server, and what travels between them."""

    def __init__(self, client: Client, server: Connection) -> None:
        self.client, self.server = client, server
        self.client_side, self.server_side = StringTransport(), StringTransport()
        self.over = False
        client.makeConnection(self.client_side)
        server.makeConnection(self.server_side)

    def carry(self) -> bool:
        """Deliver what was written; was there anything?"""
        there, back = self.client_side.value(), self.server_side.value()
        self.client_side.clear()
        self.server_side.clear()
        if there and not self.over:
            self.server.dataReceived(there)
        if back:
            self.client.dataReceived(back)
        if not (there or back or self.over) and any(
            side.disconnecting or side.disconnected for side in (self.client_side, self.server_side)
        ):
            self.lose()
        return bool(there or back)

    def lose(self) -> None:
        """End the connection."""
        self.over = True
        for side in (self.client, self.server):
            side.connectionLost(Failure(ConnectionDone()))


class EmbeddedCase(SynchronousTestCase):
    """A test with a directory in memory."""

    more: tuple[NewEntry, ...] = ()

    def setUp(self) -> None:
        self.clock = Clock()
        self.wires: list[Wire] = []
        self.serve(new_store(self.more))

    def serve(self, store: Store, **more: Any) -> None:
        """Have another directory from now on."""
        settings = {"confidential": False, "identify": self.identify, **more}
        self.store = store
        self.subjects: dict[Any, str] = {}
        self.directory = EmbeddedDirectory(store=store, clock=self.clock, passwords=PASSWORDS, **settings)

    def identify(self, transport: Any) -> str:
        return self.subjects.get(transport, "")

    def connect(self, subject: str = "") -> Client:
        """A client that shows a certificate for C{subject}, a DN, or none."""
        self.wires.append(Wire(Client(), self.directory.buildProtocol(None)))
        self.subjects[self.wires[-1].server_side] = subject
        return self.wires[-1].client

    def run_until(self, done: Callable[[], bool]) -> None:
        """Carry what was written, and let time stand, until C{done} or nothing moves any more."""
        moved = True
        while moved and not done():
            self.clock.advance(0)
            moved = any([wire.carry() for wire in self.wires])

    def settle(self) -> None:
        """Carry everything."""
        self.run_until(lambda: False)

    def ask(self, wanted: "Deferred[Any] | Coroutine[Deferred[Any], Any, Any]") -> Any:
        """The result of something that needs answers of the server."""
        waiting = wanted if isinstance(wanted, Deferred) else Deferred.fromCoroutine(wanted)
        self.run_until(lambda: waiting.called and not waiting.paused)
        return self.successResultOf(waiting)

    def admin(self) -> Client:
        client = self.connect()
        self.assertEqual(self.ask(client.bind(ADMIN, b"admin-secret")), 0)
        return client
