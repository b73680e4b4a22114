"""Whom an order is for: the peers of its groups, less what was left out (R61)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import frozen

from clumpt.errors import NothingMatched
from clumpt.kinds import nearest
from clumpt.model import GroupName, Package, Peer, PeerName, Update

#: C{fits(arch of a package, arch of a peer)}.
Fits = Callable[[str, str], bool]


@frozen
class Selection:
    """
    What the administrator named.

    @ivar nodes: if not empty, only these of the groups.
    """

    groups: frozenset[GroupName]
    nodes: frozenset[PeerName] = frozenset()
    exclude: frozenset[PeerName] = frozenset()


def choose(selection: Selection, peers: Iterable[Peer], groups: Collection[GroupName]) -> tuple[Peer, ...]:
    """
    The peers that C{selection} means, by name.

    @param peers: all peers of the deployment.
    @param groups: all groups of the deployment.

    Raises L{NothingMatched} for a group or node that is not there, or if no peer is left.
    """
    everybody = {peer.name: peer for peer in peers}
    _check(selection.groups, groups, "group")
    _check(selection.nodes | selection.exclude, everybody, "peer")
    members = {name for name, peer in everybody.items() if not peer.groups.isdisjoint(selection.groups)}
    named = ", ".join(sorted(selection.groups))
    if not members:
        raise NothingMatched(f"nobody is in {named}; clumptconf puts peers into groups")
    if strangers := selection.nodes - members:
        raise NothingMatched(f"{', '.join(sorted(strangers))}: not in {named}")
    chosen = (selection.nodes or members) - selection.exclude
    if not chosen:
        raise NothingMatched(f"no peer of {named} is left")
    return tuple(everybody[name] for name in sorted(chosen))


def _check(named: Iterable[str], known: Collection[str], what: str) -> None:
    if strange := sorted(set(named).difference(known)):
        hint = nearest(strange[0], known) if len(strange) == 1 else ""
        raise NothingMatched(f"there is no {what} {', '.join(strange)}{hint}")


def misfits(
    packages: Iterable[Package], peers: Collection[Peer], fits: Fits
) -> Mapping[Package, Mapping[str, Collection[PeerName]]]:
    """
    The packages that are for another architecture than some peers have: those peers, by their architecture.

    A peer of which the architecture is not known fits.
    """
    found: dict[Package, Mapping[str, Collection[PeerName]]] = {}
    for package in packages:
        wrong: dict[str, list[PeerName]] = {}
        for peer in peers:
            if peer.arch and not fits(package.arch, peer.arch):
                wrong.setdefault(peer.arch, []).append(peer.name)
        if wrong:
            found[package] = wrong
    return found


def concerned(update: Update, peers: Iterable[Peer]) -> tuple[Peer, ...]:
    """Those of C{peers} who are to carry out C{update}, by name."""
    return tuple(
        sorted(
            (peer for peer in peers if update.concerns(peer.name, peer.groups)), key=lambda peer: peer.name
        )
    )
