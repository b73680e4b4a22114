"""What is configured, to be read by people and by programs (R78)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clumpt.aio import deferred
from clumpt.apps.conf_env import Environment, Site, survey
from clumpt.apps.conf_talk import table
from clumpt.apps.nodes import chosen, fold
from clumpt.errors import BadDocument, NothingMatched, Untrusted
from clumpt.kinds import nearest
from clumpt.model import GroupName, Peer, PeerName, PeerStatus


def nodes_of(site: Site) -> list[Peer]:
    """The peers that are nodes, not tools."""
    return [peer for peer in site.peers if peer.addresses or peer.groups]


@deferred
async def list_nodes(env: Environment, group: GroupName | None, folded: bool) -> None:
    """
    Print all nodes, or those of C{group}.

    @param folded: only their names, in one word.
    """
    site = await survey(env)
    peers = [peer for peer in nodes_of(site) if group is None or group in peer.groups]
    if group is not None and not peers:
        known = [one.name for one in site.groups]
        raise NothingMatched(f"no node is in group {group}{nearest(group, known)}")
    statuses = await env.directory.statuses()
    now = env.now()
    heading = ("NODE", "GROUPS", "ADDRESS", "STATE", "SEEN")
    rows = [heading, *(_row(peer, statuses.get(peer.name), now) for peer in peers)]
    lines = [fold(peer.name for peer in peers)] if folded else table(rows)
    env.talk.show(lines, peers=[_fields(peer, statuses.get(peer.name)) for peer in peers])


def _row(peer: Peer, status: PeerStatus | None, now: float) -> tuple[str, ...]:
    where = " ".join(map(str, peer.addresses))
    state = status.state if status else "never reported"
    return peer.name, ",".join(sorted(peer.groups)), where, state, ago(status.seen, now) if status else "-"


def ago(seen: int, now: float) -> str:
    """How long before C{now} the moment C{seen} was, in the largest whole unit."""
    seconds = max(0, int(now) - seen)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def _fields(peer: Peer, status: PeerStatus | None) -> dict[str, Any]:
    reported = None
    if status is not None:
        reported = {
            "state": status.state,
            "reason": status.reason,
            "seen": status.seen,
            "head": status.head,
            "settled": status.settled,
            "version": status.version,
        }
    return {
        "name": peer.name,
        "groups": sorted(peer.groups),
        "addresses": list(map(str, peer.addresses)),
        "arch": peer.arch,
        "rack": peer.rack,
        "neighbours": list(peer.neighbours),
        "overrides": dict(peer.overrides),
        "status": reported,
    }


@deferred
async def show(env: Environment, node: str) -> None:
    """Print all that is known of each of these nodes."""
    site = await survey(env)
    peers = chosen(node, site.peers)
    statuses = await env.directory.statuses([peer.name for peer in peers])
    lines: list[str] = []
    records = []
    for peer in peers:
        record = {**_fields(peer, statuses.get(peer.name)), "statement": _statement(site, peer)}
        records.append(record)
        lines += [*([""] if lines else []), *described(record)]
    env.talk.show(lines, peers=records)


def _statement(site: Site, peer: Peer) -> dict[str, Any]:
    try:
        member = site.keyring.member(peer.member)
    except (BadDocument, Untrusted) as wrong:
        return {"good": False, "why": str(wrong)}
    return {
        "good": True,
        "generation": member.generation,
        "fingerprint": member.fingerprint,
        "groups": sorted(member.groups),
        "issued": member.issued,
    }


def described(record: Mapping[str, Any], indent: str = "") -> list[str]:
    """C{record} a line for each field, what is in it indented."""
    lines = []
    for key, value in record.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", *described(value, indent + "  ")]
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value or "")
            lines.append(f"{indent}{key + ':':<13} {text or '-'}")
    return lines


@deferred
async def neighbours(env: Environment, node: str | None) -> None:
    """Print whom nodes know, and by whom they are known."""
    site = await survey(env)
    peers = chosen(node, site.peers) if node else nodes_of(site)
    known: dict[PeerName, list[PeerName]] = {peer.name: [] for peer in site.peers}
    for peer in site.peers:
        for other in peer.neighbours:
            known.setdefault(other, []).append(peer.name)
    rows = [(peer.name, fold(peer.neighbours) or "-", fold(known[peer.name]) or "-") for peer in peers]
    records = [
        {"name": peer.name, "knows": list(peer.neighbours), "known_by": known[peer.name]} for peer in peers
    ]
    env.talk.show(table([("NODE", "KNOWS", "KNOWN BY"), *rows]), peers=records)
