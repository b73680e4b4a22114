"""Telling systemd that a service is ready (sd_notify(3)), for units of C{Type=notify}."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from socket import AF_UNIX, SOCK_DGRAM, socket

#: What it is told: the service counts as started.
READY = "READY=1"


def tell_systemd(environment: Mapping[str, str], status: str = "") -> None:
    """
    Say that we are ready, if C{environment} says that somebody wants to know.

    @param status: one line that C{systemctl status} shows.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    said = f"{READY}\nSTATUS={status}" if status else READY
    # Whoever asked and does not listen any more is no reason not to work.
    with socket(AF_UNIX, SOCK_DGRAM) as to, suppress(OSError):
        # @ stands for the byte 0, with which abstract addresses begin.
        to.sendto(said.encode(), "\0" + address[1:] if address.startswith("@") else address)
