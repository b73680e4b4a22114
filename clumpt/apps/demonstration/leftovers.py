"""Processes that are still at work when everything is to end: installs live in sessions of their own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from clumpt.aio import deferred, sleep

#: Seconds between two looks.
LOOK = 0.02
#: Where what is run for a demonstration lies in its folder.
_PARTS = ("nodes", "openldap")
_SLAPD = b"/slapd"


def running(folder: Path, proc: Path = Path("/proc")) -> Iterator[int]:
    """The processes that do the work of a demonstration in C{folder}: helpers, peers, a directory."""
    ours = tuple(os.fsencode(folder / part) + b"/" for part in _PARTS)
    roots = b"\0CLUMPT_ROOT=" + ours[0]
    for entry in proc.iterdir():
        # Somebody else's, or gone meanwhile.
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            words = (entry / "cmdline").read_bytes().split(b"\0")
            known = words[0] == os.fsencode(sys.executable) or words[0].endswith(_SLAPD)
            works = known and any(word.startswith(ours) for word in words)
            if works or roots in b"\0" + (entry / "environ").read_bytes():
                yield pid


@deferred
async def end_runs(folder: Path, reactor: Any) -> None:
    """
    End everything that works in C{folder}; fires when none is left.

    What they do concerns nothing but the private roots there, which are removed next.
    """
    while left := list(running(folder)):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await sleep(reactor, LOOK)
