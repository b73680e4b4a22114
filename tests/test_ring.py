"""Who stands where in the ring of a group."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.ring import EAGER, Ring
from clumpt.graph import place_in_ring
from clumpt.model import GroupName, PeerName
from tests.test_feeding import PACKAGE
from tests.test_job import entry
from tests.test_offers import Random


class RingTests(SynchronousTestCase):
    """Who stands before whom (R73)."""

    def before(self, me: str, linked: list[str], *groups: str) -> list[PeerName]:
        return self.ring(me, linked, *groups).nearest(PACKAGE)

    def ring(self, me: str, linked: list[str], *groups: str) -> Ring:
        """That of C{me}, which is in group g as all others but the stranger; an update is for C{groups}."""
        names = groups or ("g",)
        update: Any = SimpleNamespace(
            groups=frozenset(map(GroupName, names)), concerns=lambda peer, held: GroupName("g") in held
        )
        self.entry: Any = SimpleNamespace(update=update)
        self.roster: Any = SimpleNamespace(
            name=PeerName(me),
            settings=SimpleNamespace(deployment="lab"),
            groups=frozenset([GroupName("g")]),
            members=lambda group: dict.fromkeys([PeerName(f"n{number}") for number in range(9)]),
        )
        agenda: Any = SimpleNamespace(users=lambda digest: [1], concerning=lambda: {1: self.entry})
        return Ring(
            Random(1),
            self.roster,
            agenda,
            lambda peer: None if peer == "stranger" else [GroupName("g")],
            lambda: dict.fromkeys(map(PeerName, linked)),  # type: ignore[arg-type] # only the names are asked for
        )

    def test_round(self) -> None:
        """Each has the one that the wiring puts before it, without those that are missing, and strangers."""
        names = [f"n{number}" for number in range(9)]
        order = sorted(names, key=lambda name: place_in_ring("lab", GroupName("g"), PeerName(name)))
        for at, name in enumerate(order):
            others = [other for other in names if other != name]
            before = self.before(name, [*others, "stranger"])
            self.assertEqual(before, [order[at - back] for back in range(1, 9)])
            others.remove(order[at - 1])
            self.assertEqual(self.before(name, others)[0], order[at - 2])

    def test_after(self) -> None:
        """Who follows another one, linked or not, and round to the one before it; but for this peer."""
        names = [f"n{number}" for number in range(9)]
        order = sorted(names, key=lambda name: place_in_ring("lab", GroupName("g"), PeerName(name)))
        for at, name in enumerate(order):
            ring = self.ring(order[at - 1], [])
            following = [order[(at + step) % 9] for step in range(1, 8)]
            self.assertEqual(ring.after(PACKAGE, PeerName(name)), following)
        self.assertEqual(self.ring("n0", [], "g", "h").after(PACKAGE, PeerName("n1")), [])
        ring = self.ring("n0", [])
        self.roster.settings = None
        self.assertEqual(ring.after(PACKAGE, PeerName("n1")), [])

    def test_several_groups(self) -> None:
        """What goes to several groups has no ring."""
        self.assertEqual(self.before("n1", ["n2"], "g", "h"), [])
        self.assertEqual(entry(1).update.groups, frozenset([GroupName("all")]))

    def test_first(self) -> None:
        """Some of those whom an update concerns hear of it at once, one of them the next in the ring."""
        names = [f"n{number}" for number in range(9)]
        order = sorted(names, key=lambda name: place_in_ring("lab", GroupName("g"), PeerName(name)))
        chosen: set[PeerName] = set()
        for at, name in enumerate(order):
            ring = self.ring(name, [], "g", "h")
            others = [PeerName(other) for other in (*names, "stranger") if other != name]
            first = ring.first(self.entry, others)
            self.assertEqual((len(set(first)), order[(at + 1) % 9] in first), (EAGER, True))
            self.assertNotIn("stranger", first)
            chosen.update(first)
        self.assertEqual(chosen, set(names))

    def test_few_are_first(self) -> None:
        """Few hear of it all at once; of many, and if nothing is known of the ring, still some."""
        ring = self.ring("n0", [])
        few = [PeerName("stranger"), PeerName("n1")]
        self.assertEqual(ring.first(self.entry, few), few)
        strangers = [PeerName("stranger")] * 9
        self.assertEqual(ring.first(self.entry, strangers), [])
        self.roster.settings = None
        names = [PeerName(f"n{number}") for number in range(1, 9)]
        self.assertEqual(len(ring.first(self.entry, names)), EAGER)
        self.roster.groups = frozenset()
        self.assertEqual(len(ring.first(self.entry, names)), EAGER)
