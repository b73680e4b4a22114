"""An embedded directory on the loopback, with TLS."""

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint

from clumpt.aio import deferred
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.embedded.tls import server_options
from clumpt.testing.certificates import Authority


class Embedded:
    """Serves C{store} at two ports, as OpenLDAP does."""

    port = tls_port = 0

    def __init__(self, store: Store, authority: Authority) -> None:
        identity = authority.issue("embedded", "CN=localhost")
        self._options = server_options(
            identity.certificate.read_bytes(), identity.key.read_bytes(), authority.certificate.read_bytes()
        )
        passwords = Passwords(os.urandom, cost=2)
        self.directory = EmbeddedDirectory(store=store, clock=reactor, passwords=passwords, tls=self._options)
        self._ports: list[Any] = []

    @deferred
    async def start(self) -> None:
        plain = TCP4ServerEndpoint(reactor, self.port, interface="127.0.0.1")
        secure = SSL4ServerEndpoint(reactor, self.tls_port, self._options, interface="127.0.0.1")
        self._ports = [await endpoint.listen(self.directory) for endpoint in (plain, secure)]
        self.port, self.tls_port = (port.getHost().port for port in self._ports)

    @deferred
    async def stop(self) -> None:
        ports, self._ports = self._ports, []
        for port in ports:
            await port.stopListening()
