"""Where the directory of a simulated cluster is: in memory and at hand, or served over simulated wires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.endpoints import TCP4ServerEndpoint

from clumpt.apps import rooms
from clumpt.config import Config, DirectorySection
from clumpt.interfaces import IDirectory
from clumpt.ldap import schema
from clumpt.ldap.bootstrap import bootstrap
from clumpt.ldap.connection import Servers
from clumpt.ldap.directory import LdapDirectory
from clumpt.ldap.dn import Tree
from clumpt.ldap.embedded.log import Log
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.servers import Dialler, Simple, Uri, over_network
from clumpt.model import PeerName, Settings
from clumpt.testing.logfile import MemoryLogFile
from clumpt.testing.memory_directory import Contents, MemoryDirectory
from clumpt.testing.net import Network

__all__ = ["DESK", "LdapSite", "MemorySite", "Site"]

BASE = "o=clumpt"
#: Where the directory is served, and where the administrator sits.
HERE, DESK = "10.255.0.1", "10.255.0.2"
PORT = 389
_PASSWORD = "for simulations only"  # noqa: S105
_SCHEMA = schema.load()


class Site(Protocol):
    """
    A directory of either kind.

    @ivar address: the host that serves it, empty for none.
    @ivar section: the configuration of a peer that uses it.
    """

    address: str
    section: DirectorySection

    def administration(self) -> IDirectory:
        """The administrators' view."""

    def view(self, name: PeerName, config: Config, reactor: Any) -> IDirectory:
        """What the peer C{name} uses, in one life of its program."""

    def available(self, there: bool) -> None:
        """Let it answer, or not."""

    def backup(self) -> Any:
        """All that is in it, for L{restore}."""

    def restore(self, backup: Any) -> None:
        """Set it back (R13)."""


@define(eq=False)
class MemorySite:
    """In memory; whoever asks has the answer at once, unless it is away."""

    settings: Settings
    address: str = ""
    section: DirectorySection = DirectorySection(uris=("ldap://directory",), report_delay=0.5)
    directory: MemoryDirectory = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.directory = MemoryDirectory.holding(self.settings)

    def administration(self) -> IDirectory:
        """The administrators' view."""
        return self.directory

    def view(self, name: PeerName, config: Config, reactor: Any) -> IDirectory:
        """A peer's view."""
        return self.directory.as_peer(name)

    def available(self, there: bool) -> None:
        """Let it answer, or not."""
        self.directory.server.down = not there

    def backup(self) -> Contents:
        """All that is in it."""
        return self.directory.server.snapshot()

    def restore(self, backup: Contents) -> None:
        """Set it back."""
        self.directory.server.restore(backup)


@define(eq=False)
class LdapSite:
    """
    The embedded directory on a host of its own; its clients speak LDAP over the network.

    @ivar named: the peer that lives at an address, for want of certificates.
    """

    network: Network
    settings: Settings
    named: Callable[[str], str]
    address: str = HERE
    section: DirectorySection = DirectorySection(
        uris=(f"ldap://{HERE}",), starttls=False, allow_plain=True, timeout=5.0, report_delay=0.5
    )
    _file: MemoryLogFile = field(factory=MemoryLogFile, init=False)
    _passwords: Passwords = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._passwords = Passwords(self.network.world.random.randbytes, cost=2)
        self.network.host(DESK)
        self.network.host(HERE)
        self.start()

    def start(self) -> None:
        """Serve what is in the file; what every directory begins with, if that is nothing."""
        reactor = self.network.host(HERE).reactor
        store = Store(BASE, _SCHEMA, Log(self._file, reactor))
        if not len(store):
            store.fill(bootstrap(BASE, self._passwords.hashed(_PASSWORD.encode()), self.settings))
        served = EmbeddedDirectory(
            store=store,
            clock=reactor,
            passwords=self._passwords,
            confidential=False,
            identify=lambda wire: f"CN={self.named(wire.getPeer().host)}",
        )
        TCP4ServerEndpoint(reactor, PORT).listen(served)

    def administration(self) -> IDirectory:
        """The administrators' view."""
        reactor = self.network.host(DESK).reactor
        reach, who = over_network(reactor, None), Simple(f"cn=admin,{BASE}", _PASSWORD)
        dialler = Dialler(reactor, reach, who, allow_plain=True, attempt=2.0, timeout=5.0)
        return LdapDirectory(Servers([Uri(False, HERE, PORT)], dialler), Tree(BASE))

    def view(self, name: PeerName, config: Config, reactor: Any) -> IDirectory:
        """A peer's view, made as on a real node."""
        return rooms.directory(config, reactor, over_network(reactor, None), None)

    def available(self, there: bool) -> None:
        """Let the server die and come back."""
        host = self.network.host(HERE)
        if there and not host.alive:
            self.boot()
        elif not there and host.alive:
            self.crash()

    def crash(self) -> None:
        """The server's program dies; what it wrote stays."""
        self.network.host(HERE).crash()
        self._file = MemoryLogFile(self._file.read())

    def power_loss(self) -> None:
        """Its host goes dark; any part of what was not synced is lost."""
        self.network.host(HERE).power_off()
        self._file = self._file.crash(self.network.world.random.randrange(2000))

    def boot(self) -> None:
        """It comes back."""
        self.network.host(HERE).boot()
        self.start()

    def backup(self) -> bytes:
        """The file."""
        return self._file.read()

    def restore(self, backup: bytes) -> None:
        """Begin anew with another file."""
        self.available(False)
        self._file = MemoryLogFile(backup)
        self.boot()
