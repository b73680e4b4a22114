"""twistd lists the four services, however Clumpt was installed (R95, R98)."""

import os
import subprocess
import sys
import venv
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"clumpt", "clumpt-submit", "clumpt-conf", "clumpt-directory"}
COMMANDS = {"clumpt", "clumptconf", "clumptd", "clumpt-directory", "clumpt-install-helper"}
TWISTD = "from twisted.scripts.twistd import run; run()"
#: What an installation is made from; nothing else is copied or seen.
SOURCES = (
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "clumpt",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "twisted",
)
LONGEST = 300


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    """What a process prints; its failure is an error that shows all of that."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**clean, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def listed(python: str | Path, cwd: Path, **environment: str) -> set[str]:
    """Our services as C{twistd --help} lists them."""
    help_text = run(python, "-c", TWISTD, "--help", cwd=cwd, **environment)
    return {line.split()[0] for line in help_text.splitlines() if line.strip()} & SERVICES


class PluginTests(SynchronousTestCase):
    """The services are found."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def installed(self, *how: str) -> Path:
        """
        The interpreter of a new environment with a copy of Clumpt in it.

        What Clumpt needs is taken from the environment of the tests, which is added behind the new one's
        own packages; nothing is fetched.
        """
        source = self.folder / "source"
        source.mkdir()
        for name in SOURCES:
            if (ROOT / name).exists():
                run("cp", "-r", ROOT / name, source, cwd=self.folder)
        home = self.folder / "venv"
        venv.create(home, with_pip=False, symlinks=True)
        (site,) = home.glob("lib/python*/site-packages")
        behind = [path for path in sys.path if path.endswith("site-packages") and Path(path).is_dir()]
        (site / "behind.pth").write_text("".join(path + "\n" for path in behind))
        pip = (
            "-m",
            "pip",
            "--python",
            str(home / "bin/python"),
            "install",
            "-q",
            "--no-deps",
            "--no-build-isolation",
        )
        run(sys.executable, *pip, *how, cwd=source)
        return home / "bin/python"

    def test_checkout(self) -> None:
        """A bare checkout needs its place on the path and nothing else."""
        self.assertEqual(listed(sys.executable, self.folder, PYTHONPATH=str(ROOT)), SERVICES)

    def test_wheel(self) -> None:
        """An ordinary installation has the services and the commands, and leaves Twisted whole."""
        python = self.installed(".")
        run("rm", "-r", self.folder / "source", cwd=self.folder)
        self.assertEqual(listed(python, self.folder), SERVICES)
        self.assertLessEqual(COMMANDS, {path.name for path in python.parent.iterdir()})
        where = run(
            python, "-c", "import clumpt, clumpt.apps.scripts; print(clumpt.__file__)", cwd=self.folder
        )
        self.assertIn(str(self.folder / "venv"), where)

    def test_editable(self) -> None:
        """An editable installation has them too; setuptools' own way of doing it would hide them."""
        python = self.installed("-e", ".")
        self.assertEqual(listed(python, self.folder), SERVICES)
        where = run(python, "-c", "import clumpt; print(clumpt.__file__)", cwd=self.folder)
        self.assertIn(str(self.folder / "source"), where)
