"""The daemon as a process: how it starts, refuses to, reloads, ends, and survives (R21, R27-R30, R95)."""

import os
import shutil
import signal
from pathlib import Path
from random import Random
from socket import AF_UNIX, SOCK_DGRAM, socket

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from clumpt.aio import deferred, sleep
from clumpt.apps.conf_init import NewDeployment, create
from clumpt.apps.conf_keys import Places, load_certificate
from clumpt.expiry import told
from clumpt.model import Group, GroupName, PeerName, State
from clumpt.trust.pki import Authority, Identity, Validity, expires
from tests.live.daemons import BEGAN, DEPLOYMENT, SCRIPT, TWISTD, DaemonCase
from tests.live.debs import make_deb


class StartTests(DaemonCase):
    """A daemon that starts, and how it ends."""

    nodes = ("n1",)

    @deferred
    async def test_twistd(self) -> None:
        """Under twistd as under its own name it starts, reloads, and ends cleanly (R95)."""
        # twistd ends as the signal would have ended it.
        for command in (TWISTD, SCRIPT):
            daemon = await self.up("n1", command)
            status = await self.status("n1")
            assert status is not None
            self.assertEqual((status.state, status.head), ("active", 0))
            daemon.send(signal.SIGHUP)
            await daemon.hears("reloaded")
            self.assertEqual(await daemon.end(), -signal.SIGTERM, daemon.said)
            self.assertNotIn("Traceback", daemon.said)
        leftovers = [path.name for path in self.folder.iterdir() if path.suffix in (".tap", ".pid")]
        self.assertEqual(leftovers, [])

    @deferred
    async def test_told(self) -> None:
        """systemd is told when the peer is up, and never of one that cannot start."""
        name = f"clumpt-test-{os.getpid()}-{id(self)}"
        with socket(AF_UNIX, SOCK_DGRAM) as waiting:
            waiting.bind(f"\0{name}")
            waiting.settimeout(0)
            self.environment["NOTIFY_SOCKET"] = f"@{name}"
            self.configure("n1", more="[limits]\nquota = many\n")
            await self.refuses("n1", 2, "quota must be")
            self.assertRaises(BlockingIOError, waiting.recv, 100)
            self.configure("n1")
            await self.up("n1")
            while True:
                try:
                    self.assertEqual(waiting.recv(100), b"READY=1\nSTATUS=n1 is up")
                    return
                except BlockingIOError:
                    await sleep(reactor, 0.02)

    @deferred
    async def test_certificate_ends(self) -> None:
        """A certificate that ends soon is warned of, also in the directory, until another one is there."""
        certificate, _ = self.pair("n1")
        authority = Authority(DEPLOYMENT, Identity.load(*Places.below(self.folder).pair("ca")))
        kept, good = load_certificate(certificate), certificate.read_bytes()
        short = authority.renew(kept, Validity(reactor.seconds(), 10.0))
        certificate.write_bytes(short.public_bytes(Encoding.PEM))
        daemon = await self.up("n1")
        ends = told((await self.reports("n1", lambda status: status is not None)).reason)
        self.assertEqual(ends, expires(short) // 60 * 60)
        self.assertIn("clumptconf renew n1 makes a new one", daemon.said)
        certificate.write_bytes(good)
        daemon.send(signal.SIGHUP)
        await self.reports("n1", lambda status: status is not None and not status.reason)

    @deferred
    async def test_reload_bad(self) -> None:
        """A reload that finds a mistake says so, and everything stays as it was."""
        daemon = await self.up("n1")
        self.configure("n1", more="[limits]\nuplaod = 5M\n")
        daemon.send(signal.SIGHUP)
        await daemon.hears("not reloaded, everything stays as it was")
        self.assertIn("test.ini:8: unknown key uplaod in [limits]", daemon.said)
        self.configure("n1", more="[limits]\nupload = 5M\n")
        daemon.send(signal.SIGHUP)
        await daemon.hears("reloaded; names")

    @deferred
    async def test_strangers(self) -> None:
        """Who shows no certificate gets no further than the handshake, at both ports."""
        await self.up("n1")
        for port in self.ports["n1"]:
            said = await self.s_client(port)
            self.assertIn("alert", said)
        certificate, key = map(str, self.pair("n1"))
        self.assertNotIn("alert", await self.s_client(self.ports["n1"][0], "-cert", certificate, "-key", key))

    @deferred
    async def s_client(self, port: int, *words: str) -> str:
        """What C{openssl s_client} says of a port, until the far side hangs up or says something."""
        client = self.spawn("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words)
        while client.status is None and "Verify return code" not in client.said:
            await sleep(reactor, 0.05)
        # TLS 1.3: a client learns only afterwards that its certificate was not liked.
        if not words:
            await client.ended
        return client.said


class RefusalTests(DaemonCase):
    """A daemon that cannot start says what is wrong and how to mend it."""

    nodes = ("n1",)

    @deferred
    async def test_configuration(self) -> None:
        """Every mistake is told with its file, its line and the nearest key; the status is that of usage."""
        self.configure("n1", more="[limits]\nuplaod = 5M\nquota = many\n")
        for command in (SCRIPT, TWISTD):
            daemon = self.start("n1", command=command)
            await daemon.ended
            self.assertEqual(daemon.status, 2, daemon.said)
            self.assertIn(
                "clumpt.d/test.ini:8: unknown key uplaod in [limits] (did you mean upload?)", daemon.said
            )
            self.assertIn("clumpt.d/test.ini:9: quota must be", daemon.said)
            self.assertNotIn("Traceback", daemon.said)

    @deferred
    async def test_check_config(self) -> None:
        """C{--check-config} prints the merged configuration and starts nothing."""
        daemon = self.start("n1", "--check-config")
        await daemon.ended
        self.assertEqual(daemon.status, 0, daemon.said)
        self.assertIn(f"state = {self.state('n1')}", daemon.said)
        self.assertIn("test.ini:3", daemon.said)
        self.assertFalse(self.state("n1").exists())

    def give(self, identity: Identity) -> None:
        """Let n1 have this certificate and key."""
        for path, pem in zip(self.pair("n1"), (identity.certificate_pem, identity.key_pem()), strict=True):
            path.write_bytes(pem)

    def authority(self, out: Path, deployment: str) -> Authority:
        return Authority(deployment, Identity.load(*Places.below(out).pair("ca")))

    @deferred
    async def test_certificates(self) -> None:
        """A certificate that is missing, over, another node's or another authority's is named."""
        certificate, key = self.pair("n1")
        kept = certificate.read_bytes()
        certificate.unlink()
        await self.refuses("n1", 2, f"{certificate}: No such file")
        authority = self.authority(self.folder, DEPLOYMENT)
        self.give(authority.peer(PeerName("n1"), ["127.0.0.1"], Validity(BEGAN, 1.0)))
        await self.refuses("n1", 2, f"{certificate} expired on 2023-11-15", "clumptconf renew n1")
        self.give(authority.peer(PeerName("n2"), ["127.0.0.1"], Validity(BEGAN, 9999.0)))
        await self.refuses("n1", 6, f"{certificate} is the certificate of n2, but this peer is n1")
        certificate.write_bytes(kept)
        await self.refuses("n1", 2, f"{key} is not the key of {certificate}")
        self.make_other(DEPLOYMENT)
        other = self.authority(self.folder / "other", DEPLOYMENT)
        self.give(other.peer(PeerName("n1"), ["127.0.0.1"], Validity(BEGAN, 9999.0)))
        await self.refuses("n1", 2, f"{certificate} was not issued by the authority in")
        self.assertFalse(self.state("n1").exists())

    @deferred
    async def test_documents(self) -> None:
        """A root document that is missing, or none at all, is named."""
        root = self.etc("n1") / "clumpt/root.json"
        root.write_bytes(b"{}")
        await self.refuses("n1", 2, f"{root} is no root document")
        root.unlink()
        await self.refuses("n1", 2, f"{root}: cannot read the pinned root document: No such file")

    def make_other(self, deployment: str) -> Path:
        """The files of another deployment; they are in this folder."""
        other = self.folder / "other"
        other.mkdir()
        create(other, NewDeployment(deployment, (f"ldaps://127.0.0.1:{self.directory_port}",)), BEGAN)
        return other

    @deferred
    async def test_other_deployment(self) -> None:
        """Neither the certificate nor the state folder of another deployment will do."""
        await (await self.up("n1")).end()
        other = self.make_other("other-0123456789ab")
        tls = self.etc("n1") / "clumpt/tls"
        shutil.copy(other / "clumpt/root.json", tls.parent / "root.json")
        await self.refuses("n1", 2, f"its certificate belongs to deployment '{DEPLOYMENT}'")
        shutil.copy(other / "clumpt/tls/ca.pem", tls / "ca.pem")
        authority = self.authority(other, "other-0123456789ab")
        self.give(authority.peer(PeerName("n1"), ["127.0.0.1"], Validity(BEGAN, 9999.0)))
        await self.refuses(
            "n1", 6, f"{self.state('n1')} belongs to another deployment", "another state folder"
        )

    @deferred
    async def test_taken(self) -> None:
        """A state folder or a port that is in use is left alone, and so is the folder of another peer."""
        first = await self.up("n1")
        await self.refuses("n1", 1, "is in use by another Clumpt process")
        await self.enrol("n2")
        shutil.copytree(self.state("n1"), self.state("n2"))
        await self.refuses("n2", 6, "n1")
        shutil.rmtree(self.state("n2"))
        taken = self.ports["n1"][0]
        self.configure("n2", peer=f"notify_port = {taken}")
        await self.refuses("n2", 2, f"cannot listen at port {taken} of 127.0.0.1")
        self.assertIsNone(first.status)

    @deferred
    async def test_unknown(self) -> None:
        """A node that the directory does not know says how to enrol it."""
        await self.env.directory.remove_peer("n1")
        await self.refuses("n1", 6, "is this node enrolled (clumptconf add)?")


class DirectoryTests(DaemonCase):
    """A directory that is away when a daemon starts."""

    nodes = ("n1",)

    @deferred
    async def test_away(self) -> None:
        """A new peer waits for the directory; one that read it once starts without it (R8, R29)."""
        await self.close_directory()
        waiting = self.start("n1")
        await waiting.hears("waiting for the directory")
        # Also while it waits it ends at once.
        self.assertEqual(await waiting.end(), -signal.SIGTERM, waiting.said)
        self.assertNotIn("Traceback", waiting.said)
        await self.open_directory()
        await (await self.up("n1")).end()
        await self.close_directory()
        daemon = await self.up("n1")
        self.assertIn("starting from what is known here", daemon.said)
        self.assertIn("cannot be reached", daemon.said)


class InstallTests(DaemonCase):
    """Daemons that install."""

    @deferred
    async def test_two(self) -> None:
        """What is submitted to one is installed by both, recorded, and can be read (R32-R37, R54, R64)."""
        for name in self.nodes:
            await self.up(name)
        deb = make_deb(self.folder)
        await self.submit("install", str(deb), "-g", "all", "-y", "--wait", "all", "--timeout", "30")
        for name in self.nodes:
            status = await self.settles(name, 1)
            self.assertEqual((status.head, status.failures), (1, ()))
            self.assertEqual(self.ran(name), ["configure"])
            self.assertEqual((self.root(name) / "usr/share/hello").read_text(), "1.0")
        said = await self.submit("log", "1", "n2")
        self.assertIn("Setting up hello (1.0)", said)

    @deferred
    async def test_two_submitters(self) -> None:
        """Two tools that submit at once do not disturb each other, whose certificate is the same (H5)."""
        for name in self.nodes:
            await self.up(name)
        ini = self.folder / "clumpt.ini"
        ini.write_text(ini.read_text() + "\n[limits]\nupload = 2M\n")
        debs = [make_deb(self.folder, name, size=3_000_000) for name in ("one", "two")]
        words = ("-g", "all", "--initial", "100", "-y", "--timeout", "60")
        for said in await gatherResults([self.submit("install", str(deb), *words) for deb in debs]):
            self.assertIn("2 of 2 have received it", said)
            self.assertNotIn("cannot be reached", said)
        for daemon in self.running:
            self.assertNotIn("a newer link took its place", daemon.said)
        for name in self.nodes:
            self.assertEqual((await self.settles(name, 2)).failures, ())

    @deferred
    async def test_policy(self) -> None:
        """What a group refuses is not submitted to it; what was before is not run by its nodes (R11)."""
        await self.up("n1")
        deb = make_deb(self.folder)
        await self.submit("install", str(deb), "-g", "all", "-y")
        await self.settles("n1", 1)
        refusing = Group(GroupName("all"), refuses=frozenset({"hell*"}))
        await self.env.directory.put_group(refusing)
        said = await self.submit("install", str(deb), "-g", "all", "-y", status=6)
        self.assertIn("group all does not allow hello: it refuses hell*; that holds for n[1-2]", said)
        self.assertEqual(await self.env.directory.head(), 1)
        daemon = await self.up("n2")
        [failure] = (await self.settles("n2", 1)).failures
        self.assertEqual((failure.seq, failure.state, failure.code), (1, State.FAILED, None))
        self.assertEqual(failure.reason, "refused: group all does not allow hello: it refuses hell*")
        self.assertEqual((self.ran("n1"), self.ran("n2")), (["configure"], []))
        # When it is allowed again, a retry runs it.
        await self.env.directory.put_group(Group(GroupName("all")))
        await daemon.end()
        await self.up("n2")
        await self.submit("retry", "1", "-y", "--wait", "all", "--timeout", "30")
        self.assertEqual(self.ran("n2"), ["configure"])

    @deferred
    async def test_killed(self) -> None:
        """However often the daemon is killed, each update is run once and in order (promise 2)."""
        await self.up("n1")
        seed = 20260
        random = Random(seed)
        ordered = [f"{number}.0" for number in range(1, 5)]
        for version in ordered:
            # Each run takes a moment, in which the daemon can die.
            deb = make_deb(
                self.folder, version=version, postinst=f'sleep 0.2; echo {version} >> "$DPKG_ROOT/ran"\n'
            )
            await self.submit("install", str(deb), "-g", "all", "-y")
        victim, status, kills = self.start("n2"), None, 0
        while status is None or status.settled < len(ordered):
            await sleep(reactor, random.uniform(0.3, 1.5))
            status = await self.status("n2")
            if status is None or status.settled < len(ordered):
                await victim.end(signal.SIGKILL)
                victim, kills = self.start("n2"), kills + 1
        self.assertGreater(kills, 1)
        self.assertEqual(status.failures, (), f"seed {seed}")
        self.assertEqual(self.ran("n2"), ordered, f"seed {seed}")
        await victim.end()
        self.assertEqual(set(self.journal("n2").states().values()), {State.DONE})

    @deferred
    async def test_ends_amid(self) -> None:
        """SIGTERM amid an install ends the daemon, not the install; the next daemon takes in its result."""
        await self.up("n1")
        daemon = await self.up("n2")
        release = self.folder / "release"
        wait = f'echo begun >> "$DPKG_ROOT/ran"; while [ ! -e {release} ]; do sleep 0.05; done\n'
        await self.submit("install", str(make_deb(self.folder, postinst=wait)), "-g", "all", "-y")
        while not self.ran("n2"):
            await sleep(reactor, 0.05)
        self.assertEqual(await daemon.end(), -signal.SIGTERM, daemon.said)
        self.assertNotEqual(self.helpers(), [])
        release.touch()
        await self.up("n2")
        self.assertEqual((await self.settles("n2", 1)).failures, ())
        self.assertEqual(self.ran("n2"), ["begun"])

    @deferred
    async def test_journal_lost(self) -> None:
        """Who lost its journal runs nothing again that the directory knows to be done (R13, R15)."""
        daemon = await self.up("n1")
        await self.submit("install", str(make_deb(self.folder)), "-g", "all", "-w", "n1", "-y")
        await self.settles("n1", 1)
        await daemon.end()
        # The packages are still here, so all could be run at once.
        (self.state("n1") / "journal.db").unlink()
        shutil.rmtree(self.state("n1") / "spool")
        daemon = await self.up("n1")
        self.assertIn("the journal was damaged", daemon.said)
        await self.settles("n1", 1)
        self.assertNotIn("update 1", daemon.said)
        self.assertEqual(self.helpers(), [])
        self.assertEqual(self.ran("n1"), ["configure"])
        await daemon.end()
        self.assertEqual(self.journal("n1").states(), {1: State.DONE})
