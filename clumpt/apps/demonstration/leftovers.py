"""Installs that are still running when everything is to end: they live in sessions of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from clumpt.aio import deferred, sleep

#: Seconds between two looks.
LOOK = 0.02
_HELPER = b"clumpt.apps.install_helper"


def running(folder: Path, proc: Path = Path("/proc")) -> Iterator[int]:
    """The processes that install something below C{folder}: helpers, and what they started."""
    inside = os.fsencode(folder) + b"/"
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        # Somebody else's, or gone meanwhile.
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            helper = _HELPER in words and any(word.startswith(inside) for word in words)
            if helper or b"\0CLUMPT_ROOT=" + inside in b"\0" + (entry / "environ").read_bytes():
                yield int(entry.name)


@deferred
async def end_runs(folder: Path, reactor: Any) -> None:
    """
    End all installs below C{folder}; fires when none is left.

    What they do concerns nothing but the private roots there, which are removed next.
    """
    while left := list(running(folder)):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await sleep(reactor, LOOK)
