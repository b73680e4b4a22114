"""Whoever is first in a branch of a tree hears of it, or else the next one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.planter import AT_ONCE, SOON, TRIES, Planter
from clumpt.errors import BadDocument, DirectoryUnavailable, PeerUnreachable
from clumpt.model import Package, PeerName
from clumpt.pieces import Digest, Round
from clumpt.trees import Branch
from tests.test_feeding import PACKAGE

ADDRESSES = [("10.0.0.1", 1)]
A = PeerName("n0")


def branch(count: int) -> Branch:
    """One of so many peers, of whom the first three pass on."""
    return Branch(1, min(3, count), tuple(PeerName(f"n{number}") for number in range(count)))


def firsts(branch: Branch) -> list[PeerName]:
    """Who is first, and would be if the others before were not there."""
    left: Branch | None = branch
    names = []
    while left is not None:
        names.append(left.first)
        left = left.beheaded()
    return names


class PlanterTests(SynchronousTestCase):
    """Peers that take a branch, or do not."""

    def setUp(self) -> None:
        self.clock = Clock()
        #: Whom something was done with, and what; and what is pushed.
        self.done: list[tuple[PeerName, Any]] = []
        self.adopted: list[tuple[Package, Branch]] = []
        #: What fails with whom.
        self.finding: dict[PeerName, Exception] = {}
        self.dialling: dict[PeerName, Exception] = {}
        self.telling: dict[PeerName, Exception] = {}
        self.silent: set[PeerName] = set()
        self.older: set[PeerName] = set()
        self.links: dict[PeerName, Any] = {}
        self.push: Any = SimpleNamespace(adopt=lambda *words: self.adopted.append(words))
        network: Any = SimpleNamespace(dial=self.dial, links=lambda: self.links)
        Planter(self.clock, network, self.push, self.find, self.tell)

    def find(self, peer: PeerName) -> Deferred[Any]:
        self.done.append((peer, "looked for"))
        return fail(self.finding[peer]) if peer in self.finding else succeed(ADDRESSES)

    def dial(self, peer: PeerName, addresses: Any) -> Deferred[Any]:
        self.assertEqual(addresses, ADDRESSES)
        if peer in self.silent:
            return Deferred(lambda _: self.done.append((peer, "given up")))
        return fail(self.dialling[peer]) if peer in self.dialling else succeed(self.link(peer))

    def link(self, peer: PeerName) -> Any:
        return SimpleNamespace(
            peer=peer,
            branch=lambda digest, branch: self.branched(peer, digest, branch),
            feed=lambda digest, word, size: self.done.append((peer, word)),
        )

    def tell(self, link: Any, package: Package) -> None:
        self.done.append((link.peer, package))

    def branched(self, peer: PeerName, digest: Digest, branch: Branch) -> bool:
        self.assertEqual(digest, PACKAGE.sha256)
        if peer in self.telling:
            raise self.telling[peer]
        self.done.append((peer, branch))
        return peer not in self.older

    def tried(self) -> list[PeerName]:
        return [peer for peer, what in self.done if what == "looked for"]

    def assert_next_takes(self) -> None:
        """What the first of seven does not take is told to the next one, and pushed to it alone."""
        rest = branch(7).beheaded()
        assert rest is not None
        self.assertEqual(
            self.done[-3:], [(rest.first, "looked for"), (rest.first, PACKAGE), (rest.first, rest)]
        )
        self.assertEqual((len(self.tried()), self.adopted), (2, [(PACKAGE, rest)]))

    def test_first(self) -> None:
        """It hears of the update, then of what is below it, and is pushed what comes from then on."""
        self.push.grow(PACKAGE, branch(7))
        self.assertEqual(self.done, [(A, "looked for"), (A, PACKAGE), (A, branch(7))])
        self.assertEqual(self.adopted, [(PACKAGE, branch(7))])
        self.clock.advance(2 * SOON)
        self.assertEqual((len(self.tried()), self.clock.getDelayedCalls()), (1, []))

    def test_off(self) -> None:
        """Who cannot be reached leaves its place to the next one."""
        self.dialling[A] = PeerUnreachable("off")
        self.push.grow(PACKAGE, branch(7))
        self.assert_next_takes()

    def test_nowhere(self) -> None:
        """So does who is not in the directory, or whom that cannot be asked for."""
        for trouble in (PeerUnreachable("unknown"), DirectoryUnavailable("away")):
            self.setUp()
            self.finding[A] = trouble
            self.push.grow(PACKAGE, branch(7))
            self.assert_next_takes()

    def test_silent(self) -> None:
        """Who does not answer is waited for, but not for long."""
        self.silent.add(A)
        self.push.grow(PACKAGE, branch(7))
        self.clock.advance(SOON - 0.1)
        self.assertEqual(self.done, [(A, "looked for")])
        self.clock.advance(0.1)
        self.assertEqual(self.done[1], (A, "given up"))
        self.assert_next_takes()

    def test_older(self) -> None:
        """Who does not know what a branch is hears of the update, and is pushed nothing."""
        self.older.add(A)
        self.push.grow(PACKAGE, branch(7))
        self.assertIn((A, PACKAGE), self.done)
        self.assert_next_takes()

    def test_too_large(self) -> None:
        """What cannot be told to the first one is tried with one peer less."""
        self.telling[A] = BadDocument("too many names")
        self.push.grow(PACKAGE, branch(7))
        self.assert_next_takes()

    def test_many(self) -> None:
        """A few are tried, one after the other; that it was in vain is logged."""
        self.dialling.update(dict.fromkeys(branch(20).names, PeerUnreachable("off")))
        with capturedLogs() as logged:
            self.push.grow(PACKAGE, branch(20))
        self.assertEqual(self.tried(), firsts(branch(20))[:TRIES])
        told = [event for event in logged if event["log_level"] >= LogLevel.info]
        self.assertEqual([(event["number"], event["file"]) for event in told], [(TRIES, PACKAGE.file)])
        self.assertEqual(self.adopted, [])

    def test_nobody_left(self) -> None:
        """If that were all, nothing more is done."""
        self.dialling.update(dict.fromkeys(branch(3).names, PeerUnreachable("off")))
        self.push.grow(PACKAGE, branch(3))
        self.clock.advance(2 * SOON)
        self.assertEqual((self.tried(), self.adopted), (firsts(branch(3)), []))

    def test_fault(self) -> None:
        """A fault of our own is logged, and no reason to try the next one."""
        self.dialling[A] = ZeroDivisionError()
        self.push.grow(PACKAGE, branch(7))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.tried(), self.adopted), ([A], []))

    def test_drop(self) -> None:
        """Who is pushed no more hears so, if it is still linked."""
        self.links[A] = self.link(A)
        self.push.drop(A, PACKAGE.sha256)
        self.push.drop(PeerName("gone"), PACKAGE.sha256)
        self.assertEqual(self.done, [(A, Round.WITHOUT)])

    def test_at_once(self) -> None:
        """No more than some branches are given at one time, whatever others say; the next ones are."""
        self.silent.update(PeerName(f"m{number}") for number in range(AT_ONCE + 1))
        for number in range(AT_ONCE + 1):
            self.push.grow(PACKAGE, Branch(0, 0, (PeerName(f"m{number}"),)))
        self.assertEqual(len(self.tried()), AT_ONCE)
        self.clock.advance(SOON)
        self.push.grow(PACKAGE, branch(1))
        self.assertEqual(len(self.tried()), AT_ONCE + 1)
