"""Peers and a pair of real OpenLDAP servers, of which the provider dies (R8, R16, R43)."""

from __future__ import annotations

from random import Random

from attrs import evolve
from cryptography import x509
from twisted.internet import reactor
from twisted.internet.defer import execute

from clumpt.aio import deferred, sleep
from clumpt.apps.daemon import Node, Peer, build
from clumpt.apps.rooms import real_directory
from clumpt.config import Config, DirectorySection, PeerSection, TlsSection
from clumpt.ldap.directory import LdapDirectory
from clumpt.model import Address, Group, GroupName, Outcome, PeerName, State, Update
from clumpt.model import Peer as PeerEntry
from clumpt.pieces import piece_size
from clumpt.protocols.tls import TlsSecurity, fingerprint
from clumpt.store.storage import DiskStorage
from clumpt.testing.contracts.repository import package_of
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.keys import ISSUED, Deployment
from clumpt.testing.memory_installer import Fate, MemoryInstaller, MemoryMachine
from clumpt.testing.memory_journal import MemoryJournal
from clumpt.testing.slapd import DEPLOYMENT, Slapd, free_port
from tests.live.test_directory_slapd import ADMIN, DirectoryCase

ALL = GroupName("all")
NAMES = [PeerName(f"node00{number}") for number in (1, 2, 3)]


def at_once(update: Update, attempt: int, random: Random) -> Fate:
    """Installs in no time: this is about the directory."""
    return Fate(Outcome(State.DONE, 0), 0.0)


class FailOverTests(DirectoryCase):
    """Three peers over real TLS, a provider and a replica."""

    timeout = 90

    @deferred
    async def cluster(self) -> None:
        """Both servers, the enrolled peers, and their daemons."""
        self.keys = Deployment(DEPLOYMENT)
        self.provider = await self.slapd("provider")
        self.replica = await self.slapd("replica", provider=self.provider)
        self.admin = self.directory(ADMIN, self.uris(self.provider))
        await self.admin.change_settings(evolve(await self.admin.settings(), interval=2.0))
        await self.admin.add_root(1, self.keys.root_envelope)
        await self.admin.put_group(Group(ALL))
        addresses = {name: Address("127.0.0.1", free_port(), free_port()) for name in NAMES}
        identities = {name: self.authority.issue(name, f"CN={name}") for name in NAMES}
        for name in NAMES:
            certificate = x509.load_pem_x509_certificate(identities[name].certificate.read_bytes())
            member = self.keys.member(name, fingerprint=fingerprint(certificate))
            others = tuple(other for other in NAMES if other != name)
            await self.admin.put_peer(PeerEntry(name, (addresses[name],), frozenset({ALL}), member, others))
        self.configs = {
            name: Config(
                peer=PeerSection(
                    name=name,
                    state=self.folder / name,
                    listen="127.0.0.1",
                    notify_port=addresses[name].notify,
                    update_port=addresses[name].update,
                ),
                directory=DirectorySection(
                    uris=tuple(str(uri) for uri in self.uris(self.provider, self.replica)),
                    report_delay=0.1,
                    timeout=2.0,
                ),
                tls=TlsSection(
                    self.authority.certificate, identities[name].certificate, identities[name].key
                ),
            )
            for name in NAMES
        }
        self.peers: dict[PeerName, Peer] = {}
        for name in NAMES:
            await self.start(name)

    @deferred
    async def start(self, name: PeerName) -> None:
        config = self.configs[name]
        config.peer.state.mkdir(exist_ok=True)
        storage, random = DiskStorage(config.peer.state), Random(name)
        machine = MemoryMachine(reactor, random, at_once)
        node = Node(
            self.keys.root_envelope,
            reactor,
            random,
            lambda: ISSUED + 1.0,
            TlsSecurity(reactor, config.tls.ca, config.tls.certificate, config.tls.key),
            lambda: real_directory(config, reactor),
            storage,
            MemoryJournal(MemoryDisk(random)),
            lambda roots: MemoryInstaller(reactor, machine, frozenset({"dpkg"})),
            execute,
        )
        self.peers[name] = peer = await build(config, node)
        self.addCleanup(peer.stop)
        await peer.agent.start()

    @deferred
    async def submit(self, name: PeerName) -> None:
        """Give one peer a package and its order, as a submitter does."""
        data = f"package {len(self.keys.entries)}".encode() * 1000
        package, _ = package_of(data, piece_size(len(data)))
        entry = self.keys.sign(packages=(package,))
        agent = self.peers[name].agent
        assembly = agent.repository.assemble(package)
        assembly.put(0, data)
        await assembly.finish()
        agent.take([entry.envelope], PeerName("clumpt-submitter"))

    @deferred
    async def until_done(self, seq: int) -> None:
        """Every peer has carried out everything up to C{seq}; the test's time-out ends the wait."""
        while not all(
            peer.agent.agenda.states.get(seq) is State.DONE and not peer.agent.agenda.open
            for peer in self.peers.values()
        ):
            await sleep(reactor, 0.05)

    @deferred
    async def until_told(self, seq: int, directory: LdapDirectory) -> None:
        """The directory knows that."""
        while True:
            statuses = await directory.statuses()
            if [statuses[name].settled for name in NAMES if name in statuses] == [seq] * len(NAMES):
                return
            await sleep(reactor, 0.1)

    @deferred
    async def test_provider_killed(self) -> None:
        """
        Work goes on without the provider; who starts meanwhile reads the replica; and what was not
        reported is, once the provider is back.
        """
        await self.cluster()
        await self.submit(NAMES[0])
        await self.until_done(1)
        await self.until_told(1, self.admin)
        replica: Slapd = self.replica
        reader = self.directory(ADMIN, self.uris(replica))
        # The replica hears it a moment later than the provider.
        await self.until_told(1, reader)

        await self.provider.kill()
        await self.submit(NAMES[1])
        await self.until_done(2)

        # One that starts now, with an empty disk, finds everything at the replica and its neighbours.
        await self.peers[NAMES[2]].stop()
        await self.start(NAMES[2])
        await self.until_done(2)
        statuses = await reader.statuses()
        self.assertEqual({status.settled for status in statuses.values()}, {1})

        await self.provider.start()
        await self.until_told(2, self.admin)
