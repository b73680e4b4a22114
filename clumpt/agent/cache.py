"""
What the directory said last, as bytes for the journal, so that a peer can start without it (R8, R45).

It lies on this node's own disk and is trusted like the journal itself; what matters in it is signed anyway.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import asdict

from clumpt.model import Address, Group, Peer, Settings

#: The fields of a group that are sets.
_POLICY = ("installers", "packages", "refuses")


def encode_settings(settings: Settings) -> bytes:
    """The settings as bytes."""
    return json.dumps(asdict(settings)).encode()


def decode_settings(raw: bytes) -> Settings:
    """What L{encode_settings} wrote."""
    return Settings(**json.loads(raw))


def encode_peers(peers: Iterable[Peer]) -> bytes:
    """Peers as bytes."""
    return json.dumps([_plain(peer) for peer in peers]).encode()


def decode_peers(raw: bytes) -> Sequence[Peer]:
    """What L{encode_peers} wrote."""
    return [_peer(plain) for plain in json.loads(raw)]


def encode_groups(groups: Iterable[Group]) -> bytes:
    """Groups as bytes."""
    return json.dumps([asdict(group) for group in groups], default=sorted).encode()


def decode_groups(raw: bytes) -> Sequence[Group]:
    """What L{encode_groups} wrote."""
    return [
        Group(plain["name"], plain["description"], *(frozenset(plain[k]) for k in _POLICY))
        for plain in json.loads(raw)
    ]


def _plain(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "addresses": [str(address) for address in peer.addresses],
        "groups": sorted(peer.groups),
        "member": b64encode(peer.member).decode(),
        "neighbours": list(peer.neighbours),
        "overrides": [list(pair) for pair in peer.overrides],
        "arch": peer.arch,
        "rack": peer.rack,
    }


def _peer(plain: dict[str, Any]) -> Peer:
    return Peer(
        name=plain["name"],
        addresses=tuple(map(Address.parse, plain["addresses"])),
        groups=frozenset(plain["groups"]),
        member=b64decode(plain["member"]),
        neighbours=tuple(plain["neighbours"]),
        overrides=tuple((key, value) for key, value in plain["overrides"]),
        arch=plain["arch"],
        rack=plain["rack"],
    )
