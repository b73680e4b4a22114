"""Who knows whom, and how well that holds together (R68-R75, H7, H13)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from random import Random

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.connectivity import Bearing, bearing, degrees, strongly_connected, weak_points, within
from clumpt.graph import Lists, followers, members, rings, wire, wired
from clumpt.model import Address, GroupName, Peer, PeerName, Settings

ADDRESS = Address("10.0.0.1", 1, 2)
ALL = GroupName("all")
SITE = Settings("site")
#: Slow machines are no fault of the code.
CALM = settings(deadline=None)


def a_peer(name: str, *groups: str, rack: str = "", neighbours: Sequence[str] = ()) -> Peer:
    known = tuple(map(PeerName, neighbours))
    return Peer(PeerName(name), (ADDRESS,), frozenset(map(GroupName, groups)), b"", known, rack=rack)


def applied(peers: Sequence[Peer], lists: Lists) -> list[Peer]:
    return [evolve(peer, neighbours=lists.get(peer.name, ())) for peer in peers]


def rewired(peers: Sequence[Peer], site: Settings = SITE, seed: int = 0) -> list[Peer]:
    return applied(peers, wire(peers, site, Random(seed)))


def a_cluster(number: int, *groups: str) -> list[Peer]:
    return [a_peer(f"n{one:05}", *(groups or ("all",))) for one in range(number)]


def changed(before: Sequence[Peer], after: Sequence[Peer]) -> list[PeerName]:
    lists = {peer.name: peer.neighbours for peer in before}
    return [peer.name for peer in after if lists.get(peer.name, ()) != peer.neighbours]


group_names = st.sampled_from(["intel", "amd", "gpu", "all", "lonely"])
sites = st.builds(Settings, st.just("site"), neighbours=st.integers(1, 7), known_by=st.integers(2, 4))


@st.composite
def clusters(draw: st.DrawFn) -> list[Peer]:
    """Peers in any groups, with any old lists: of strangers, of themselves, of peers that are gone."""
    names = [f"n{number}" for number in range(draw(st.integers(0, 16)))]
    known = st.lists(st.sampled_from([*names, "gone"]), max_size=6, unique=True)
    groups = st.lists(group_names, max_size=4, unique=True)
    racks = st.sampled_from(["", "r1", "r2"])
    return [a_peer(name, *draw(groups), rack=draw(racks), neighbours=draw(known)) for name in names]


class WireTests(SynchronousTestCase):
    """L{wire} gives every peer good neighbours, whatever the groups, the racks and the old lists."""

    @given(clusters(), sites)
    @CALM
    def test_good_neighbours(self, peers: list[Peer], site: Settings) -> None:
        """Each knows others of its own groups only (R69), at least one of each (R70), nobody twice."""
        by_name = {peer.name: peer for peer in peers}
        for peer in rewired(peers, site):
            self.assertNotIn(peer.name, peer.neighbours)
            self.assertEqual(len(set(peer.neighbours)), len(peer.neighbours))
            for group in peer.groups:
                others = set(members(peers)[group]) - {peer.name}
                self.assertEqual(bool(others), not others.isdisjoint(peer.neighbours), group)
            for other in peer.neighbours:
                self.assertFalse(peer.groups.isdisjoint(by_name[other].groups))

    @given(clusters(), sites)
    @CALM
    def test_rings(self, peers: list[Peer], site: Settings) -> None:
        """Along each group's ring everybody is reached from everybody (H13)."""
        after = rewired(peers, site)
        for group, ring in rings(peers, "site").items():
            graph = within(after, group)
            self.assertTrue(strongly_connected(graph))
            for name, follower in zip(ring, ring[1:] + ring[:1], strict=True):
                self.assertTrue(len(ring) == 1 or follower in graph[name])

    @given(clusters(), sites)
    @CALM
    def test_known(self, peers: list[Peer], site: Settings) -> None:
        """Each is known by M, or by everybody whom it shares a group with (R74)."""
        after = rewired(peers, site)
        known = Counter(other for peer in after for other in peer.neighbours)
        for group, names in members(peers).items():
            for name in names:
                self.assertGreaterEqual(known[name], min(site.known_by, len(names) - 1), (name, group))

    @given(clusters(), sites)
    @CALM
    def test_number(self, peers: list[Peer], site: Settings) -> None:
        """Each knows N, or all that it may know (R72)."""
        for peer in rewired(peers, site):
            around = {name for group in peer.groups for name in members(peers)[group]} - {peer.name}
            self.assertGreaterEqual(len(peer.neighbours), min(site.neighbours, len(around)))

    @given(st.integers(0, 24), sites, st.integers())
    @CALM
    def test_not_more(self, number: int, site: Settings, seed: int) -> None:
        """In one group nobody knows more than N; one more, if M leaves no choice."""
        for peer in rewired(a_cluster(number), site, seed):
            slack = 0 if site.neighbours > site.known_by else 1
            self.assertLessEqual(len(peer.neighbours), max(site.neighbours, site.known_by) + slack)

    @given(clusters(), sites, st.integers())
    @CALM
    def test_settled(self, peers: list[Peer], site: Settings, seed: int) -> None:
        """What is good already is not changed, whatever the dice say."""
        after = rewired(peers, site)
        self.assertEqual(rewired(after, site, seed), after)

    @given(clusters(), sites, st.integers())
    @CALM
    def test_same_seed(self, peers: list[Peer], site: Settings, seed: int) -> None:
        """The same seed gives the same lists, in whatever order the peers are named."""
        self.assertEqual(wire(peers, site, Random(seed)), wire(peers[::-1], site, Random(seed)))

    def test_random(self) -> None:
        """Another seed gives others (R71); another deployment has other rings."""
        peers = a_cluster(20)
        self.assertNotEqual(wire(peers, SITE, Random(1)), wire(peers, SITE, Random(2)))
        self.assertNotEqual(rings(peers, "one"), rings(peers, "two"))

    def test_tools(self) -> None:
        """Who is in no group, or has no address, knows nobody and is known by nobody."""
        tool = evolve(a_peer("tool", "all"), addresses=())
        peers = [*a_cluster(3), tool, a_peer("idle")]
        lists = wire(peers, SITE, Random(0))
        self.assertEqual(set(lists), {peer.name for peer in wired(peers)})
        self.assertNotIn("tool", {name for known in lists.values() for name in known})

    def test_alone(self) -> None:
        """A group of one has no ring, and that is no error (H7)."""
        self.assertEqual(wire([a_peer("a", "all")], SITE, Random(0)), {"a": ()})
        self.assertEqual(followers([a_peer("a", "all")], "site"), {"a": []})

    def test_many_groups(self) -> None:
        """A peer in more groups than N knows one of each all the same."""
        groups = [f"g{number}" for number in range(9)]
        others = [a_peer(f"{group}-{one}", group) for group in groups for one in range(5)]
        hub = next(peer for peer in rewired([a_peer("hub", *groups), *others]) if peer.name == "hub")
        self.assertEqual(len(hub.neighbours), 9)

    def test_racks(self) -> None:
        """
        Two neighbours are of one's own rack, so that packages can come from nearby; the others are sought in
        other racks first, so that a dead rack takes few with it.
        """
        peers = [a_peer(f"n{number:02}", "all", rack=f"r{number % 4}") for number in range(40)]
        racks = {peer.name: peer.rack for peer in peers}
        spread = [len({racks[name] for name in peer.neighbours}) for peer in rewired(peers)]
        for peer in rewired(peers):
            self.assertGreaterEqual(sum(racks[name] == peer.rack for name in peer.neighbours), 1)
            self.assertGreaterEqual(len({racks[name] for name in peer.neighbours} - {peer.rack}), 1)
        blind = rewired([evolve(peer, rack="") for peer in peers])
        self.assertGreater(sum(spread), sum(len({racks[n] for n in peer.neighbours}) for peer in blind))


class ChangeTests(SynchronousTestCase):
    """Who comes or goes disturbs few."""

    def test_one_more(self) -> None:
        """A new peer changes the lists of the M that learn of it, and knows N itself (R74, R75)."""
        before = rewired(a_cluster(200))
        after = rewired([*before, a_peer("new", "all")], seed=1)
        self.assertEqual(len(after[-1].neighbours), 5)
        self.assertEqual(len(changed(before, after)), 1 + 2)

    @given(st.integers(10, 40), st.integers())
    @settings(CALM, max_examples=25)
    def test_one_more_of_two_groups(self, number: int, seed: int) -> None:
        """Nor does it change more with two groups: at most M for each."""
        before = rewired(a_cluster(number, "all", "intel") + [a_peer(f"b{n}", "all") for n in range(9)])
        after = rewired([*before, a_peer("new", "all", "intel")], seed=seed)
        self.assertLessEqual(len(changed(before, after)), 1 + 4)

    def test_one_less(self) -> None:
        """Only those that knew the one that goes, and few whom it knew, are touched."""
        before = rewired(a_cluster(200))
        gone = before[17].name
        left = [peer for peer in before if peer.name != gone]
        touched = changed(left, rewired(left, seed=1))
        knew = [peer.name for peer in left if gone in peer.neighbours]
        self.assertLessEqual(set(knew), set(touched))
        self.assertLessEqual(len(touched), len(knew) + 3)

    def test_fewer(self) -> None:
        """A smaller N shortens the lists, and everybody is still known by M."""
        after = rewired(rewired(a_cluster(100)), Settings("site", neighbours=3))
        self.assertLessEqual(max(len(peer.neighbours) for peer in after), 4)
        self.assertGreaterEqual(min(known for known, _ in degrees(within(after, ALL)).values()), 2)

    def test_growing(self) -> None:
        """A cluster that grew one by one is as good as one that was made at once (R85)."""
        peers: list[Peer] = []
        for number in range(40):
            peers = rewired([*peers, a_peer(f"n{number:02}", "all")], seed=number)
        graph = within(peers, ALL)
        self.assertEqual({len(known) for known in graph.values()}, {5})
        self.assertGreaterEqual(bearing(graph, Random(0)).failures, 1)


graphs = st.integers(1, 7).flatmap(
    lambda number: st.lists(st.sets(st.integers(0, number - 1)), min_size=number, max_size=number).map(
        lambda rows: {
            PeerName(str(one)): [PeerName(str(other)) for other in sorted(row) if other != one]
            for one, row in enumerate(rows)
        }
    )
)


def without(
    graph: Mapping[PeerName, Sequence[PeerName]], gone: Sequence[PeerName]
) -> dict[PeerName, list[PeerName]]:
    return {one: [o for o in others if o not in gone] for one, others in graph.items() if one not in gone}


def reach_each_other(graph: Mapping[PeerName, Sequence[PeerName]]) -> bool:
    """By the plainest way: repeat until nothing more is reached."""
    for one in graph:
        reached = {one}
        for _ in graph:
            reached |= {other for name in reached for other in graph[name]}
        if reached != set(graph):
            return False
    return True


class ConnectivityTests(SynchronousTestCase):
    """The figures that an administrator is told are true."""

    @given(graphs)
    @settings(CALM, max_examples=300)
    def test_bearing(self, graph: dict[PeerName, list[PeerName]]) -> None:
        """As many failures are borne as trying all of them says."""
        borne = -1
        for number in range(len(graph) - 1):
            if not all(reach_each_other(without(graph, gone)) for gone in combinations(graph, number)):
                break
            borne = number
        if len(graph) == 1:
            borne = 0
        self.assertEqual(bearing(graph, Random(0)), Bearing(borne, True))

    @given(graphs)
    @CALM
    def test_weak_points(self, graph: dict[PeerName, list[PeerName]]) -> None:
        """The weak points are those that cut others off when they fail."""
        expected = [one for one in sorted(graph) if not reach_each_other(without(graph, [one]))]
        self.assertEqual(weak_points(graph), expected)

    def test_large(self) -> None:
        """In a large graph it is samples that say so, and they find what is plain."""
        ring = {PeerName(str(one)): [PeerName(str((one + 1) % 300))] for one in range(300)}
        self.assertEqual(bearing(ring, Random(0)), Bearing(0, False))
        peers = rewired(a_cluster(300))
        self.assertEqual(bearing(within(peers, ALL), Random(0)), Bearing(1, False))

    def test_within(self) -> None:
        """Inside a group only its members count, and each neighbour once."""
        peers = [
            a_peer("a", "all", "x", neighbours=["b", "b", "c", "a", "gone"]),
            a_peer("b", "all", "x"),
            a_peer("c", "all"),
        ]
        self.assertEqual(within(peers, GroupName("x")), {"a": ["b"], "b": []})
        self.assertEqual(degrees(within(peers, ALL)), {"a": (0, 2), "b": (1, 0), "c": (1, 0)})


class SizeTests(SynchronousTestCase):
    """Ten thousand peers are wired while one waits."""

    def test_large(self) -> None:
        """All holds for a large cluster too."""
        peers = [a_peer(f"n{one:05}", "all", f"rack{one % 30}") for one in range(3000)]
        after = rewired(peers)
        for group in members(peers):
            graph = within(after, group)
            self.assertTrue(strongly_connected(graph))
            self.assertGreaterEqual(min(min(degree) for degree in degrees(graph).values()), 2)
        self.assertEqual({len(peer.neighbours) for peer in after}, {5})
