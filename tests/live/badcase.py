"""What the tests of bad input have in common: peers as processes, with something wrong."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import cooperate

from clumpt.aio import deferred, sleep
from clumpt.model import PeerName
from clumpt.testing.slapd import free_port
from tests.live.killcase import KillCase
from tests.live.killkit import FINISHED
from tests.live.steps import Doom, Order
from tests.live.verdicts import Victim, wrongs


class BadCase(KillCase):
    """A cluster in which something is wrong with one peer, or with what it meets."""

    timeout = 600

    @deferred
    async def victim(self, name: str, neighbours: tuple[str, ...] = ("seed",)) -> Victim:
        """A peer that was enrolled, and not started yet."""
        folder = self.folder / name
        await self.enrol(name, folder, neighbours=neighbours)
        return Victim(folder)

    def live(
        self, victim: Victim, dooms: tuple[Doom, ...] = (), twist: str = "", head: int = 0
    ) -> Deferred[int]:
        """Let it live until it is finished, dies or refuses; fires with its status."""
        folder = victim.folder
        head = head or len(self.deployment.entries)
        order = Order(folder.name, str(folder / "clumpt.ini"), str(folder), dooms, head, twist)
        ended = self.processes.fork(order)

        def remember(status: int) -> int:
            victim.statuses.append(status)
            victim.remember()
            return status

        return ended.addCallback(remember)

    @deferred
    async def neighbour(self, name: str, twist: str) -> None:
        """A peer that has everything, and something wrong with it."""
        folder = self.folder / name
        await self.enrol(name, folder, (free_port(), free_port()))
        await self.fill(folder / "state")
        self.processes.fork(Order(name, str(folder / "clumpt.ini"), str(folder), twist=twist))
        await self.until(lambda: f"{name} is up" in said(folder))

    @deferred
    async def kill(self, victim: Victim) -> None:
        """SIGKILL; returns when it is dead."""
        lives = len(victim.statuses)
        os.kill(int((victim.folder / "pid").read_text()), signal.SIGKILL)
        await self.until(lambda: len(victim.statuses) > lives)

    @deferred
    async def until(self, wanted: Callable[[], object]) -> None:
        """Wait; the time limit of the test ends the wait."""
        while not wanted():
            await sleep(reactor, 0.02)

    @deferred
    async def report(self, victim: Victim) -> Any:
        """What the directory was told."""
        return (await self.directory.statuses([PeerName(victim.folder.name)]))[PeerName(victim.folder.name)]

    @deferred
    async def check_good(self, victim: Victim, *dooms: Doom) -> None:
        """In the end all three updates were done, once and in order, and nothing is left over."""
        victim.reported = await self.report(victim)
        self.assertEqual(victim.statuses[-1], FINISHED, said(victim.folder))
        self.assertEqual(list(wrongs(victim, dooms)), [])

    @deferred
    async def all_of(self, rows: Any) -> None:
        """Try all rows, three side by side."""
        work = iter(rows)
        for task in [cooperate(work) for _ in range(3)]:
            await task.whenDone()


def said(folder: Path) -> str:
    """What a peer logged."""
    return (folder / "log").read_text() if (folder / "log").exists() else ""
