"""Where peers stand, so that packages may come from nearby.  Pure."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, ip_address

from clumpt.model import Peer

#: Bits of an address that machines on one wire have in common.
_SUBNET, _SUBNET_6 = 24, 64


class Locality(StrEnum):
    """What tells who is near."""

    NONE = "none"
    #: What the directory says.
    RACK = "rack"
    #: The first address in the directory: its /24, or /64 for IPv6.
    SUBNET = "subnet"


def place(peer: Peer, locality: Locality) -> str:
    """Where C{peer} stands: the same text for all that are near each other; empty if nobody can tell."""
    match locality:
        case Locality.RACK:
            return peer.rack
        case Locality.SUBNET if peer.addresses:
            return _subnet(peer.addresses[0].host)
    return ""


def _subnet(host: str) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        # A name says nothing about where it leads.
        return ""
    width, common = (32, _SUBNET) if isinstance(address, IPv4Address) else (128, _SUBNET_6)
    return f"{int(address) >> width - common:x}/{common}"
