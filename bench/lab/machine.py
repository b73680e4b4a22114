"""What a race was run on."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def described() -> str:
    """Processor, cores, kernel, congestion control and versions, in one line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
        congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    except OSError:
        cpu, congestion = platform.processor(), "unknown"
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({cpu or platform.machine()}), Linux {platform.release()}, TCP {congestion},"
        f" Python {platform.python_version()}, Twisted {version('twisted')}"
    )
