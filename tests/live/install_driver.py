"""
Helper and daemon as processes of their own, which can be killed at any named step.

As a script: C{install_driver.py helper STEP JOBFILE}, or C{install_driver.py daemon STEP CASE}; the case is
a pickle of (spool, rules, entry, attempt, packages, helper), and the outcome is printed.
"""

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from clumpt.install.helper import Helper
from clumpt.install.job import JobName
from clumpt.install.spool import Spool
from tests.installing import verify


def words(role: str, step: str = "-") -> tuple[str, ...]:
    """What starts a helper or daemon that is killed at C{step}."""
    return (sys.executable, str(Path(__file__).resolve()), role, step)


def killer(doomed: str) -> Callable[[str], None]:
    """Dies without a word at the step C{doomed}."""

    def step(name: str) -> None:
        if name == doomed:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def helper(doomed: str, path: Path) -> int:
    os.setsid()
    return Helper(
        Spool(path.parent), verify, time.monotonic, time.sleep, step=killer(doomed), patience=0.3, grace=0.3
    ).carry_out(JobName(path.stem))


def daemon(doomed: str, path: Path) -> int:
    from twisted.internet import reactor, task

    from clumpt.install.runner import HelperInstaller

    spool, rules, entry, attempt, packages, starts = pickle.loads(path.read_bytes())
    installer = HelperInstaller(reactor, reactor, spool, rules, tuple, starts, step=killer(doomed))

    def main(_: object) -> object:
        return installer.run(entry, attempt, packages).addCallback(print)

    task.react(main)
    return 0


if __name__ == "__main__":
    sys.exit({"helper": helper, "daemon": daemon}[sys.argv[1]](sys.argv[2], Path(sys.argv[3])))
