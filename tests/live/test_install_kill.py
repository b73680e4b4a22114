"""Helper and daemon killed at every step: nothing is lost, and nothing runs again after a success."""

import os
import pickle
import signal
import subprocess
from pathlib import Path

from twisted.internet.defer import gatherResults

from clumpt.install.helper import Helper
from clumpt.install.job import Job, job_name
from clumpt.install.process import still_running
from clumpt.model import Entry, State
from tests.installing import an_update, verify
from tests.live.install_driver import words
from tests.live.installcase import InstallCase

#: The first time, it waits for somebody to open C{gate}.
WAITS = (
    'echo "$1" >> "$DPKG_ROOT/ran"\n'
    '[ -e "$DPKG_ROOT/begun" ] && exit 0\n'
    'touch "$DPKG_ROOT/begun"\n'
    'cat "$DPKG_ROOT/gate"\n'
)


class HelperTests(InstallCase):
    """SIGKILL to the helper."""

    async def test_before_it_begins(self) -> None:
        """A helper that dies before it begins is started again; the attempt is not lost."""
        for seq, step in enumerate(("locked", "verified", "staged"), 1):
            entry = self.shell('echo x >> "$CLUMPT_ROOT/ran"', seq=seq)
            outcome = await self.installer(step).run(entry, 1, [])
            self.check(outcome, State.HELD, None, "the install helper ended with None")
            self.check(await self.installer().run(entry, 1, []), State.DONE, 0)
            self.assertEqual(self.ran(), seq)

    async def test_begun(self) -> None:
        """From the beginning to the result nobody knows the end; a new attempt installs it."""
        for seq, (step, runs) in enumerate((("begun", 0), ("ran", 1)), 1):
            entry, paths = self.deb(version=f"{seq}.0", seq=seq)
            before = self.ran()
            for installer in (self.installer(step), self.installer()):
                self.check(await installer.run(entry, 1, paths), State.HELD, None, "interrupted: ")
                self.assertEqual(self.ran(), before + runs)
            self.check(await self.installer().run(entry, 2, paths), State.DONE, 0)
            self.assertEqual(self.ran(), before + runs + 1)

    async def test_recorded(self) -> None:
        """Once the result is there, the death of the helper changes nothing."""
        entry, paths = self.deb()
        self.check(await self.installer("recorded").run(entry, 1, paths), State.DONE, 0)
        self.check(await self.installer().run(entry, 1, paths), State.DONE, 0)
        self.assertEqual(self.ran(), 1)

    async def test_inside(self) -> None:
        """A helper that dies inside the run leaves a run behind, which ends before the next begins."""
        entry, paths = self.deb(WAITS)
        self.root.mkdir()
        os.mkfifo(self.root / "gate")
        running = self.installer().run(entry, 1, paths)
        await self.until(self.root / "begun")
        self.kill_helper(entry)
        self.check(await running, State.HELD, None, "interrupted: ")
        [leader] = self.spool.leaders()
        left = self.folder / "leader"
        left.write_text(leader.read_text())
        self.assertTrue(still_running(left))
        self.check(await self.installer().run(entry, 2, paths), State.DONE, 0)
        self.assertEqual(self.installed(), "install ok installed 1.0")
        self.assertFalse(still_running(left))
        self.assertEqual(self.spool.leaders(), [])

    async def test_late_helper(self) -> None:
        """A helper that was kept waiting while a newer attempt was made does nothing any more."""
        self.spool.prepare()
        entry = self.shell('echo x >> "$CLUMPT_ROOT/ran"')
        for attempt in (1, 2):
            self.spool.write_job(Job(1, attempt, entry.envelope, (), (), self.rules()))
        helper = Helper(self.spool, verify, float, self.fail)
        self.assertEqual(helper.carry_out(job_name(1, 1)), 0)
        self.assertFalse(self.spool.started(job_name(1, 1)))
        self.assertEqual(self.ran(), 0)


class DaemonTests(InstallCase):
    """SIGKILL to the daemon."""

    def daemon(self, step: str, entry: Entry, paths: list[Path]) -> subprocess.Popen[bytes]:
        """A daemon of its own process, which runs C{entry} and dies at C{step}."""
        case = self.folder / "case"
        case.write_bytes(pickle.dumps((self.spool, self.rules(), entry, 1, paths, words("helper"))))
        daemon = subprocess.Popen([*words("daemon", step), case], stdout=subprocess.DEVNULL)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        return daemon

    async def test_steps(self) -> None:
        """Whenever it dies, the next daemon starts the helper or takes over its result: one run."""
        for seq, step in enumerate(("job", "helper"), 1):
            entry = self.shell('echo x >> "$CLUMPT_ROOT/ran"', seq=seq)
            daemon = self.daemon(step, entry, [])
            self.assertEqual(daemon.wait(), -signal.SIGKILL)
            self.check(await self.installer().run(entry, 1, []), State.DONE, 0)
            self.assertEqual(self.ran(), seq)

    async def test_inside(self) -> None:
        """A daemon that dies inside the run loses nothing: the helper goes on, and is adopted."""
        entry, paths = self.deb(WAITS)
        self.root.mkdir()
        os.mkfifo(self.root / "gate")
        daemon = self.daemon("-", entry, paths)
        await self.until(self.root / "begun")
        daemon.kill()
        daemon.wait()
        running = self.installer().run(entry, 1, paths)
        self.assertNoResult(running)
        (self.root / "gate").write_bytes(b"go on\n")
        self.check(await running, State.DONE, 0)
        self.assertEqual(self.ran(), 1)

    async def test_twice_at_once(self) -> None:
        """Two that ask for the same attempt get the same answer, from one run."""
        entry, paths = self.deb()
        both = [self.installer().run(entry, 1, paths) for _ in range(2)]
        for outcome in await gatherResults(both):
            self.check(outcome, State.DONE, 0)
        self.assertEqual(self.ran(), 1)


class TamperTests(InstallCase):
    """What is not signed does not run (promise 1)."""

    async def test_package(self) -> None:
        """A package that was changed on the disk is refused by the helper."""
        entry, [path] = self.deb()
        data = path.read_bytes()
        path.write_bytes(data[:-1] + b"?")
        self.check(await self.installer().run(entry, 1, [path]), State.HELD, None, f"damaged: {path.name} is")
        path.write_bytes(data)
        self.check(await self.installer().run(entry, 2, [path]), State.DONE, 0)
        self.assertEqual(self.ran(), 1)

    async def test_envelope(self) -> None:
        """An envelope that the helper does not trust is refused, whatever the daemon thought of it."""
        good = self.shell('echo x >> "$CLUMPT_ROOT/ran"')
        forged = Entry(good.update, good.envelope[:-1] + b"?", good.digest)
        self.check(await self.installer().run(forged, 1, []), State.HELD, None, "refused: not signed")
        other = Entry(an_update("command", seq=2, argv=("/bin/true",)), good.envelope, good.digest)
        outcome = await self.installer().run(other, 1, [])
        self.check(outcome, State.HELD, None, "refused: the envelope is that of update 1")
        self.assertEqual(self.ran(), 0)

    async def test_not_allowed(self) -> None:
        """The helper keeps to the allow-list itself, even if it is started for a job that does not."""
        entry = self.shell('echo x >> "$CLUMPT_ROOT/ran"')
        rules = self.rules(allowed=frozenset({"dpkg"}))
        self.spool.prepare()
        job = Job(1, 1, entry.envelope, (), (), rules)
        self.spool.write_job(job)
        self.assertEqual(Helper(self.spool, verify, float, self.fail).carry_out(job.name), 0)
        outcome = self.spool.result(job.name)
        assert outcome is not None
        self.check(outcome, State.HELD, None, "installer command is not allowed on this node")
        self.assertEqual(self.ran(), 0)


class FullDiskTests(InstallCase):
    """An install that fills the disk."""

    async def test_result(self) -> None:
        """The room for the result was taken before: how the run ended is not lost."""
        self.spool.prepare()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", self.spool.path],
            capture_output=True,
            check=False,
        )
        if mounted.returncode:
            self.skipTest("cannot mount a small disk here")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.spool.path], check=True)
        entry = self.shell(f"cat /dev/zero > {self.spool.path}/full; exit 5")
        outcome = await self.installer().run(entry, 1, [])
        self.assertEqual((outcome.state, outcome.code), (State.FAILED, 5))
        # And now that it is full, nothing is begun.
        entry = self.shell('echo x >> "$CLUMPT_ROOT/ran"', seq=2)
        outcome = await self.installer().run(entry, 1, [])
        self.check(outcome, State.HELD, None, "the install helper could not start: ")
        self.assertIn("No space left", outcome.reason)
        (self.spool.path / "full").unlink()
        self.check(await self.installer().run(entry, 1, []), State.DONE, 0)
