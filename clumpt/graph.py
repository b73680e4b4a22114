"""
Who knows whom: the neighbour lists of a deployment (R68-R74, H13).

One ring runs through the members of each group, so that nobody is left out by
accident; the other neighbours are random ones of the same groups.  A peer's
place in a ring follows from its name, so whoever comes or goes changes the
list of one peer for each ring, and no order has to be kept anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from random import Random

from attrs import define, field

from clumpt.model import GroupName, Peer, PeerName, Settings

Lists = Mapping[PeerName, tuple[PeerName, ...]]

#: Members of a large group that are tried at random before all are looked at, which takes long.
_TRIES = 64
#: Neighbours in its own rack that a peer has, if there is room.
_MATES = 2


def wired(peers: Iterable[Peer]) -> list[Peer]:
    """Those of C{peers} that have neighbours at all, by name: not the tools, which are in no group."""
    return sorted((peer for peer in peers if peer.groups and peer.addresses), key=lambda peer: peer.name)


def members(peers: Iterable[Peer]) -> dict[GroupName, list[PeerName]]:
    """The members of each group, groups and members by name."""
    found: dict[GroupName, list[PeerName]] = {}
    for peer in wired(peers):
        for group in peer.groups:
            found.setdefault(group, []).append(peer.name)
    return dict(sorted(found.items()))


def place_in_ring(seed: str, group: GroupName, name: PeerName) -> tuple[bytes, PeerName]:
    """
    Where a member stands in the ring of its group; whoever has the next greater place follows.

    @param seed: what makes these rings others than those of another deployment.
    """
    return sha256(f"{seed}/{group}/{name}".encode()).digest(), name


def rings(peers: Iterable[Peer], seed: str) -> dict[GroupName, list[PeerName]]:
    """
    The members of each group in the order of its ring, the last one followed by the first.

    @param seed: what makes these rings others than those of another deployment.
    """
    return {
        group: sorted(names, key=lambda name: place_in_ring(seed, group, name))
        for group, names in members(peers).items()
    }


def followers(peers: Iterable[Peer], seed: str) -> dict[PeerName, list[PeerName]]:
    """Whom each peer must know: the next in the ring of each of its groups; a group of one has none (H7)."""
    found: dict[PeerName, list[PeerName]] = {peer.name: [] for peer in wired(peers)}
    for ring in rings(peers, seed).values():
        if len(ring) > 1:
            for name, after in zip(ring, ring[1:] + ring[:1], strict=True):
                if after not in found[name]:
                    found[name].append(after)
    return found


def wire(peers: Collection[Peer], settings: Settings, random: Random) -> Lists:
    """
    The neighbours that each of L{wired} C{peers} should have: what it has now, changed as little as possible.

    Each knows its L{followers} and random peers of its groups, N together; it knows more only if it has
    more followers, or if somebody would otherwise be known by fewer than M.  In each group that is large
    enough M members know it, as far as their N allows.
    """
    wiring = _Wiring(wired(peers), settings, random)
    wiring.keep(peers)
    wiring.trim()
    for name in wiring.lists:
        wiring.fill(name)
    # Who is known by more now may be forgotten where lists are too long.
    wiring.trim()
    while wiring.introduce():
        wiring.trim()
    return {name: tuple(known) for name, known in wiring.lists.items()}


@define(eq=False)
class _Wiring:
    """
    Neighbour lists while they are made, with what must be counted to make them.

    @ivar lists: dicts as ordered sets, so that the same seed gives the same lists.
    """

    _peers: Sequence[Peer]
    _settings: Settings
    _random: Random
    members: dict[GroupName, list[PeerName]] = field(init=False)
    lists: dict[PeerName, dict[PeerName, None]] = field(init=False)
    _followers: dict[PeerName, list[PeerName]] = field(init=False)
    _groups: dict[PeerName, frozenset[GroupName]] = field(init=False)
    _racks: dict[PeerName, str] = field(init=False)
    _mates: dict[str, list[PeerName]] = field(factory=dict, init=False)
    #: By how many each is known: in all, and by members of each group.
    _known: Counter[PeerName] = field(factory=Counter, init=False)
    _known_in: Counter[tuple[PeerName, GroupName]] = field(factory=Counter, init=False)
    #: How many members of each group each knows.
    _knows_in: Counter[tuple[PeerName, GroupName]] = field(factory=Counter, init=False)

    def __attrs_post_init__(self) -> None:
        self.members = members(self._peers)
        self.lists = {peer.name: {} for peer in self._peers}
        self._followers = followers(self._peers, self._settings.deployment)
        self._groups = {peer.name: peer.groups for peer in self._peers}
        self._racks = {peer.name: peer.rack for peer in self._peers}
        for peer in self._peers:
            self._mates.setdefault(peer.rack, []).append(peer.name)

    def keep(self, peers: Iterable[Peer]) -> None:
        """Begin with the neighbours that there are and that are still good, and with the rings."""
        for peer in peers:
            for other in peer.neighbours if peer.name in self.lists else ():
                if other in self.lists and other != peer.name and self._shared(peer.name, other):
                    self._learn(peer.name, other)
        for name, after in self._followers.items():
            for other in after:
                self._learn(name, other)

    def trim(self) -> None:
        """Let each forget whom it need not know, until it knows N."""
        for name, known in self.lists.items():
            while len(known) > self._settings.neighbours:
                spare = [other for other in known if self._can_forget(name, other)]
                if not spare:
                    break
                self._forget(name, max(spare, key=lambda other: (self._known[other], other)))

    def fill(self, name: PeerName) -> None:
        """
        Let C{name} know random members of its groups, until it knows N: some of its own rack, so that
        packages can come from nearby, and few of each other rack and group.
        """
        while len(self.lists[name]) < self._settings.neighbours:
            if (mate := self._mate(name)) is not None:
                self._learn(name, mate)
                continue
            groups = sorted(self._groups[name], key=lambda group: (self._knows_in[name, group], group))
            one = self._stranger(name, groups)
            if one is None:
                return
            other = self._stranger(name, groups) or one
            racks = {self._racks[known] for known in self.lists[name]}
            self._learn(name, min(one, other, key=lambda each: self._dispensable(each, racks)))

    def _mate(self, name: PeerName) -> PeerName | None:
        """A random peer of the rack and a group of C{name}, until it knows some."""
        rack = self._racks[name]
        if not rack or sum(self._racks[known] == rack for known in self.lists[name]) >= _MATES:
            return None
        there = [one for one in self._mates[rack] if one != name and one not in self.lists[name]]
        there = [one for one in there if self._shared(name, one)]
        return self._random.choice(there) if there else None

    def introduce(self) -> bool:
        """
        Let each be known by M members of each of its groups, or at least by M peers; was anything changed?

        What is done for one may make room for another, so it is to be repeated.  It comes to an end,
        because nothing is taken from those who have just enough.
        """
        changed = False
        for group, names in self.members.items():
            room = True
            for name in names:
                while self._known_in[name, group] < self._enough(group):
                    # Once one found no room, looking through the whole group for each other takes too long.
                    knower = self._with_room(name, group) if room else None
                    room = knower is not None
                    if knower is None and self._known[name] >= self._settings.known_by:
                        break
                    self._learn(knower or self._least(name, group), name)
                    changed = True
        return changed

    def _with_room(self, name: PeerName, group: GroupName) -> PeerName | None:
        """A member of C{group} that can know C{name}, after it has forgotten somebody if need be."""
        for knower in self._knowers(name, group):
            if len(self.lists[knower]) < self._settings.neighbours:
                return knower
            if (spare := self._replaceable(knower, name)) is not None:
                self._forget(knower, spare)
                return knower
        return None

    def _least(self, name: PeerName, group: GroupName) -> PeerName:
        # Rather one list that is too long than a peer that nobody tells.
        return min(self._knowers(name, group), key=lambda knower: (len(self.lists[knower]), knower))

    def _enough(self, group: GroupName) -> int:
        return min(self._settings.known_by, len(self.members[group]) - 1)

    def _shared(self, one: PeerName, other: PeerName) -> frozenset[GroupName]:
        return self._groups[one] & self._groups[other]

    def _learn(self, name: PeerName, other: PeerName) -> None:
        if other not in self.lists[name]:
            self.lists[name][other] = None
            self._count(name, other, 1)

    def _forget(self, name: PeerName, other: PeerName) -> None:
        del self.lists[name][other]
        self._count(name, other, -1)

    def _count(self, name: PeerName, other: PeerName, by: int) -> None:
        self._known[other] += by
        for group in self._shared(name, other):
            self._known_in[other, group] += by
            self._knows_in[name, group] += by

    def _can_forget(
        self, name: PeerName, other: PeerName, gained: frozenset[GroupName] = frozenset()
    ) -> bool:
        """May C{name} know, in place of C{other}, somebody of the groups C{gained}?"""
        if other in self._followers[name] or self._known[other] <= self._settings.known_by:
            return False
        return all(
            self._known_in[other, group] > self._enough(group)
            and (group in gained or self._knows_in[name, group] > self._enough(group))
            for group in self._shared(name, other)
        )

    def _replaceable(self, name: PeerName, other: PeerName) -> PeerName | None:
        """Somebody whom C{name} may forget in order to know C{other}."""
        gained = self._shared(name, other)
        return next((known for known in self.lists[name] if self._can_forget(name, known, gained)), None)

    def _knowers(self, name: PeerName, group: GroupName) -> Iterator[PeerName]:
        """The members of C{group} that do not know C{name}, from a random one on."""
        names = self.members[group]
        begin = self._random.randrange(len(names))
        for number in range(len(names)):
            one = names[(begin + number) % len(names)]
            if one != name and name not in self.lists[one]:
                yield one

    def _dispensable(self, name: PeerName, racks: Collection[str]) -> tuple[bool, int, PeerName]:
        """What to choose of two by: first who is in another rack, then who is known by fewer."""
        return bool(self._racks[name]) and self._racks[name] in racks, self._known[name], name

    def _stranger(self, name: PeerName, groups: Sequence[GroupName]) -> PeerName | None:
        """A random peer that C{name} does not know, of the first of C{groups} that has one."""
        for group in groups:
            names = self.members[group]
            for _ in range(_TRIES if len(names) > 2 * len(self.lists[name]) + 2 else 0):
                one = self._random.choice(names)
                if one != name and one not in self.lists[name]:
                    return one
            left = [one for one in names if one != name and one not in self.lists[name]]
            if left:
                return self._random.choice(left)
        return None
