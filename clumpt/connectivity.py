"""How well a directed graph holds together: degrees, reach, and how many failures it bears."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from random import Random

from attrs import frozen

from clumpt.model import GroupName, Peer, PeerName

#: Whom each vertex points to; all vertices are keys.
Graph = Mapping[PeerName, Collection[PeerName]]

#: Up to so many vertices, every pair that matters is looked at; beyond, so many random ones.
EXACT = 200
SAMPLES = 50


def within(peers: Iterable[Peer], group: GroupName) -> dict[PeerName, list[PeerName]]:
    """Who knows whom among the members of C{group}."""
    members = {peer.name: peer for peer in peers if group in peer.groups}
    return {
        name: [other for other in dict.fromkeys(peer.neighbours) if other in members and other != name]
        for name, peer in members.items()
    }


def degrees(graph: Graph) -> dict[PeerName, tuple[int, int]]:
    """By how many each vertex is known, and how many it knows."""
    known = Counter(other for others in graph.values() for other in others)
    return {name: (known[name], len(others)) for name, others in graph.items()}


def strongly_connected(graph: Graph, without: PeerName | None = None) -> bool:
    """Does a path lead from everyone to everyone, even C{without} that one?"""
    names = [name for name in graph if name != without]
    if len(names) < 2:
        return True
    back: dict[PeerName, list[PeerName]] = {name: [] for name in graph}
    for name, others in graph.items():
        for other in others:
            back[other].append(name)
    return all(len(_reached(way, names[0], without)) == len(names) for way in (graph, back))


def weak_points(graph: Graph) -> list[PeerName]:
    """Each one whose failure alone cuts others off, by name."""
    return sorted(name for name in graph if not strongly_connected(graph, without=name))


@frozen
class Bearing:
    """
    How many may fail, whoever they are, while all others still reach each other.

    @ivar failures: that many; -1 if some do not reach each other as it is.
    @ivar exact: otherwise it may be fewer, though none of the samples says so.
    """

    failures: int
    exact: bool


def bearing(graph: Graph, random: Random) -> Bearing:
    """How many failures C{graph} bears: exactly up to L{EXACT} vertices, by L{SAMPLES} beyond."""
    if not strongly_connected(graph):
        return Bearing(-1, True)
    if len(graph) < 2:
        return Bearing(0, True)
    most = min(min(degree) for degree in degrees(graph).values())
    if len(graph) <= EXACT:
        return Bearing(next(k for k in range(most, -1, -1) if _connected(graph, k)) - 1, True)
    names = sorted(graph)
    flows = _Flows(graph)
    for _ in range(SAMPLES):
        one, other = random.sample(names, 2)
        if other not in graph[one]:
            most = flows.count(one, other, most)
    return Bearing(most - 1, False)


def _reached(graph: Graph, start: PeerName, without: PeerName | None) -> set[PeerName]:
    seen, waiting = {start}, [start]
    while waiting:
        for other in graph[waiting.pop()]:
            if other not in seen and other != without:
                seen.add(other)
                waiting.append(other)
    return seen


def _connected(graph: Graph, k: int) -> bool:
    """
    Is the graph still strongly connected, whichever C{k - 1} vertices are taken away?

    Even's algorithm (SIAM J. Comput. 4, 1975): whatever C{k - 1} vertices cut the graph, they leave one of
    the first k; so it is enough to count paths among these, and between all of them and each other one.
    """
    names = sorted(graph)
    first, others = names[:k], names[k:]
    flows = _Flows(graph)
    pairs = ((one, other) for one in first for other in first if one != other and other not in graph[one])
    if not all(flows.count(one, other, k) == k for one, other in pairs):
        return False
    hub = PeerName("")
    spokes = {name: [*graph[name], hub] for name in first}
    flows = _Flows({**graph, **spokes, hub: first})
    return all(flows.count(hub, one, k) == k and flows.count(one, hub, k) == k for one in others)


class _Flows:
    """
    Counts paths that share no vertex between their ends.

    Each vertex is two nodes, an even one to enter and the next one to leave by, joined by one arc.
    """

    def __init__(self, graph: Graph) -> None:
        self._entry = {name: 2 * number for number, name in enumerate(graph)}
        self._arcs: list[set[int]] = []
        for name, others in graph.items():
            self._arcs += {self._entry[name] + 1}, {self._entry[other] for other in others}

    def count(self, source: PeerName, sink: PeerName, most: int) -> int:
        """How many such paths lead from C{source} to C{sink}, at most C{most}."""
        start, end = self._entry[source] + 1, self._entry[sink]
        paths: list[list[int]] = []
        while len(paths) < most and (path := self._path(start, end)):
            self._turn(path)
            paths.append(path)
        for path in reversed(paths):
            self._turn(path[::-1])
        return len(paths)

    def _turn(self, path: list[int]) -> None:
        # A later path may take an arc back, and so send an earlier one another way.
        for here, there in pairwise(path):
            self._arcs[here].remove(there)
            self._arcs[there].add(here)

    def _path(self, start: int, end: int) -> list[int]:
        """The nodes of a shortest path, none if there is no path."""
        came_from = {start: start}
        waiting = deque([start])
        while waiting and end not in came_from:
            here = waiting.popleft()
            for there in self._arcs[here]:
                if there not in came_from:
                    came_from[there] = here
                    waiting.append(there)
        if end not in came_from:
            return []
        path = [end]
        while path[-1] != start:
            path.append(came_from[path[-1]])
        return path[::-1]
