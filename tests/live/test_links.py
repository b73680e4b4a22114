"""Links over real sockets on loopback, under real TLS."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from clumpt.aio import deferred, sleep
from clumpt.errors import BadInput, PeerUnreachable
from clumpt.model import Address, PeerName
from clumpt.protocols.client import Network
from clumpt.protocols.limits import Limits
from clumpt.protocols.tls import TlsSecurity
from tests.certificates import Authority, Files
from tests.protocol_kit import DEPLOYMENT, TOP, Agent, key_of

URN = f"urn:clumpt:{DEPLOYMENT}:peer:"


class LiveAgent(Agent):
    """An agent that admits the keys it was given, and can be waited for."""

    def __init__(self, name: str, keys: dict[str, Any]) -> None:
        super().__init__(name)
        self.keys = keys
        self.waiting: list[tuple[str, Deferred[None]]] = []

    def admit(self, peer: Any, fingerprint: Any, member: bytes) -> None:
        known = key_of(peer) if self.keys.get(peer) == fingerprint else "another"
        super().admit(peer, known, member)

    def _tell(self, *what: Any) -> None:
        super()._tell(*what)
        due = [waiter for name, waiter in self.waiting if name == what[0]]
        self.waiting = [(name, waiter) for name, waiter in self.waiting if name != what[0]]
        for waiter in due:
            waiter.callback(None)

    def until(self, what: str) -> Deferred[None]:
        """Fires when that is told the next time."""
        waiter: Deferred[None] = Deferred()
        self.waiting.append((what, waiter))
        return waiter.addTimeout(10, reactor)


class LinksTests(TestCase):
    """Two peers, each with a certificate of the cluster's CA."""

    timeout = 30

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority(self.folder)
        self.keys: dict[str, Any] = {}
        self.networks: dict[str, Network] = {}
        self.agents: dict[str, LiveAgent] = {}
        for name in "ab":
            self.files = self.authority.issue(name, (URN + name,))
            self.begin(name, self.files)
            self.keys[name] = self.networks[name]._wires.security.own[1]

    def begin(self, name: str, files: Files, ca: Path | None = None) -> Network:
        security = TlsSecurity(reactor, ca or self.authority.path, files.certificate, files.key, DEPLOYMENT)
        agent = LiveAgent(name, self.keys)
        network = Network(
            reactor,
            reactor,
            Random(),
            security,
            PeerName(name),
            "127.0.0.1",
            (0, 0),
            Limits(greeting=2, first_retry=0.1, last_retry=0.5),
        )
        self.successResultOf(network.start(agent))
        self.addCleanup(network.stop)
        self.networks[name], self.agents[name] = network, agent
        return network

    def address(self, name: str) -> list[Address]:
        return [Address("127.0.0.1", *self.networks[name].ports)]

    def dial(self, name: str, other: str) -> Any:
        return self.networks[name].dial(PeerName(other), self.address(other))

    @deferred
    async def test_link(self) -> None:
        """Peers link, and notify and fetch over TLS."""
        self.agents["b"].pieces[TOP, 1] = bytes(5_000_000)
        link = await self.dial("a", "b")
        self.assertEqual(len(await link.piece(TOP, 1, 5_000_000)), 5_000_000)
        told = self.agents["a"].until("reload_asked")
        self.agents["b"].links["a"].reload()
        await told
        line = self.networks["a"]._links[PeerName("b")]._pair.update
        self.assertEqual(line.transport.getHandle().get_protocol_version_name(), "TLSv1.3")
        self.assertTrue(line.transport.transport.getTcpNoDelay())
        self.assertTrue(line.transport.transport.getTcpKeepAlive())

    @deferred
    async def test_many_pieces_both_ways(self) -> None:
        """Both directions can be filled at once; every piece arrives whole."""
        for agent in self.agents.values():
            agent.pieces[TOP, 1] = agent.name.encode() * 1_000_000
        links = [await self.dial("a", "b"), self.agents["b"].links["a"]]
        asked = [link.piece(TOP, 1, 1_000_000) for link in links for _ in range(20)]
        found = [await one for one in asked]
        self.assertEqual(found, [b"b" * 1_000_000] * 20 + [b"a" * 1_000_000] * 20)

    @deferred
    async def test_by_host_name(self) -> None:
        """A peer may be dialled by the name of its host; a name that nobody knows is an error like others."""
        ports = self.networks["b"].ports
        addresses = [
            Address("no-such-host.invalid", *ports),
            Address("::1", *ports),
            Address("localhost", *ports),
        ]
        wrong = await self.assertFailure(
            self.networks["a"].dial(PeerName("b"), addresses[:2]), PeerUnreachable
        )
        self.assertIn("no-such-host.invalid", str(wrong))
        await self.networks["a"].dial(PeerName("b"), addresses)

    @deferred
    async def test_wrong_fingerprint(self) -> None:
        """A peer of the right name and CA, but with another key, gets no link from either end."""
        self.begin("c", self.authority.issue("c"))
        self.keys["c"] = "0" * 64
        for one, other in ("ca", "ac"):
            await self.assertFailure(self.dial(one, other), PeerUnreachable)
        self.assertEqual(self.agents["a"].told, [])

    @deferred
    async def test_wrong_authority(self) -> None:
        """A certificate of another CA is refused by both ends."""
        other = Authority(self.folder, "other CA")
        self.begin("c", other.issue("c"), other.path)
        self.keys["c"] = self.networks["c"]._wires.security.own[1]
        for one, another in ("ca", "ac"):
            await self.assertFailure(self.dial(one, another), PeerUnreachable)
        self.begin("d", other.issue("d"))
        await self.assertFailure(self.dial("d", "a"), PeerUnreachable)
        self.assertEqual(self.agents["a"].told, [])

    @deferred
    async def test_expired(self) -> None:
        """An expired certificate is refused."""
        self.begin("c", self.authority.issue("c", until=datetime(2021, 1, 1)))
        self.keys["c"] = self.networks["c"]._wires.security.own[1]
        for one, another in ("ca", "ac"):
            await self.assertFailure(self.dial(one, another), PeerUnreachable)

    @deferred
    async def test_key_of_another_deployment(self) -> None:
        """A certificate that names another deployment is refused, though the CA is the same."""
        files = self.authority.issue("c", ("urn:clumpt:elsewhere:peer:c",))
        security = TlsSecurity(reactor, self.authority.path, files.certificate, files.key)
        network = Network(reactor, reactor, Random(), security, PeerName("c"))
        await network.start(LiveAgent("c", self.keys))
        self.addCleanup(network.stop)
        self.keys["c"] = security.own[1]
        await self.assertFailure(network.dial(PeerName("a"), self.address("a")), PeerUnreachable)
        self.assertEqual(self.agents["a"].told, [])

    @deferred
    async def knock(self, creator: Any, why: str) -> None:
        """Connect with other TLS settings than ours; nothing may be heard, and the operator is told why."""
        for port in self.networks["a"].ports:
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
            if creator is not None:
                endpoint = wrapClientTLS(creator, endpoint, reactor)
            raw = await endpoint.connect(Factory.forProtocol(Raw))
            raw.transport.write(b"\0\0\0\1\x02")
            await raw.gone
            self.assertEqual(raw.heard, b"")
        self.assertEqual(self.agents["a"].told, [])
        await sleep(reactor, 0.05)
        told = self.networks["a"]._wires.complaints._told
        self.assertEqual([host for host, _ in told], ["127.0.0.1"])
        self.assertIn(why, " ".join(text for _, text in told))

    def test_no_certificate(self) -> Any:
        """Who shows no certificate is refused."""
        return self.knock(Creator(), "peer did not return a certificate")

    def test_old_tls(self) -> Any:
        """TLS 1.2 is refused, whatever the certificate."""
        creator = Creator(self.files)
        creator.context.set_max_proto_version(SSL.TLS1_2_VERSION)
        return self.knock(creator, "unsupported protocol")

    def test_no_tls(self) -> Any:
        """Plain bytes are refused."""
        return self.knock(None, "wrong version number")

    @deferred
    async def test_silent_connection(self) -> None:
        """A connection without a handshake is closed after the greeting time-out."""
        raw = await TCP4ClientEndpoint(reactor, "127.0.0.1", self.networks["a"].ports[0]).connect(
            Factory.forProtocol(Raw)
        )
        await raw.gone

    @deferred
    async def test_at_once(self) -> None:
        """Two peers that dial each other at once share one link."""
        one, other = self.dial("a", "b"), self.dial("b", "a")
        await one
        await other
        await sleep(reactor, 0.2)
        for agent in self.agents.values():
            self.assertEqual(agent.names(), ["linked"])
        self.assertEqual([len(network._wires.open) for network in self.networks.values()], [2, 2])
        self.assertTrue(self.agents["a"].links["b"].dialled)
        self.assertFalse(self.agents["b"].links["a"].dialled)

    @deferred
    async def test_death(self) -> None:
        """The death of a peer is noticed; when it lives again, it is linked again."""
        self.networks["b"].keep({PeerName("a"): self.address("a")})
        await self.agents["b"].until("linked")
        files, ports = self.files, self.networks["a"].ports
        gone = self.agents["b"].until("unlinked")
        await self.networks["a"].stop()
        await gone
        again = self.agents["b"].until("linked")
        files = self.authority.issue("a")
        security = TlsSecurity(reactor, self.authority.path, files.certificate, files.key)
        self.keys["a"] = security.own[1]
        network = Network(reactor, reactor, Random(), security, PeerName("a"), "127.0.0.1", ports)
        await network.start(LiveAgent("a", self.keys))
        self.addCleanup(network.stop)
        await again

    @deferred
    async def test_renewed_certificate(self) -> None:
        """After a reload new links use the new certificate; the old link stays."""
        link = await self.dial("a", "b")
        security = self.networks["b"]._wires.security
        before = security.own
        files = self.authority.issue("b")
        for new, old in ((files.certificate, security.certificate), (files.key, security.key)):
            old.write_bytes(new.read_bytes())
        security.reload()
        self.assertNotEqual(security.own, before)
        self.agents["b"].head = 4
        self.assertEqual((await link.ids()).last, 4)
        self.keys["b"] = security.own[1]
        link.close()
        await self.agents["a"].until("unlinked")
        await self.dial("a", "b")

    @deferred
    async def test_port_in_use(self) -> None:
        """A port in use is named."""
        network = Network(
            reactor,
            reactor,
            Random(),
            self.networks["a"]._wires.security,
            PeerName("a"),
            "127.0.0.1",
            self.networks["a"].ports,
        )
        wrong = await self.assertFailure(network.start(self.agents["a"]), BadInput)
        self.assertIn(str(self.networks["a"].ports[0]), str(wrong))


@implementer(IOpenSSLClientConnectionCreator)
class Creator:
    """TLS as a stranger would speak it."""

    def __init__(self, files: Files | None = None) -> None:
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if files is not None:
            self.context.use_certificate_file(str(files.certificate))
            self.context.use_privatekey_file(str(files.key))

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


class Raw(Protocol):
    """Says nothing of its own accord."""

    def __init__(self) -> None:
        self.heard = b""
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: object) -> None:  # type: ignore[override] # Twisted's default argument
        self.gone.callback(None)
