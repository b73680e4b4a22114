"""A cluster on the loopback whose peers are killed, but for the one that has everything."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.trial.unittest import SkipTest, TestCase

from clumpt.aio import deferred, sleep
from clumpt.ldap.bootstrap import bootstrap
from clumpt.ldap.connection import Servers
from clumpt.ldap.directory import LdapDirectory
from clumpt.ldap.dn import Tree
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.embedded.tls import server_options
from clumpt.ldap.servers import Dialler, External, Tls, Uri, over_network
from clumpt.model import Action, Address, Group, GroupName, Peer, PeerName, Settings
from clumpt.store.repository import FileRepository
from clumpt.store.storage import DiskStorage
from clumpt.testing.keys import Deployment
from clumpt.testing.slapd import free_port
from clumpt.trust.pki import ADMIN, Authority, Identity, Validity, fingerprint
from tests.embedded_case import BASE, SCHEMA
from tests.installing import package_of
from tests.live import killkit
from tests.live.debs import make_deb
from tests.live.steps import Doom, Order
from tests.live.verdicts import Victim

#: Certificates that began at this time are good now, whenever that is.
BEGAN = Validity(1_700_000_000.0, 36500.0)
ALL = frozenset({GroupName("all")})
#: What runs leaves its number in a file beside the root; the first may be told to take its time.
LINE = (
    'cd "{root}/.."; if [ -e "slow {seq}" ]; then rm "slow {seq}"; touch amid; sleep 0.6; fi; '
    "echo {seq} >> ran\n"
)
CONFIG = """
[peer]
name = {name}
state = {folder}/state
listen = 127.0.0.1
notify_port = {ports[0]}
update_port = {ports[1]}
[directory]
uris = ldaps://127.0.0.1:{directory}
report_delay = 0.02
[tls]
ca = {tls}/ca.pem
certificate = {folder}/peer.pem
key = {folder}/peer-key.pem
[trust]
root = {tls}/root.json
[install]
root = {folder}/root
allow = dpkg
allow_command = yes
timeout = 20
lock_timeout = 0.2
"""


class Processes(ProcessProtocol):
    """The process that forks peers."""

    def __init__(self) -> None:
        self.waiting: dict[str, Deferred[int]] = {}
        self.gone: Deferred[None] = Deferred()
        self.stopping = False
        self.rest = b""
        self.said = b""

    def outReceived(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            name, status = line.decode().split()
            self.waiting.pop(name).callback(int(status))

    def errReceived(self, data: bytes) -> None:
        self.said += data

    def processEnded(self, reason: Any) -> None:
        waiting, self.waiting = self.waiting, {}
        for name in () if self.stopping else waiting:
            waiting[name].errback(RuntimeError(f"nobody forks peers any more: {self.said.decode()}"))
        self.gone.callback(None)

    def fork(self, order: Order) -> Deferred[int]:
        """Fork a peer; fires with its status, once it ended."""
        ended: Deferred[int] = Deferred()
        self.waiting[order.name] = ended
        # Any: the interface does not say that it can be None.
        process: Any = self.transport
        process.write(order.encode())
        return ended

    def children(self) -> list[str]:
        """The processes that run: peers, and what they left behind."""
        # Any: see above.
        process: Any = self.transport
        return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    def stop(self) -> Deferred[None]:
        """End all peers, and what they left behind."""
        self.stopping = True
        process: Any = self.transport
        process.closeStdin()
        return self.gone


class KillCase(TestCase):
    """A cluster with three updates: a package, a command, and a newer version of the package."""

    timeout = 3600

    def setUp(self) -> Deferred[None]:
        if shutil.which("dpkg") is None:
            raise SkipTest("there is no dpkg here")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.deployment = Deployment("test")
        self.authority = Authority.create("test", BEGAN)
        self.ports: dict[str, tuple[int, int]] = {}
        return self.furnish()

    @deferred
    async def furnish(self) -> None:
        (self.folder / "ca.pem").write_bytes(self.authority.identity.certificate_pem)
        (self.folder / "root.json").write_bytes(self.deployment.root_envelope)
        await self.serve()
        self.directory = self.admins_view()
        await self.directory.add_root(1, self.deployment.root_envelope)
        await self.directory.put_group(Group(GroupName("all")))
        self.sign()
        for entry in self.deployment.entries:
            await self.directory.register(entry)
        self.processes = Processes()
        script = str(Path(killkit.__file__).resolve())
        reactor.spawnProcess(self.processes, sys.executable, (sys.executable, script), env=os.environ)
        self.addCleanup(self.processes.stop)
        await self.enrol("seed", self.folder / "seed", (free_port(), free_port()))
        await self.fill(self.folder / "seed/state")
        seed = self.folder / "seed"
        self.processes.fork(Order("seed", str(seed / "clumpt.ini"), str(seed)))
        while not (seed / "log").exists() or "seed is up" not in (seed / "log").read_text():
            await sleep(reactor, 0.02)

    @deferred
    async def serve(self) -> None:
        """Serve a directory that is new."""
        self.store = Store(BASE, SCHEMA, None)
        self.store.fill(bootstrap(BASE, b"", Settings("test", interval=300.0)))
        self.port = await self.listen()

    @deferred
    async def listen(self, **more: Any) -> int:
        """Serve the directory at one more port, perhaps in another way; fires with the port."""
        identity = self.authority.server(["127.0.0.1"], BEGAN)
        tls = server_options(
            identity.certificate_pem, identity.key_pem(), self.authority.identity.certificate_pem
        )
        serving = EmbeddedDirectory(
            store=self.store, clock=reactor, passwords=Passwords(os.urandom, cost=2), tls=tls, **more
        )
        endpoint = SSL4ServerEndpoint(reactor, 0, tls, backlog=50, interface="127.0.0.1")
        listening = await endpoint.listen(serving)
        self.addCleanup(listening.stopListening)
        return int(listening.getHost().port)

    def admins_view(self) -> LdapDirectory:
        identity = self.authority.client(ADMIN, BEGAN)
        tls = Tls(
            trustRootFromCertificates([Certificate.loadPEM(self.authority.identity.certificate_pem)]),
            PrivateCertificate.loadPEM(identity.certificate_pem + identity.key_pem()),
        )
        dialler = Dialler(reactor, over_network(reactor, tls), External())
        directory = LdapDirectory(Servers([Uri(True, "127.0.0.1", self.port)], dialler), Tree(BASE))
        self.addCleanup(directory.close)
        return directory

    def sign(self) -> None:
        """Sign the three updates, of which each needs those before it."""
        self.debs = []
        for version, seq in (("1.0", 1), ("2.0", 3)):
            script = LINE.format(root="$DPKG_ROOT", seq=seq)
            # Large enough to come in several pieces.
            deb = make_deb(self.folder, version=version, postinst=f"{script}exit\n#{' ballast' * 10_000}\n")
            self.debs.append((deb, package_of(deb, version=version)))
        (_, older), (_, newer) = self.debs
        argv = ("/bin/sh", "-c", LINE.format(root="$CLUMPT_ROOT", seq=2).strip())
        self.deployment.sign(groups=ALL, packages=(older,))
        self.deployment.sign(groups=ALL, action=Action.RUN, installer="command", argv=argv, requires=(1,))
        self.deployment.sign(groups=ALL, packages=(newer,), requires=(1, 2))

    @deferred
    async def fill(self, state: Path) -> None:
        """Let a peer have all packages before it begins."""
        repository = await FileRepository.open(DiskStorage(state), execute)
        for deb, package in self.debs:
            await repository.add_file(deb, package)

    @deferred
    async def enrol(
        self, name: str, folder: Path, ports: tuple[int, int] = (0, 0), neighbours: tuple[str, ...] = ()
    ) -> None:
        """A peer of that name, with its files in C{folder}."""
        folder.mkdir(exist_ok=True)
        self.ports[name] = ports
        identity: Identity = self.authority.peer(PeerName(name), ["127.0.0.1"], BEGAN)
        identity.save(folder / "peer.pem", folder / "peer-key.pem")
        said = CONFIG.format(name=name, folder=folder, ports=ports, directory=self.port, tls=self.folder)
        (folder / "clumpt.ini").write_text(said)
        addresses = (Address("127.0.0.1", *ports),) if ports[0] else (Address("127.0.0.1", 9, 9),)
        member = self.deployment.member(name, fingerprint=fingerprint(identity.certificate))
        peer = Peer(PeerName(name), addresses, ALL, member, tuple(map(PeerName, neighbours)))
        await self.directory.put_peer(peer)

    @deferred
    async def survive(self, name: str, dooms: tuple[Doom, ...]) -> Victim:
        """Let a new peer live, die at each doom, and come to its end."""
        folder = self.folder / name
        await self.enrol(name, folder, neighbours=("seed",))
        victim = Victim(folder)
        for label, _ in dooms:
            who, _, step = label.partition(": ")
            if step == "amid":
                (folder / f"slow {who.split()[1]}").touch()
        order = Order(name, str(folder / "clumpt.ini"), str(folder), dooms, len(self.deployment.entries))
        while len(victim.statuses) <= len(dooms):
            victim.statuses.append(await self.processes.fork(order))
            victim.remember()
            if victim.statuses[-1] != -9:
                break
        victim.reported = (await self.directory.statuses([PeerName(name)])).get(PeerName(name))
        return victim
