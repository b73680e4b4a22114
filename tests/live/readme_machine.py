"""
What stands in for the machines of docs/cluster.md, as C{readme_machine.py NAME WORDS...}.

C{ssh} runs its command here, with the folders of that node.  C{systemctl} starts and stops the two services.
The commands of Clumpt are the real ones; each is told where the C{/etc} of its machine is.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket
from tempfile import TemporaryDirectory

SITE = json.loads(os.environ["CLUMPT_SITE"])
FOLDER = Path(SITE["folder"])
HOST = os.environ.get("CLUMPT_HOST", "admin")
HOME = FOLDER / HOST
SCRIPTS = {
    "clumpt": "clumpt",
    "clumptconf": "clumptconf",
    "clumptd": "clumptd",
    "clumpt-directory": "directory",
}
LONGEST = 60.0


def ssh(where: str, *words: str) -> int:
    """Run a command on another machine."""
    host = where.rpartition("@")[2]
    for name in ("etc", "var/lib"):
        (FOLDER / host / name).mkdir(parents=True, exist_ok=True)
    command = " ".join(words).replace(str(FOLDER / "admin"), str(FOLDER / host))
    return subprocess.run(["bash", "-c", command], env={**os.environ, "CLUMPT_HOST": host}).returncode


def systemctl(verb: str, *words: str) -> int:
    """Start and stop a service; C{enable} and C{disable} are C{--now}."""
    unit = words[-1]
    begins, ends = verb in ("start", "enable", "restart"), verb in ("stop", "disable", "restart")
    if ends:
        _stop(unit)
    if begins:
        _start(unit)
    return 0


def _file(unit: str, kind: str) -> Path:
    return HOME / f"{unit}.{kind}"


def _stop(unit: str) -> None:
    pid = int(_file(unit, "pid").read_text())
    os.kill(pid, signal.SIGTERM)
    _until(lambda: not Path(f"/proc/{pid}").exists(), f"{unit} does not end")


def _start(unit: str) -> None:
    """Start it, and wait until it is ready: the one says so to systemd, the other in its log."""
    # Not below the folder of the test: the name of a socket may have 107 bytes.
    with (
        TemporaryDirectory(prefix="clumpt-") as short,
        socket(AF_UNIX, SOCK_DGRAM) as ready,
        _file(unit, "log").open("w") as log,
    ):
        address = Path(short) / "ready"
        ready.bind(str(address))
        ready.settimeout(LONGEST)
        started = subprocess.Popen(
            [unit],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "NOTIFY_SOCKET": str(address)},
        )
        _file(unit, "pid").write_text(str(started.pid))
        assert b"READY=1" in ready.recv(200)


def _until(done: Callable[[], bool], complaint: str) -> None:
    until = time.monotonic() + LONGEST
    while not done():
        if time.monotonic() > until:
            raise SystemExit(f"{HOST}: {complaint}")
        time.sleep(0.05)


def clumpt_command(name: str, words: list[str]) -> int:
    """Become a command of Clumpt."""
    config = ["--config", str(HOME / "etc/clumpt.ini")]
    if name == "clumpt-directory":
        host, port = SITE["directory"]
        tls, state = HOME / "etc/clumpt/directory", HOME / "var/lib/clumpt-directory"
        config = ["--tls", str(tls), "--state", str(state), "--listen", host, "--port", str(port)]
    if name == "clumptconf" and words[0] == "init":
        words = [*words, "--out", str(HOME / "etc")]
    code = f"from clumpt.apps.scripts import {SCRIPTS[name]}; {SCRIPTS[name]}()"
    os.execv(sys.executable, [sys.executable, "-c", code, *config, *words])


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command in SCRIPTS:
        clumpt_command(command, rest)
    sys.exit({"ssh": ssh, "systemctl": systemctl}[command](*rest))
