"""
Machines that boot, with a systemd of their own, on the files of this one (overlayfs) and on a network of
their own.  Needs root, and systemd-nspawn; what they change is forgotten when they are gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define, field

from bench.lab.hosts import Host, Namespaces

ROOT = Path(__file__).resolve().parent.parent.parent
#: Seconds that anything may take.
LONGEST = 120.0
#: Services of the machine below that are of no use there, or in the way.
OFF = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer", "systemd-timesyncd.service"),
    *("slapd.service", "nginx.service", "postgresql.service", "systemd-networkd-wait-online.service"),
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@define(eq=False)
class Machine:
    """
    One machine.

    @ivar root: where its files are to be seen from here.
    @ivar group: the control group of all its processes.
    """

    host: Host
    root: Path
    group: Path
    _nspawn: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self.host.name

    def boot(self) -> None:
        """Start it; returns when its systemd has started everything."""
        space = self.host.enter[-1].removeprefix("--net=")
        self._nspawn = subprocess.Popen(
            [
                *("bash", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', str(self.group)),
                *("setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet", "--boot", "--register=no"),
                *("--keep-unit", f"--directory={self.root}", f"--network-namespace-path={space}"),
                *(f"--machine={self.name}", f"--hostname={self.name}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # As machines of today have it, whatever this one has.
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
        until(self._leader, f"{self.name} does not start")
        until(lambda: self.tries("test -S /run/systemd/private"), f"{self.name} has no systemd")
        self.run("systemctl is-system-running --wait || true")

    def run(self, command: str, given: bytes = b"") -> str:
        """What the command says there, for a shell; raises C{CalledProcessError} if it fails."""
        words = [*self._enter(), "bash", "-c", command]
        done = subprocess.run(words, input=given, stdout=subprocess.PIPE, timeout=LONGEST, check=True)
        return done.stdout.decode().strip()

    def tries(self, command: str) -> bool:
        """Does the command succeed there?"""
        words = [*self._enter(), "bash", "-c", command]
        return subprocess.run(words, capture_output=True, timeout=LONGEST).returncode == 0

    def power_off(self) -> float:
        """Shut it down as an administrator does; returns the seconds that it took."""
        began = time.monotonic()
        self.run("systemctl poweroff")
        self.goes_down()
        return time.monotonic() - began

    def goes_down(self) -> None:
        """Wait until it is down, by whatever; one that wants to boot anew has to be booted."""
        assert self._nspawn is not None
        self._nspawn.wait(LONGEST)

    def power_loss(self) -> None:
        """Nothing more happens there, from one moment to the next."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            # The first of its processes takes all the others with it; systemd-nspawn alone does not.
            os.kill(int(self._leader() or self._nspawn.pid), signal.SIGKILL)
            self._nspawn.wait(LONGEST)

    def _leader(self) -> str:
        """Its first process, as seen from here; empty if there is none yet."""
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise OSError(f"{self.name}: systemd-nspawn ended with {self._nspawn.returncode}")
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        return children[0] if children else ""

    def _enter(self) -> list[str]:
        """The words before a command that runs there."""
        leader = self._leader()
        inside = f"/proc/{leader}/root"
        return [
            *("nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"),
            *(f"--root={inside}", f"--wd={inside}/root", "env", "-i", f"PATH={PATH}", "HOME=/root"),
        ]


def until(true: Callable[[], object], trouble: str) -> None:
    """Wait until something is true; raises C{TimeoutError}, with C{trouble}, if it does not become so."""
    end = time.monotonic() + LONGEST
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(trouble)
        time.sleep(0.2)


@contextmanager
def machines(peers: int) -> Iterator[tuple[Machine, list[Machine]]]:
    """An administrator's machine and so many others, booted, with Clumpt as it is in the index of git."""
    lab = Namespaces(peers - 1, 0)
    made: list[Machine] = []
    # Where services may look, and on the file system on which the machines see what is there before them.
    with TemporaryDirectory(prefix="clumpt-booted-", dir="/opt") as folder, ExitStack() as mounted:
        try:
            _install(Path(folder))
            changes = Path(folder) / "changes"
            changes.mkdir()
            _mount("-t", "tmpfs", "tmpfs", str(changes))
            mounted.callback(subprocess.run, ["umount", "--recursive", str(changes)], check=True)
            groups = changes / "groups"
            groups.mkdir()
            _mount("-t", "cgroup2", "cgroup2", str(groups))
            for host in (lab.office, *lab.hosts):
                group = groups / f"{Path(folder).name}-{host.name}"
                group.mkdir()
                made.append(Machine(host, _files(changes / host.name, Path(folder)), group))
                made[-1].boot()
            yield made[0], made[1:]
        finally:
            for machine in made:
                machine.power_loss()
                for group, _, _ in os.walk(machine.group, topdown=False):
                    os.rmdir(group)
            lab.close()


def _install(folder: Path) -> None:
    """Clumpt in an environment of its own, as docs/cluster.md says."""
    source = folder / "source"
    _run("git", "-C", str(ROOT), "checkout-index", "--all", f"--prefix={source}/")
    _run("/usr/bin/python3", "-m", "venv", str(folder / "clumpt"))
    _run(str(folder / "clumpt/bin/pip"), "install", "--quiet", f"{source}[admin]")


def _files(place: Path, installed: Path) -> Path:
    """The files of a machine: those of this one, and what is to differ."""
    root, units = place / "root", place / "root/etc/systemd/system"
    for folder in ("root", "upper", "work"):
        (place / folder).mkdir(parents=True)
    layers = f"lowerdir=/,upperdir={place}/upper,workdir={place}/work"
    _mount("-t", "overlay", "overlay", "-o", layers, str(root))
    for name in OFF:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    for unit in (installed / "source/etc").glob("*.service"):
        (units / unit.name).write_bytes(unit.read_bytes())
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text(place.name)
    for script in (installed / "clumpt/bin").glob("clumpt*"):
        (root / "usr/bin" / script.name).unlink(missing_ok=True)
        (root / "usr/bin" / script.name).symlink_to(script)
    return root


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


def _mount(*words: str) -> None:
    _run("mount", *words)


def possible() -> str:
    """Why machines cannot be booted here; nothing if they can."""
    if os.geteuid():
        return "only root can boot machines"
    if not Path("/usr/bin/systemd-nspawn").exists():
        return "apt-get install systemd systemd-container dbus python3-venv"
    return ""
