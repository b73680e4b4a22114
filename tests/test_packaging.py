"""What an installation brings along agrees with the code."""

import configparser
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from clumpt.config import DEFAULT_PATH

ROOT = Path(__file__).resolve().parent.parent


def ini(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(ROOT / name)
    return parser


class SystemdTests(SynchronousTestCase):
    """What systemd itself says of the unit files."""

    def test_verify(self) -> None:
        """It understands all that is in them, and knows every key."""
        verify = shutil.which("systemd-analyze")
        if verify is None:
            raise SkipTest("this needs systemd-analyze: apt-get install systemd")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for unit in sorted((ROOT / "etc").glob("*.service")):
            # Neither our programs nor our manual pages are installed here.
            text = re.sub(r"(?m)^(ExecStart=)\S+", r"\1/bin/true", unit.read_text())
            (folder / unit.name).write_text(re.sub(r"(?m)^Documentation=.*\n", "", text))
            ended = subprocess.run(
                [verify, "verify", str(folder / unit.name)], capture_output=True, text=True, timeout=60
            )
            self.assertEqual((ended.returncode, ended.stdout + ended.stderr), (0, ""), unit.name)


class UnitFileTests(SynchronousTestCase):
    """etc/clumptd.service lets packages be installed."""

    def setUp(self) -> None:
        self.service = dict(ini("etc/clumptd.service")["Service"])

    def test_helper_outlives(self) -> None:
        """Stopping the daemon leaves the helper and its package manager alone."""
        self.assertEqual(self.service["KillMode"], "process")
        self.assertEqual(self.service["OOMPolicy"], "continue")

    def test_no_own_view(self) -> None:
        """Nothing hides or locks a part of the system that a package may write to."""
        walls = (
            "Protect",
            "Private",
            "ReadOnly",
            "Inaccessible",
            "NoNew",
            "RestrictSUID",
            "MemoryDeny",
            "System",
        )
        self.assertEqual([key for key in self.service if key.startswith(walls)], [])

    def test_signals(self) -> None:
        """It tells when it is started, and is reloaded by the signal that the daemon knows."""
        self.assertEqual(self.service["Type"], "notify")
        self.assertEqual(self.service["ExecReload"], "/bin/kill -HUP $MAINPID")

    def test_command(self) -> None:
        """It starts the daemon with the configuration that every other tool reads."""
        self.assertEqual(self.service["ExecStart"], f"/usr/bin/clumptd --config {DEFAULT_PATH}")


class CommandTests(SynchronousTestCase):
    """The console scripts."""

    def test_commands(self) -> None:
        """Each command of the front doors names a function that is there."""
        scripts = ini("setup.cfg")["options.entry_points"]["console_scripts"].strip().splitlines()
        for line in scripts:
            module, function = line.split("=")[1].strip().split(":")
            if module == "clumpt.apps.scripts":
                self.assertTrue(callable(getattr(import_module(module), function)), line)
