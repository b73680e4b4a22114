"""
The command C{clumpt-install-helper}: carries out one job of the spool.

The daemon starts it; it then lives in a session of its own and needs nobody.
With C{--config} it takes what this node trusts and allows from the
administrators' own file, so that it may have more rights than the daemon.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from clumpt.config import InstallSection
from clumpt.configfile import load
from clumpt.install.command import Rules
from clumpt.install.helper import Helper
from clumpt.install.job import Job, JobName
from clumpt.install.spool import Spool
from clumpt.model import Update
from clumpt.trust.keyring import Keyring


def rules_of(section: InstallSection) -> Rules:
    """What the configuration of a node allows."""
    return Rules(section.allowed, str(section.root), section.timeout, section.lock_timeout)


def verifier(pinned: Sequence[bytes]) -> Callable[[Job], Update]:
    """
    What verifies the update of a job.

    @param pinned: the root document that this node trusts, if the helper knows it itself; the later
        ones, and the first if C{pinned} is empty, come with the job.
    """

    def verify(job: Job) -> Update:
        return Keyring.trusting([*pinned, *job.roots]).entry(job.envelope).update

    return verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the job that is named on the command line; the exit status is 0 once its result is there."""
    parser = ArgumentParser("clumpt-install-helper", description="Carry out one job of Clumpt's spool.")
    parser.add_argument("--config", type=Path, help="take what is trusted and allowed from this file")
    parser.add_argument("job", type=Path, help="the job file")
    options = parser.parse_args(arguments)
    with suppress(PermissionError):
        # It leads a session already if a shell or systemd started it.
        os.setsid()
    rules, pinned = None, []
    if options.config:
        config = load(options.config)
        rules, pinned = rules_of(config.install), [config.trust.root.read_bytes()]
    job = options.job.absolute()
    helper = Helper(Spool(job.parent), verifier(pinned), time.monotonic, time.sleep, rules)
    return helper.carry_out(JobName(job.stem))


if __name__ == "__main__":
    sys.exit(main())
