"""Real package managers, in private roots, through a real helper."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from clumpt.install.command import Command, command_for
from clumpt.install.job import job_name
from clumpt.install.spool import OUTPUT_LIMIT
from clumpt.model import Action, Entry, State
from tests.installing import an_entry, an_update, package_of
from tests.live.debs import make_deb
from tests.live.installcase import InstallCase


class DpkgTests(InstallCase):
    """dpkg does what the update says, and what it says is told truly."""

    async def test_install(self) -> None:
        """A package is installed, its script runs once, and nothing is written outside the root."""
        entry, paths = self.deb()
        self.check(await self.installer().run(entry, 1, paths), State.DONE, 0)
        self.assertEqual(self.installed(), "install ok installed 1.0")
        self.assertEqual(self.ran(), 1)
        self.assertIn(b"Setting up hello (1.0)", self.installer().output(1))
        self.assertTrue((self.root / "dpkg.log").exists())
        self.assertFalse((self.spool.path / "stage").exists())

    async def test_upgrade_and_remove(self) -> None:
        """An upgrade keeps what the administrator changed; removing leaves no program file."""
        installer = self.installer()
        entry, paths = self.deb()
        await installer.run(entry, 1, paths)
        (self.root / "etc/hello.conf").write_text("as changed here\n")
        entry, paths = self.deb(version="2.0", seq=2)
        self.check(await installer.run(entry, 1, paths), State.DONE, 0)
        self.assertEqual(self.installed(), "install ok installed 2.0")
        self.assertEqual((self.root / "etc/hello.conf").read_text(), "as changed here\n")
        remove = an_entry(an_update(action=Action.REMOVE, targets=("hello",), seq=3))
        self.check(await installer.run(remove, 1, []), State.DONE, 0)
        self.assertFalse((self.root / "usr/share/hello").exists())

    async def test_failing_script(self) -> None:
        """A script that fails makes the install fail, with the manager's own words."""
        entry, paths = self.deb("echo no luck; exit 7\n")
        outcome = await self.installer().run(entry, 1, paths)
        self.check(outcome, State.FAILED, 1, "dpkg ended with 1: dpkg: error processing package hello")
        self.assertIn(b"no luck", self.installer().output(1))

    async def test_locked(self) -> None:
        """A lock that somebody else holds is waited for, and is no failure."""
        entry, paths = self.deb()
        lock = self.root / "var/lib/dpkg/lock-frontend"
        lock.parent.mkdir(parents=True)
        with lock.open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            outcome = await self.installer().run(entry, 1, paths)
            self.check(outcome, State.HELD, None, "locked: dpkg: error: dpkg frontend lock was locked")
            # Let go between the first and the second try.
            waiting = self.installer(lock_timeout=30.0).run(entry, 2, paths)
            await self.until(self.spool.file(job_name(1, 2), "output"))
        self.check(await waiting, State.DONE, 0)
        self.assertEqual(self.ran(), 1)

    async def test_repair(self) -> None:
        """What an interrupted dpkg left half done is configured before the next install."""
        entry, paths = self.deb()
        await self.installer().run(entry, 1, paths)
        # As dpkg leaves it: a journal that was not merged, and a package that was only unpacked.
        updates = self.root / "var/lib/dpkg/updates"
        status = (self.root / "var/lib/dpkg/status").read_text()
        (updates / "0001").write_text(status.replace("install ok installed", "install ok half-configured"))
        other = an_entry(an_update("tar", seq=2))
        self.assertIs((await self.installer().run(other, 1, [])).state, State.FAILED)
        entry, paths = self.deb(version="2.0", seq=3)
        self.check(await self.installer().run(entry, 1, paths), State.DONE, 0)
        self.assertIn(b"--configure -a", self.installer().output(3))
        self.assertEqual(list(updates.iterdir()), [])
        # Configured once at the first install, once by the repair, once by the upgrade.
        self.assertEqual(self.ran(), 3)

    async def test_not_root(self) -> None:
        """A private root needs no privilege, so that a try-out can be run by anybody."""
        if os.geteuid() != 0:
            self.skipTest("covered by the other tests")
        entry, [path] = self.deb()
        # Others may not enter the folder of this test.
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        os.chown(folder, 65534, 65534)
        command = command_for(
            entry.update,
            self.rules(root=str(folder / "root")),
            [str(shutil.copy(path, folder / "hello.deb"))],
        )
        assert isinstance(command, Command)
        (folder / "root").mkdir(mode=0o777)
        os.chown(folder / "root", 65534, 65534)
        done = subprocess.run(
            command.runs[0],
            user=65534,
            group=65534,
            extra_groups=(),
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((folder / "root/ran").read_text(), "configure\n")

    async def test_bundle(self) -> None:
        """Several packages are one run of the manager."""
        one, [first] = self.deb()
        (self.folder / "more").mkdir()
        second = make_deb(self.folder / "more", name="world")
        entry = an_entry(an_update(packages=(package_of(first), package_of(second, "world"))))
        self.check(await self.installer().run(entry, 1, [first, second]), State.DONE, 0)
        self.assertEqual(self.ran(), 2)
        self.assertEqual(self.installed("world"), "install ok installed 1.0")


class TarTests(InstallCase):
    """Archives are unpacked within the root, or not at all."""

    def archive(self, *names: str, seq: int = 1) -> tuple[Entry, list[Path]]:
        (self.folder / "in/sub").mkdir(parents=True, exist_ok=True)
        (self.folder / "in/sub/file").write_text("text")
        path = self.folder / f"files-{seq}.0.tar.gz"
        subprocess.run(
            ["tar", "-czPf", path, *names], cwd=self.folder / "in", check=True, capture_output=True
        )
        return an_entry(an_update("tar", packages=(package_of(path, "files"),), seq=seq)), [path]

    async def test_unpack(self) -> None:
        """Directories that are there keep their rights, and links to directories stay links."""
        (self.root / "real").mkdir(parents=True)
        (self.root / "sub").symlink_to("real")
        self.root.chmod(0o750)
        entry, paths = self.archive("./")
        self.check(await self.installer().run(entry, 1, paths), State.DONE, 0)
        self.assertEqual((self.root / "real/file").read_text(), "text")
        self.assertTrue((self.root / "sub").is_symlink())
        self.assertEqual(self.root.stat().st_mode & 0o777, 0o750)

    async def test_escape(self) -> None:
        """An archive with an absolute name, or one that leads out, is not unpacked at all."""
        inside = str(self.folder / "in/sub/file")
        for seq, names in enumerate((["sub", inside], ["sub", "../in/sub/file"]), 1):
            entry, paths = self.archive(*names, seq=seq)
            outcome = await self.installer().run(entry, 1, paths)
            self.check(outcome, State.FAILED, None, "the package holds the forbidden name")
        self.assertFalse(self.root.exists())

    async def test_no_archive(self) -> None:
        """What tar cannot read is a failure, in tar's words."""
        path = self.folder / "files.tar"
        path.write_bytes(b"not an archive at all" * 100)
        entry = an_entry(an_update("tar", packages=(package_of(path),)))
        outcome = await self.installer().run(entry, 1, [path])
        self.check(outcome, State.FAILED, None, "the package cannot be read: tar ended with 2")


class CommandTests(InstallCase):
    """Commands of all sorts of behaviour."""

    async def test_exit_codes(self) -> None:
        """The exit status is reported as it was, a signal as its negative."""
        for seq, (script, code) in enumerate((("exit 3", 3), ("kill -TERM $$", -15), ("true", 0)), 1):
            outcome = await self.installer().run(self.shell(script, seq=seq), 1, [])
            self.assertEqual(outcome.code, code)
            self.assertIs(outcome.state, State.FAILED if code else State.DONE)

    async def test_surroundings(self) -> None:
        """A command reads nothing, inherits nothing, and leads a session of its own."""
        os.environ["CLUMPT_TEST_SECRET"] = "secret"
        self.addCleanup(os.environ.pop, "CLUMPT_TEST_SECRET")
        script = 'env; pwd; umask; cat; ls -l /proc/self/fd; ps -o sid= -p $$ | grep -wq $$ && echo "leads"'
        self.check(await self.installer().run(self.shell(script, seq=5), 1, []), State.DONE, 0)
        printed = self.installer().output(5).decode()
        self.assertNotIn("secret", printed)
        self.assertIn("CLUMPT_SEQ=5", printed)
        self.assertIn("\n/\n0022\n", printed)
        self.assertIn("leads", printed)
        self.assertNotIn("spool", printed.replace(str(self.folder / "root"), ""))

    async def test_hang(self) -> None:
        """A command that ignores SIGTERM is killed with all its children when its time is over."""
        script = "trap '' TERM; sleep 300 & echo $! > $CLUMPT_ROOT/child; while :; do sleep 300; done"
        outcome = await self.installer(timeout=0.3).run(self.shell(script), 1, [])
        self.check(outcome, State.FAILED, -9, "sh timed out after 0.3 s")
        self.gone(self.root / "child")

    async def test_hang_politely(self) -> None:
        """A command that exits at SIGTERM was late all the same, and its children are not left behind."""
        child = "(trap '' TERM; echo ready; exec sleep 300)"
        script = f"trap 'exit 0' TERM; {child} & echo $! > $CLUMPT_ROOT/child; wait"
        outcome = await self.installer(timeout=0.5).run(self.shell(script), 1, [])
        self.check(outcome, State.FAILED, 0, "sh timed out after 0.5 s")
        self.gone(self.root / "child")

    def gone(self, file: Path) -> None:
        """Is the process whose id is in C{file} dead, whoever has to bury it?"""
        status = Path("/proc") / file.read_text().strip() / "status"
        self.assertTrue(not status.exists() or "Z (zombie)" in status.read_text())

    async def test_daemon(self) -> None:
        """A daemon that is left behind with the output still open holds nobody, and is left alone."""
        script = 'sleep 300 & echo $! > "$CLUMPT_ROOT/child"'
        outcome = await self.installer().run(self.shell(script), 1, [])
        self.check(outcome, State.DONE, 0)
        pid = int((self.root / "child").read_text())
        os.kill(pid, 9)

    async def test_flood(self) -> None:
        """Of a flood of output, the end is kept, and the disk is not filled."""
        script = "head -c 50000000 /dev/zero; echo the end"
        self.check(await self.installer().run(self.shell(script), 1, []), State.DONE, 0)
        printed = self.installer().output(1)
        self.assertEqual(len(printed), OUTPUT_LIMIT)
        self.assertTrue(printed.endswith(b"the end\n"))

    async def test_packages(self) -> None:
        """A command can be given the packages, under their own names."""
        path = self.folder / "data.bin"
        path.write_bytes(b"data")
        argv = ("/bin/cp", "{packages}", str(self.folder / "copy"))
        entry = an_entry(an_update("command", argv=argv, packages=(package_of(path),)))
        stored = self.folder / ("0" * 64)
        path.rename(stored)
        self.check(await self.installer().run(entry, 1, [stored]), State.DONE, 0)
        self.assertEqual((self.folder / "copy").read_bytes(), b"data")
        self.assertIn(b"/data.bin", self.installer().output(1))
