"""
Peers and install helpers that are killed at a step: the processes of the kill-point tests.

As a script it forks a peer for each line of its standard input (L{Order}, as JSON), so that nothing is
imported twice, and prints a line for each that ended: its name and its status.  Each peer is the real daemon;
only the places where rooms tell of their steps are taken, and the helper is forked, not started anew.
"""

import ctypes
import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from twisted.internet import epollreactor
from twisted.internet.defer import execute
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.process import registerReapProcessHandler, unregisterReapProcessHandler
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure

from clumpt.apps import daemon, install_helper
from clumpt.configfile import load
from clumpt.install.helper import Helper
from clumpt.install.runner import HelperInstaller
from tests.live.steps import Order, Reporting, Steps, journal, spool_steps, storage
from tests.live.twists import TWISTS

#: Statuses with which a peer ends, besides that of a signal.
FINISHED, LATE, STOPPED = 0, 70, 71
#: Seconds in which a peer has to come to its end.
WITHIN = 240.0
_SUBREAPER = 36


class Forks:
    """Forks the helper, instead of starting another Python."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def spawnProcess(
        self, protocol: Any, executable: str, args: Sequence[str], childFDs: Mapping[int, int], **more: Any
    ) -> None:
        pid = os.fork()
        if pid == 0:
            in_child(lambda: self.help(list(args)), childFDs)
        Forked(pid, protocol)

    def help(self, args: list[str]) -> int:
        """Be the helper that was to be started."""
        os.chdir("/")
        seq = Path(args[-1]).stem.partition("-")[0]
        own = Steps(self.steps.order)
        self.wait_for_another(own.folder)

        def step(name: str) -> None:
            own(f"helper {seq}: {name}")

        def now() -> float:
            if (own.folder / "amid").exists():
                step("amid")
                own(f"power {seq}: amid")
            return time.monotonic()

        def make(spool: Any, verify: Any, _: Any, sleep: Any, rules: Any) -> Helper:
            return Helper(spool, verify, now, sleep, rules, step, patience=5.0, grace=0.3)

        # Behind the program and the folder that it is imported from.
        words = args[args.index("-c") + 3 :]
        with spool_steps(step), patch.object(install_helper, "Helper", make):
            return install_helper.main(words)

    def wait_for_another(self, folder: Path) -> None:
        """If the first helper is to be late: wait until another one is at work."""
        late = folder / "late"
        if late.exists():
            late.unlink()
            until = time.monotonic() + WITHIN
            while "locked\t" not in (folder / "trace").read_text() and time.monotonic() < until:
                time.sleep(0.01)


class Forked:
    """A forked process, of whose end its protocol is told."""

    def __init__(self, pid: int, protocol: Any) -> None:
        self.pid, self.protocol = pid, protocol
        registerReapProcessHandler(pid, self)

    def reapProcess(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            unregisterReapProcessHandler(pid, self)
            self.processEnded(status)

    def processEnded(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        ended = ProcessTerminated(code if code > 0 else None, -code if code < 0 else None, status)
        self.protocol.processExited(Failure(ended if code else ProcessDone(status)))


def in_child(work: Callable[[], int], files: Mapping[int, int]) -> None:
    """Do C{work} in a process that was just forked, with these files only, and end it."""
    status = 1
    try:
        # What the parent left open is none of ours: it must not even be closed by a garbage collection.
        gc.freeze()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for ours, theirs in files.items():
            os.dup2(theirs, ours)
        os.closerange(3, 1 << 16)
        status = work()
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - a child never returns to what its parent was doing
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def own_reactor() -> Any:
    """A reactor of this process: ldaptor installs one where it is imported, before the fork."""
    sys.modules.pop("twisted.internet.reactor", None)
    epollreactor.install()
    return sys.modules["twisted.internet.reactor"]


def be_peer(order: Order) -> int:
    """Be the daemon, until it is finished."""
    reactor = own_reactor()
    daemon.steady(reactor)
    steps = Steps(order)
    (steps.folder / "pid").write_text(str(os.getpid()))
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    status = [LATE]

    def end(code: int) -> None:
        status[0] = code
        reactor.stop()

    def installer(clock: Any, processes: Any, spool: Any, rules: Any, roots: Any, helper: Any) -> Any:
        return HelperInstaller(
            clock,
            processes,
            spool,
            rules,
            roots,
            helper,
            pauses=(0.0, 0.1, 0.2),
            step=lambda name: steps(f"runner {name}"),
        )

    def look() -> None:
        if order.head and serving._peer is not None and _finished(serving._peer, order.head):
            end(FINISHED)
        elif reactor.running:
            reactor.callLater(0.02, look)

    rooms = {
        "DiskStorage": lambda root: storage(root, steps),
        "SqliteJournal": type("Opening", (), {"open": lambda path: journal(path, steps)}),
        "HelperInstaller": installer,
        "real_directory": lambda *words, make=daemon.real_directory: Reporting(make(*words), steps),
    }
    spool = spool_steps(lambda name: steps(f"runner {name}"))
    with patch.multiple(daemon, **rooms), spool, TWISTS[order.twist](steps.folder):
        path, forks = Path(order.config), Forks(steps)
        serving = daemon.Daemon(
            path,
            load(path),
            reactor,
            lambda config, own: daemon.real_node(config, own, execute, path, forks),
            end,
            lambda status: None,
        )
        reactor.callWhenRunning(serving.startService)
        reactor.callWhenRunning(look)
        if order.head:
            reactor.callLater(WITHIN, end, LATE)
        reactor.addSystemEventTrigger("before", "shutdown", serving.stopService)
        reactor.run()
    return status[0] if order.head else STOPPED


def _finished(peer: Any, head: int) -> bool:
    """Is everything settled, or held for good, and the directory told of it?"""
    agenda, journal = peer.agent.agenda, peer.journal.inner
    stuck = agenda.open[:1] in [(seq,) for seq in agenda.stuck]
    # Without groups it has not begun.
    known = len(agenda.states) >= head and agenda.groups
    return bool(known) and (stuck or not agenda.open) and journal.changes() == journal.reported()


class Zygote:
    """Forks peers as it is told, and sees to it that nothing outlives it."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.waiting = b""
        # What a killed peer leaves behind becomes our child.
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        self.ended, self.wake = os.pipe()
        os.set_blocking(self.wake, False)
        signal.set_wakeup_fd(self.wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until standard input ends."""
        going_on = True
        while going_on:
            ready, _, _ = select.select([0, self.ended], [], [])
            if self.ended in ready:
                os.read(self.ended, 4096)
                self.reap(os.WNOHANG)
            if 0 in ready:
                going_on = self.read()
        self.end()

    def read(self) -> bool:
        data = os.read(0, 65536)
        *lines, self.waiting = (self.waiting + data).split(b"\n")
        for line in lines:
            self.fork(Order.decode(line))
        return bool(data)

    def fork(self, order: Order) -> None:
        pid = os.fork()
        if pid:
            self.names[pid] = order.name
            return
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(Path(order.folder) / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        in_child(lambda: be_peer(order), {0: null, 1: log, 2: log})

    def reap(self, how: int) -> None:
        """Take in all that have ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, how))[0]:
                name = self.names.pop(ended[0], None)
                if name is not None:
                    print(name, os.waitstatus_to_exitcode(ended[1]), flush=True)

    def end(self) -> None:
        """Kill whatever is left; who loses its parent becomes our child, so this ends."""
        while children := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(-1, 0)


if __name__ == "__main__":
    Zygote().serve()
