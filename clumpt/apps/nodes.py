"""The names of nodes as people write them, C{node[001-020],@intel!@gpu}, and folded again to be read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from clumpt.errors import BadInput, NothingMatched
from clumpt.model import GroupName, Peer, PeerName, is_name

#: What only ClusterShell understands.
_SPECIAL = frozenset("[]@!&^*")
#: Names that one expression may stand for.
MOST = 100_000


def expand(text: str, peers: Iterable[Peer] = ()) -> list[PeerName]:
    """
    The nodes that C{text} names, in its order.

    @param peers: whose groups C{@GROUP} stands for.
    @raise BadInput: if it is no node set, or one of the names cannot be a peer's.
    @raise NothingMatched: if it names nobody.
    """
    groups = _groups(peers)
    names = _node_set(text, groups) if _SPECIAL & set(text) else [name for name in text.split(",") if name]
    if bad := next((name for name in names if not is_name(name)), None):
        raise BadInput(f"{bad!r} cannot be the name of a node; write node007, node[001-020] or @group")
    if not names:
        raise NothingMatched(f"{text!r} names no node")
    return [PeerName(name) for name in dict.fromkeys(names)]


def expand_hosts(text: str) -> list[str]:
    """The hosts that C{text} names, in its order: a pattern as for nodes, or a single host."""
    return _node_set(text, {}) if "[" in text else [text]


def chosen(text: str, peers: Collection[Peer]) -> list[Peer]:
    """
    Those of C{peers} that C{text} names, by name.

    @raise NothingMatched: if one of them is not there.
    """
    names = set(expand(text, peers))
    there = [peer for peer in peers if peer.name in names]
    if missing := names - {peer.name for peer in there}:
        raise NothingMatched(f"there is no node {fold(missing)}; clumptconf list shows those that are")
    return sorted(there, key=lambda peer: peer.name)


def fold(names: Iterable[str]) -> str:
    """C{names} in one word, such as C{node[001-003,007]}; one by one without ClusterShell."""
    listed = sorted(names)
    try:
        from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet
    except ImportError:
        return ",".join(listed)
    return str(NodeSet.fromlist(listed, resolver=RESOLVER_NOGROUP))


def _groups(peers: Iterable[Peer]) -> dict[GroupName, list[PeerName]]:
    groups: dict[GroupName, list[PeerName]] = {}
    for peer in peers:
        for group in peer.groups:
            groups.setdefault(group, []).append(peer.name)
    return groups


def _node_set(text: str, groups: Mapping[GroupName, Collection[PeerName]]) -> list[str]:
    try:
        from ClusterShell.NodeSet import NodeSet, NodeSetException
        from ClusterShell.NodeUtils import GroupResolver, GroupSource, GroupSourceError
    except ImportError as missing:
        raise BadInput(
            f"{text!r} needs ClusterShell: pip install 'clumpt[admin]', or name the nodes one by one"
        ) from missing
    everybody = {name for names in groups.values() for name in names}
    folded = {str(group): fold(names) for group, names in groups.items()}
    source = GroupSource("clumpt", folded, fold(everybody) if everybody else None)
    try:
        # Any: ClusterShell has no types.
        found: Any = NodeSet(text, resolver=GroupResolver(source))
        if len(found) > MOST:
            raise BadInput(f"{text!r} names {len(found)} nodes, at most {MOST} can be named at once")
        return list(map(str, found))
    except (NodeSetException, GroupSourceError) as wrong:
        raise BadInput(f"{text!r} is not a set of nodes: {wrong}") from wrong
