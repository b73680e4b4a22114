"""Whatever happens to wires and peers, links stay consistent, and come back when it is over."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import Busy, LinkLost, NotHere, PeerUnreachable
from clumpt.protocols.limits import Limits
from tests.protocol_kit import TOP, Town, host_of

NAMES = "abcd"
SEEDS = 15


class Storm:
    """Random deeds of peers, and random misfortune, for a minute; then calm."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.town = Town(NAMES, Limits(idle=20, first_retry=0.2, last_retry=5))
        self.asked: list[Any] = []
        self.unexpected: list[Any] = []
        for name, agent in self.town.agents.items():
            agent.pieces[TOP, 1] = name.encode() * self.random.choice([10, 100_000, 600_000])

    def run(self) -> None:
        for name in NAMES:
            self.town.keep(name, *NAMES)
        for _ in range(300):
            deed = self.random.choice(
                [self.ask, self.ask, self.close, self.abort, self.cut, self.dial, self.wall]
            )
            deed(self.random.choice(NAMES))
            self.town.run(self.random.choice([0, 0.0005, 0.001, 0.01, 0.1, 1]))
        self.town.net.walls.clear()

    def link(self, name: str) -> Any:
        links = self.town.agents[name].links
        return links[self.random.choice(sorted(links))] if links else None

    def ask(self, name: str) -> None:
        link = self.link(name)
        if link is not None:
            asked = link.piece(TOP, 1, 600_000)
            asked.addCallback(self.check, link.peer)
            asked.addErrback(lambda failure: failure.trap(LinkLost, Busy, NotHere))
            self.expect(asked)

    def check(self, data: bytes, peer: str) -> None:
        if set(data) != set(peer.encode()):
            self.unexpected.append(f"a piece from {peer} that is not its own")

    def dial(self, name: str) -> None:
        asked = self.town.dial(name, self.random.choice(NAMES))
        self.expect(asked.addErrback(lambda failure: failure.trap(PeerUnreachable)))

    def expect(self, asked: Any) -> None:
        self.asked.append(asked.addErrback(self.unexpected.append))

    def close(self, name: str) -> None:
        link = self.link(name)
        if link is not None:
            link.close()

    def abort(self, name: str) -> None:
        """One connection breaks."""
        wires = self.town.net.open_wires()
        if wires:
            self.random.choice(wires).abortConnection()

    def cut(self, name: str) -> None:
        """One connection becomes a black hole, in one direction."""
        wires = self.town.net.open_wires()
        if wires and self.random.random() < 0.2:
            self.random.choice(wires).cut = True

    def wall(self, name: str) -> None:
        """Two peers can reach each other in one direction only, or in both again."""
        pair = (host_of(name), host_of(self.random.choice(NAMES)))
        self.town.net.walls ^= {pair}


class WeatherTests(SynchronousTestCase):
    """Storms."""

    def test_storms(self) -> None:
        """Never two links to one peer; every request ends; in the end all are linked, and stay so."""
        for seed in range(SEEDS):
            storm = Storm(seed)
            storm.run()
            town = storm.town
            # The time-outs of what was cut: pings, then requests.
            town.run(200)
            before = [list(agent.told) for agent in town.agents.values()]
            town.run(60)
            message = f"seed {seed}"
            self.assertEqual(town.pairs(), len(NAMES) * (len(NAMES) - 1), message)
            self.assertEqual([list(agent.told) for agent in town.agents.values()], before, message)
            self.assertEqual(len(town.net.open_wires()), 2 * town.pairs(), message)
            self.assertEqual(storm.unexpected, [], message)
            self.assertTrue(all(asked.called for asked in storm.asked), message)
            for network in town.networks.values():
                network.stop()
            town.run(10)
            self.assertEqual((town.net.open_wires(), town.clock.getDelayedCalls()), ([], []), message)
