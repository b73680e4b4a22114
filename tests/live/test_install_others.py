"""The other package managers, where they are installed, in private roots."""

import fcntl
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from clumpt.install.command import Rules, environment_for
from clumpt.install.managers import MANAGERS
from clumpt.model import Action, State
from tests.installing import an_entry, an_update, package_of
from tests.live.installcase import InstallCase
from tests.live.rpms import make_rpm


class OtherCase(InstallCase):
    """A node that allows them all."""

    def rules(self, **more: Any) -> Rules:
        return super().rules(**{"allowed": frozenset(MANAGERS), **more})


class RpmTests(OtherCase):
    """rpm, and those that stand on it."""

    def package(self, manager: str) -> Path:
        for program in ("rpm", "rpmbuild", manager):
            if shutil.which(program) is None:
                self.skipTest(f"there is no {program} here")
        return make_rpm(self.folder)

    async def install(self, manager: str) -> None:
        rpm = self.package(manager)
        install = an_update(manager, packages=(package_of(rpm),))
        for seq in (1, 2):
            # The second time it is there already, as after a run that was cut off: no failure.
            entry = an_entry(an_update(manager, packages=install.packages, seq=seq))
            self.check(await self.installer().run(entry, 1, [rpm]), State.DONE, 0)
            self.assertEqual((self.root / "opt/hello").read_text(), "hello\n")

    async def remove(self, manager: str) -> None:
        remove = an_entry(an_update(manager, Action.REMOVE, targets=("hello",), seq=3))
        self.check(await self.installer().run(remove, 1, []), State.DONE, 0)
        self.assertFalse((self.root / "opt/hello").exists())

    async def test_rpm(self) -> None:
        """rpm installs, installs again, and removes."""
        await self.install("rpm")
        await self.remove("rpm")

    async def test_dnf(self) -> None:
        """dnf does, too."""
        await self.install("dnf")
        await self.remove("dnf")

    async def test_zypper(self) -> None:
        """zypper installs (on Debian it cannot read its own database after a removal)."""
        await self.install("zypper")

    async def test_locked(self) -> None:
        """rpm's lock in somebody else's hands is no failure."""
        rpm = self.package("rpm")
        environment = environment_for(an_update("rpm"), self.rules())
        words = ["rpm", f"--root={self.root}", "--initdb"]
        subprocess.run(words, env=environment, check=True, capture_output=True)
        [lock] = self.root.rglob(".rpm.lock")
        entry = an_entry(an_update("rpm", packages=(package_of(rpm),)))
        with lock.open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            outcome = await self.installer().run(entry, 1, [rpm])
        self.check(outcome, State.HELD, None, "locked: error: can't create transaction lock")


class PipTests(OtherCase):
    """Python packages."""

    def rules(self, **more: Any) -> Rules:
        return super().rules(programs={"pip": (sys.executable, "-m", "pip")}, **more)

    async def test_wheel(self) -> None:
        """A wheel is installed, and again over itself, without asking any index."""
        wheel = self.folder / "hello-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as made:
            made.writestr("hello.py", "x = 1\n")
            info = "hello-1.0.dist-info/"
            made.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
            made.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            made.writestr(info + "RECORD", "")
        # As the repository keeps it, under its digest.
        kept = self.folder / "kept"
        for seq in (1, 2):
            entry = an_entry(an_update("pip", packages=(package_of(wheel),), seq=seq))
            shutil.copy(wheel, kept)
            self.check(await self.installer().run(entry, 1, [kept]), State.DONE, 0)
            self.assertEqual((self.root / "hello.py").read_text(), "x = 1\n")
