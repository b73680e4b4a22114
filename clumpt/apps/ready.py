"""Telling systemd that a service is ready (sd_notify(3)), for units of C{Type=notify}."""

from __future__ import annotations

from collections.abc import Mapping
from socket import AF_UNIX, SOCK_DGRAM, socket


def tell_systemd(environment: Mapping[str, str]) -> None:
    """Say that we are ready, if C{environment} says that somebody wants to know."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket(AF_UNIX, SOCK_DGRAM) as to:
        # @ stands for the byte 0, with which abstract addresses begin.
        to.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
