"""
What is bad on a node or in its directory: each is told clearly, ends with the right status, and leaves
nothing half done.  Here, and in L{tests.live.test_bad_neighbours}, are whole peers, as processes.

What else can be bad is shown elsewhere:

    - files: missing, no package, no file at all (C{test_install_packages}, C{test_submit_verbs}), of a wrong
      architecture (C{test_submit_register.test_architecture})
    - what a group's policy, a key's scope or a quorum forbids (C{test_submit_register}, C{test_job},
      C{live.test_daemon.test_policy})
    - groups and nodes: unknown, empty (C{test_submit_order}, C{test_submit_register.test_nobody}); a group of
      one (C{test_swarm.test_alone})
    - the directory: down (C{live.test_daemon.test_away}, C{test_submit_register.test_down}), without schema
      (C{live.test_conf.test_schema}), with an older one (C{tests.old_schema}), set back to an old backup
      (C{test_submit_register.test_old_backup})
    - certificates: missing, about to expire, expired, of another CA, deployment or name (C{live.test_daemon},
      C{live.test_links}, C{live.test_submit.test_bad_identity})
    - ports in use, state folders of others (C{live.test_daemon.test_taken} and C{test_other_deployment})
    - disks: full while in use (C{live.test_store_full}), failing (C{test_journal.test_no_sync},
      C{test_repository.test_failed_sync}); every way to damage a journal (C{test_journal})
    - commands and package managers, one by one (C{live.test_install_dpkg}, C{live.test_install_others})
    - two submitters at once (also C{live.test_daemon.test_two_submitters}), and one killed at any step
      (C{live.test_submit})
    - frames: cut anywhere, any garbage (C{test_protocol_framing}, C{test_protocol_line})
    - envelopes: every change of them (C{test_trust_keyring}, C{test_trust_dsse})
    - neighbours: in every way slow, mute and wrong (C{test_protocol_link}, C{test_protocol_weather})
"""

import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SkipTest

from clumpt.aio import deferred, sleep
from clumpt.model import Peer, PeerName
from clumpt.testing.keys import Deployment
from tests.live.badcase import BadCase, said
from tests.live.killkit import FINISHED
from tests.live.verdicts import Victim, wrongs


def edit(victim: Victim, old: str, new: str) -> None:
    """Change the configuration of a peer."""
    file = victim.folder / "clumpt.ini"
    file.write_text(file.read_text().replace(old, new))


def mount(folder: Path, options: str) -> bool:
    """Put a small file system there; False if that is not possible here."""
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "clumpt-test", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def umount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def flip(file: Path) -> None:
    """Change one bit in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@frozen
class Refusal:
    """
    A peer that cannot start.

    @ivar spoil: makes it so, and returns what mends it; None if that cannot be done here.
    @ivar status: with which it must end.
    @ivar words: that it must say.
    """

    wrong: str
    spoil: Callable[[Any, Victim], "Coroutine[Deferred[Any], Any, Callable[[], Any] | None]"]
    status: int
    words: str


def configured(old: str, new: str) -> Callable[[Any, Victim], Any]:
    """Another configuration."""

    async def spoil(case: BadCase, victim: Victim) -> Callable[[], Any]:
        right = (victim.folder / "clumpt.ini").read_text()
        (victim.folder / "password").write_text("wrong\n")
        edit(victim, old.format(folder=victim.folder), new.format(folder=victim.folder))
        return lambda: (victim.folder / "clumpt.ini").write_text(right)

    return spoil


def mounted(options: str, fill: bool) -> Callable[[Any, Victim], Any]:
    """Another disk for the state."""

    async def spoil(case: BadCase, victim: Victim) -> Callable[[], Any] | None:
        state = victim.folder / "state"
        if not mount(state, options):
            return None
        if fill:
            (state / "hog").write_bytes(bytes(250 * 1024))
        return lambda: umount(state)

    return spoil


def stated(statement: Callable[[BadCase, Peer], bytes]) -> Callable[[Any, Victim], Any]:
    """Another member statement in the directory."""

    async def spoil(case: BadCase, victim: Victim) -> Callable[[], Any]:
        right = await case.directory.peer(PeerName(victim.folder.name))
        await case.directory.put_peer(evolve(right, member=statement(case, right)))
        return lambda: case.directory.put_peer(right)

    return spoil


REFUSALS = (
    Refusal(
        "wrong base", configured("[tls]", "base = o=elsewhere\n[tls]"), 6, "there is no Clumpt at o=elsewhere"
    ),
    Refusal(
        "refused bind",
        configured(
            "[tls]",
            "bind = simple\nbind_dn = cn=admin,o=clumpt\nbind_password_file = {folder}/password\n[tls]",
        ),
        6,
        "does not accept this name and password",
    ),
    Refusal(
        "no state folder", configured("{folder}/state", "/proc/no/state"), 2, "/proc/no/state: cannot be made"
    ),
    Refusal("read-only state", mounted("ro", False), 1, "state/journal.db"),
    Refusal("full state", mounted("size=256k", True), 1, "make room on this disk"),
    Refusal(
        "statement of another peer",
        stated(lambda case, peer: case.deployment.member("somebody")),
        6,
        "is that of somebody",
    ),
    Refusal(
        "statement of another deployment",
        stated(lambda case, peer: Deployment("other").member(peer.name)),
        6,
        "is not good",
    ),
)


class RefusalTests(BadCase):
    """A peer that cannot start says why; when that is mended, it does all that it should."""

    def test_refusals(self) -> Deferred[None]:
        """Each with its message and its exit status."""
        return self.all_of(self.refuse(f"r{number}", row) for number, row in enumerate(REFUSALS))

    @deferred
    async def refuse(self, name: str, row: Refusal) -> None:
        victim = await self.victim(name)
        mend = await row.spoil(self, victim)
        if mend is None:
            return
        self.assertEqual(await self.live(victim), row.status, said(victim.folder))
        self.assertIn(row.words, said(victim.folder), row.wrong)
        self.assertIn("cannot start", said(victim.folder), row.wrong)
        self.assertNotIn("Traceback", said(victim.folder), row.wrong)
        self.assertEqual(victim.ran(), [])
        mended = mend()
        if isinstance(mended, Deferred):
            await mended
        await self.live(victim)
        await self.check_good(victim)


class DiskTests(BadCase):
    """What was damaged on the disk while the peer was down is noticed, and nothing runs twice for it."""

    @deferred
    async def test_journal(self) -> None:
        """A damaged journal is set aside; what the directory knows to be done is not run again (R13, R15)."""
        victim = await self.victim("v")
        self.assertEqual(await self.live(victim), FINISHED)
        file = victim.folder / "state/journal.db"
        data = file.read_bytes()
        file.write_bytes(data[:100] + b"?" * 500 + data[600:])
        self.assertEqual(await self.live(victim), FINISHED, said(victim.folder))
        self.assertIn(f"the journal was damaged and is kept as {file}.damaged-1", said(victim.folder))
        aside = file.with_name("journal.db.damaged-1")
        self.assertEqual(aside.read_bytes()[100:600], b"?" * 500)
        self.assertEqual(victim.ran(), [1, 2, 3])
        report = await self.report(victim)
        self.assertEqual((report.settled, report.failures), (3, ()))

    @deferred
    async def test_package(self) -> None:
        """A package that was damaged before it is run is fetched again; the bad one is kept to look at."""
        victim, doom = await self.victim("v"), ("runner job", 3)
        await self.live(victim, (doom,))
        [package] = [
            path for path in victim.folder.glob("state/repo/??/*") if path.name == self.debs[1][1].sha256
        ]
        flip(package)
        self.assertEqual(await self.live(victim, (doom,)), FINISHED, said(victim.folder))
        self.assertIn(f"package {package.name} is damaged on this disk", said(victim.folder))
        [kept] = victim.folder.glob("state/repo/damaged/*")
        kept.unlink()
        # The first attempt ran nothing, but was one.
        victim.reported = await self.report(victim)
        self.assertEqual(list(wrongs(victim, (doom,))), ["update 3 had 2 attempts"])

    @deferred
    async def test_arriving(self) -> None:
        """Pieces that were damaged while a package arrives are fetched again."""
        victim, doom = await self.victim("v"), ("sync arriving", 1)
        await self.live(victim, (doom,))
        for path in victim.folder.glob("state/repo/arriving/*"):
            flip(path)
        await self.live(victim, (doom,))
        await self.check_good(victim, doom)

    @deferred
    async def test_fills(self) -> None:
        """A disk without room for packages is reported with its reason; with room again, it goes on (R41)."""
        victim = await self.victim("v")
        state = victim.folder / "state"
        if not mount(state, "size=8m"):
            raise SkipTest("cannot mount a small disk here")
        self.addCleanup(umount, state)
        self.live(victim).addErrback(lambda failure: None)
        await self.until(lambda: "cannot be kept here: no room for a package" in said(victim.folder))
        report = None
        while report is None or "no room for a package" not in report.reason:
            await sleep(reactor, 0.05)
            report = await self.report(victim)
        self.assertEqual((report.head, report.settled, report.failures), (3, 0, ()))
        await self.kill(victim)
        subprocess.run(["mount", "-o", "remount,size=64m", str(state)], check=True)
        await self.live(victim)
        await self.check_good(victim)


class DirectoryTests(BadCase):
    """A directory that does not do what it should while a peer works."""

    @deferred
    async def test_mute(self) -> None:
        """One that takes connections and never answers: who knows the cluster works on, and reports later."""
        victim, doom = await self.victim("v"), ("committed add_entries", 1)
        await self.live(victim, (doom,))
        mute = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(Protocol)
        )
        self.addCleanup(mute.stopListening)
        edit(victim, f":{self.port}\n", f":{mute.getHost().port}\ntimeout = 0.3\n")
        self.live(victim, (doom,)).addErrback(lambda failure: None)
        await self.until(lambda: victim.ran() == [1, 2, 3])
        self.assertIn("starting from what is known here", said(victim.folder))
        await self.until(lambda: "the directory could not be told, trying again" in said(victim.folder))
        await self.kill(victim)
        edit(victim, f":{mute.getHost().port}\ntimeout = 0.3\n", f":{self.port}\n")
        await self.live(victim, (doom,))
        await self.check_good(victim, doom)

    @deferred
    async def test_read_only(self) -> None:
        """One that takes no reports: that is told, the updates are done, and reported once they can be."""
        victim = await self.victim("v")
        port = await self.listen(identify=lambda transport: "CN=seed")
        edit(victim, f":{self.port}\n", f":{port}\n")
        self.live(victim).addErrback(lambda failure: None)
        await self.until(lambda: "(hello 2.0) is done" in said(victim.folder))
        self.assertIn("the directory refuses this peer's report", said(victim.folder))
        await self.kill(victim)
        edit(victim, f":{port}\n", f":{self.port}\n")
        await self.live(victim)
        await self.check_good(victim)
