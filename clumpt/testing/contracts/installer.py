"""What every L{IInstaller} keeps to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from clumpt.interfaces import IInstaller
from clumpt.model import Entry, Outcome, State

ALLOWED = frozenset({"dpkg"})


class InstallerContract:
    """
    Tests to inherit from, before C{TestCase}.

    All installers that L{make_installer} makes in one test are those of one node, as after a restart of
    its daemon.
    """

    # What TestCase gives; Any, because this class is none itself.
    assertEqual: Any
    assertIs: Any
    assertTrue: Any

    def make_installer(self, allowed: frozenset[str]) -> IInstaller:
        """The installer of the node, made anew, with this allow-list."""
        raise NotImplementedError

    def make_entry(self, seq: int, fails: bool = False) -> tuple[Entry, Sequence[Path]]:
        """An update for C{dpkg} with one package, and where that lies; C{fails} if its install does."""
        raise NotImplementedError

    def effects(self, seq: int) -> int:
        """How often C{seq} has really changed the node."""
        raise NotImplementedError

    def ending(self, running: Deferred[Outcome]) -> Deferred[Outcome]:
        """C{running}, once time has gone on for as long as it takes."""
        raise NotImplementedError

    async def test_done(self) -> None:
        """A success is C{DONE} with the exit status, and happens once."""
        outcome = await self._carry_out(1)
        self.assertEqual((outcome.state, outcome.code, outcome.reason), (State.DONE, 0, ""))
        self.assertEqual(self.effects(1), 1)

    async def test_failed(self) -> None:
        """A failure is C{FAILED} with the exit status and a reason."""
        outcome = await self._carry_out(1, fails=True)
        self.assertIs(outcome.state, State.FAILED)
        self.assertEqual(outcome.code, 1)
        self.assertTrue(outcome.reason)

    async def test_again(self) -> None:
        """The same attempt gives the same answer, also to the next daemon, and never runs again."""
        first = await self._carry_out(1)
        self.assertEqual(await self._carry_out(1), first)
        self.assertEqual(self.effects(1), 1)
        failed = await self._carry_out(2, fails=True)
        self.assertEqual(await self._carry_out(2, fails=True), failed)

    async def test_twice_at_once(self) -> None:
        """Two who ask for the same attempt at once get the same answer, from one run."""
        entry, paths = self.make_entry(1)
        both = [self.make_installer(ALLOWED).run(entry, 1, paths) for _ in range(2)]
        outcomes = [await self.ending(running) for running in both]
        self.assertEqual(outcomes[0], outcomes[1])
        self.assertEqual(self.effects(1), 1)

    async def test_new_attempt(self) -> None:
        """A new attempt runs after a failure, and never after a success (promise 2)."""
        await self._carry_out(1, fails=True)
        again = await self._carry_out(1, attempt=2, fails=True)
        self.assertIs(again.state, State.FAILED)
        done = await self._carry_out(2)
        self.assertEqual(await self._carry_out(2, attempt=2), done)
        self.assertEqual(self.effects(2), 1)

    async def test_not_allowed(self) -> None:
        """What is not on the allow-list is held without a run, until it is allowed (H3)."""
        entry, paths = self.make_entry(1)
        outcome = await self.ending(self.make_installer(frozenset({"rpm"})).run(entry, 1, paths))
        self.assertEqual((outcome.state, outcome.code), (State.HELD, None))
        self.assertTrue(outcome.reason.startswith("installer dpkg is not allowed on this node"))
        self.assertEqual(self.effects(1), 0)
        self.assertIs((await self._carry_out(1)).state, State.DONE)

    async def test_damaged(self) -> None:
        """A package that is not the signed one is held without a run (promise 1)."""
        entry, [path] = self.make_entry(1)
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        for attempt, paths in enumerate(([path], []), 1):
            outcome = await self.ending(self.make_installer(ALLOWED).run(entry, attempt, paths))
            self.assertEqual((outcome.state, outcome.code), (State.HELD, None))
            self.assertTrue(outcome.reason.startswith("damaged: "), outcome.reason)
        self.assertEqual(self.effects(1), 0)
        path.write_bytes(good)
        outcome = await self.ending(self.make_installer(ALLOWED).run(entry, 3, [path]))
        self.assertIs(outcome.state, State.DONE)

    async def test_output(self) -> None:
        """The output is there after a run, bounded, also for the next daemon; before, it is empty."""
        self.assertEqual(self.make_installer(ALLOWED).output(1), b"")
        await self._carry_out(1)
        self.assertTrue(0 < len(self.make_installer(ALLOWED).output(1)) <= 64 * 1024)
        self.assertEqual(self.make_installer(ALLOWED).output(2), b"")

    async def test_allowed(self) -> None:
        """The allow-list can be asked for."""
        self.assertEqual(self.make_installer(ALLOWED).allowed, ALLOWED)

    async def _carry_out(self, seq: int, attempt: int = 1, fails: bool = False) -> Outcome:
        entry, paths = self.make_entry(seq, fails)
        return await self.ending(self.make_installer(ALLOWED).run(entry, attempt, paths))
