"""The embedded directory in a simulated cluster: no disk, no sockets, virtual time, and crashes."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from clumpt.aio import deferred, sleep
from clumpt.errors import DirectoryUnavailable
from clumpt.idset import IdSet
from clumpt.ldap.connection import Servers
from clumpt.ldap.directory import LdapDirectory
from clumpt.ldap.dn import Tree
from clumpt.ldap.embedded.log import Log
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.servers import Credentials, Dialler, External, Simple, Uri, over_network
from clumpt.model import Peer, PeerName, PeerStatus
from clumpt.testing.contracts.directory import an_entry
from clumpt.testing.logfile import MemoryLogFile
from clumpt.testing.net import Network
from clumpt.testing.world import World
from tests.embedded_case import ADMIN, BASE, new_store

HERE = "10.0.0.1"


class Cluster:
    """A directory on one host, and programs that use it on others."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.network = Network(self.world)
        self.file = MemoryLogFile()
        self.network.host(HERE)
        self.start()

    def start(self) -> None:
        """Serve what is in the file."""
        reactor = self.network.host(HERE).reactor
        directory = EmbeddedDirectory(
            store=new_store(log=Log(self.file, reactor)),
            clock=reactor,
            passwords=Passwords(self.world.random.randbytes, cost=2),
            confidential=False,
            identify=lambda wire: f"CN=node{wire.getPeer().host.rpartition('.')[2]}",
        )
        TCP4ServerEndpoint(reactor, 389).listen(directory)

    def power_cut(self) -> None:
        """The directory's host goes dark; of what it had not synced, any part is lost."""
        host = self.network.host(HERE)
        host.power_off()
        self.file = self.file.crash(self.world.random.randrange(2000))

    def boot(self) -> None:
        self.network.host(HERE).boot()
        self.start()

    def directory(self, address: str, credentials: Credentials) -> LdapDirectory:
        reactor = self.network.host(address).reactor
        reach = over_network(reactor, None)
        dialler = Dialler(reactor, reach, credentials, allow_plain=True, attempt=2.0, timeout=5.0)
        return LdapDirectory(Servers([Uri(False, HERE, 389)], dialler), Tree(BASE))

    def wait(self, waiting: "Deferred[Any]", within: float = 600.0) -> Any:
        results: list[Any] = []
        waiting.addBoth(results.append)
        self.world.run_until(lambda: bool(results), within=within)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]


class SimulatedTests(SynchronousTestCase):
    """The client and the server of LDAP, on hosts that fail."""

    def test_peer(self) -> None:
        """A peer is known by what stands for its certificate, and reports (R54)."""
        cluster = Cluster(1)
        admin = cluster.directory("10.0.0.2", Simple(ADMIN, "admin-secret"))
        peer = Peer(PeerName("node3"), (), frozenset(), b"")
        cluster.wait(admin.put_peer(peer))
        own = cluster.directory("10.0.0.3", External())
        cluster.wait(own.report(PeerStatus(peer.name, head=7, seen=1)))
        statuses = cluster.wait(admin.statuses())
        self.assertEqual(statuses[peer.name].head, 7)

    def submit(self, seed: int) -> tuple[Cluster, list[int]]:
        """Register updates through three power cuts; the cluster, and what was confirmed."""
        cluster = Cluster(seed)
        confirmed: list[int] = []

        @deferred
        async def submit() -> None:
            reactor = cluster.network.host("10.0.0.2").reactor
            directory = cluster.directory("10.0.0.2", Simple(ADMIN, "admin-secret"))
            while len(confirmed) < 60:
                try:
                    await directory.register(an_entry(len(confirmed) + 1))
                    confirmed.append(len(confirmed) + 1)
                except DirectoryUnavailable:
                    pass
                await sleep(reactor, cluster.world.random.random())

        for cut in range(3):
            at = cut * 20 + cluster.world.random.random()
            cluster.world.call_later(at, cluster.power_cut)
            cluster.world.call_later(at + 10, cluster.boot)
        cluster.wait(submit())
        cluster.world.run_until(lambda: cluster.network.host(HERE).boots == 3, within=600)
        return cluster, confirmed

    def test_power_cuts(self) -> None:
        """Whatever was confirmed is there after every power cut, once and in order (H5, R13)."""
        for seed in range(5):
            cluster, confirmed = self.submit(seed)
            self.assertEqual(confirmed, list(range(1, 61)))
            directory = cluster.directory("10.0.0.3", Simple(ADMIN, "admin-secret"))
            envelopes = cluster.wait(directory.updates(IdSet.upto(100)))
            self.assertEqual(envelopes, [an_entry(seq).envelope for seq in confirmed])
            self.assertEqual(cluster.world.errors, [])

    def test_repeatable(self) -> None:
        """The same seed tells the same story, another one another."""
        one, again, other = (self.submit(seed)[0].world.fingerprint() for seed in (7, 7, 8))
        self.assertEqual(one, again)
        self.assertNotEqual(one, other)
