"""Where the packages of an update came from, over all nodes: read from what they report, and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from clumpt.aio import deferred
from clumpt.apps.desk import Desk
from clumpt.apps.nodes import fold
from clumpt.apps.screen import size
from clumpt.model import PeerName, Update
from clumpt.pieces import Digest
from clumpt.provenance import Origin, Provenance, summed

#: What the kinds of senders are called for programs.
_KEYS = {
    Origin.SUBMITTER: "submitter",
    Origin.RACK: "same_rack",
    Origin.GROUP: "same_group",
    Origin.OTHER: "others",
}


@frozen
class Sources:
    """
    What the nodes that an update concerns told of its packages.

    @ivar told: by node and digest; nodes that told of none of them are not in it.
    @ivar silent: those nodes.
    """

    update: Update
    told: Mapping[PeerName, Mapping[Digest, Provenance]]
    silent: tuple[PeerName, ...]

    @property
    def total(self) -> Provenance:
        """All nodes and packages together, without the names."""
        return summed(one for packages in self.told.values() for one in packages.values())

    @property
    def spoilers(self) -> Mapping[PeerName, int]:
        """Who sent wrong pieces, and how many nodes say so."""
        named = Counter(
            PeerName(name)
            for packages in self.told.values()
            for name in {name for one in packages.values() for name in one.spoilers}
        )
        return dict(sorted(named.items()))


@deferred
async def sources(desk: Desk, update: Update) -> Sources:
    """What the nodes that C{update} concerns last reported; fails as the directory does."""
    digests = {package.sha256 for package in update.packages}
    if not digests:
        return Sources(update, {}, ())
    peers = [peer.name for peer in await desk.directory.peers() if update.concerns(peer.name, peer.groups)]
    statuses = await desk.directory.statuses(peers, sources=True)
    told = {
        name: {digest: one for digest, one in statuses[name].sources if digest in digests}
        for name in peers
        if name in statuses
    }
    told = {name: packages for name, packages in told.items() if packages}
    return Sources(update, told, tuple(name for name in peers if name not in told))


def line(seen: Sources) -> str:
    """In one line; empty if there is nothing to tell."""
    if not seen.told:
        return ""
    total = seen.total
    if not total.total and not total.wrong:
        return ""
    shares = [
        f"{_percent(amount, total.total)} from {origin}" for origin, amount in total.parts.items() if amount
    ]
    said = f"came: {size(total.total)} to {len(seen.told)} nodes"
    said += f", {', '.join(shares)}" if shares else ""
    said += f"; {_percent(total.duplicates, total.total)} twice" if total.duplicates else ""
    return said + (f"; {total.wrong} wrong pieces, of {fold(seen.spoilers)}" if total.wrong else "")


def lines(seen: Sources) -> list[str]:
    """In several lines: the sums, and of whom nothing is known."""
    if not seen.update.packages:
        return []
    total = seen.total
    said = [f"came: {size(total.total)} to {len(seen.told)} nodes"] if seen.told else []
    for origin, amount in total.parts.items() if total.total else ():
        said.append(f"  from {origin}: {size(amount)} ({_percent(amount, total.total)})")
    if seen.told:
        said.append(f"  twice: {size(total.duplicates)} ({_percent(total.duplicates, total.total)})")
        by = [f"{name} (told by {count})" for name, count in seen.spoilers.items()]
        said.append(f"  wrong pieces: {total.wrong}{', of ' if by else ''}{', '.join(by)}")
    if seen.silent:
        said.append(f"not told by: {len(seen.silent)} nodes: {fold(seen.silent)}")
    return said


def plain(seen: Sources, by_node: bool) -> dict[str, Any]:
    """
    For programs.

    @param by_node: with what each node says of each package.
    """
    made: dict[str, Any] = {
        "nodes": len(seen.told),
        "silent": list(seen.silent),
        **_plain(seen.total),
        "spoilers": dict(seen.spoilers),
    }
    if by_node:
        made["by_node"] = {
            name: {digest: _one(one) for digest, one in packages.items()}
            for name, packages in sorted(seen.told.items())
        }
    return made


def _one(one: Provenance) -> dict[str, Any]:
    return {**_plain(one), "spoilers": list(one.spoilers)}


def _plain(one: Provenance) -> dict[str, Any]:
    parts = {_KEYS[origin]: amount for origin, amount in one.parts.items()}
    return {"bytes": parts, "duplicates": one.duplicates, "wrong": one.wrong}


def _percent(amount: int, whole: int) -> str:
    share = 100 * amount / whole if whole else 0.0
    return f"{share:.0f}%" if share == round(share) or share >= 10 else f"{share:.1f}%"
