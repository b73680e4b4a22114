"""Care of the repository (H11): L{clumpt.agent.care}."""

from __future__ import annotations

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.care import SCRUB, Care, Held, keeps, to_drop
from clumpt.model import PeerName
from clumpt.pieces import Digest, Pieces, digest_of
from tests.test_job import package as job_package

held = st.builds(
    Held,
    digest=st.integers(0, 10**6).map(lambda number: digest_of(str(number).encode())),
    size=st.integers(0, 1000),
    used=st.floats(0, 100),
    open=st.booleans(),
    live=st.booleans(),
    kept=st.booleans(),
)


def package(name: str, size: int = 10, used: float = 0, **words: object) -> Held:
    given_words = {"open": False, "live": True, "kept": False} | words
    return Held(digest_of(name.encode()), size, used, **given_words)  # type: ignore[arg-type]  # as given


#: On a busy machine, too.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class DropTests(SynchronousTestCase):
    """What is dropped."""

    @CALM
    @given(st.lists(held, max_size=20, unique_by=lambda one: one.digest), st.integers(0, 20000))
    def test_never(self, here: list[Held], excess: int) -> None:
        """Neither what is needed here, nor the last known copy of what others may need, is dropped."""
        dropped = set(to_drop(here, excess))
        for one in here:
            if one.open or (one.live and one.kept):
                self.assertNotIn(one.digest, dropped)

    @CALM
    @given(st.lists(held, max_size=20, unique_by=lambda one: one.digest), st.integers(0, 20000))
    def test_enough(self, here: list[Held], excess: int) -> None:
        """As much is freed as was asked for, if it may be freed, and no package more than that takes."""
        sizes = {one.digest: one.size for one in here}
        dropped = to_drop(here, excess)
        able = sum(one.size for one in here if one.droppable)
        self.assertGreaterEqual(sum(sizes[digest] for digest in dropped), min(excess, able))
        if dropped:
            self.assertLess(sum(sizes[digest] for digest in dropped[:-1]), excess)

    @given(st.sets(st.sampled_from("abcdefg"), min_size=1))
    def test_one_keeper(self, names: set[str]) -> None:
        """Of peers that know of each other, exactly one keeps a package."""
        digest = digest_of(b"x")
        peers = [PeerName(name) for name in sorted(names)]
        keepers = [one for one in peers if keeps(one, [peer for peer in peers if peer != one], digest)]
        self.assertEqual(len(keepers), 1)

    def test_order(self) -> None:
        """What nobody wants goes first, then what was useful longest ago."""
        here = [package("new", used=9), package("old", used=1), package("void", used=99, live=False)]
        self.assertEqual(to_drop(here, 15), [digest_of(b"void"), digest_of(b"old")])


class Repository:
    """Ten bytes a package; the one called bad is damaged."""

    def __init__(self, *names: str) -> None:
        self.here = {digest_of(name.encode()) for name in names}
        self.looked: list[Digest] = []

    def usage(self) -> int:
        return 10 * len(self.here)

    def digests(self) -> set[Digest]:
        return self.here

    def drop(self, digest: Digest) -> None:
        self.here.discard(digest)

    def check(self, digest: Digest) -> Deferred[bool]:
        self.looked.append(digest)
        if digest != digest_of(b"bad"):
            return succeed(True)
        self.here.discard(digest)
        return succeed(False)


class CareTests(SynchronousTestCase):
    """When it is done."""

    def care(self, quota: int, *names: str) -> Care:
        self.clock = Clock()
        self.repository = Repository(*names)
        return Care(
            self.clock,
            self.repository,
            quota,
            lambda used: [package(name) for name in names],
        )

    def test_quota(self) -> None:
        """Near the quota packages are dropped, some more than needed, so that it is not done all the time."""
        care = self.care(100, *map(str, range(10)))
        care.tidy()
        self.assertEqual(self.repository.usage(), 80)
        care.tidy()
        self.assertEqual(self.repository.usage(), 80)

    def test_no_quota(self) -> None:
        """Without a quota nothing is dropped."""
        care = self.care(0, "a", "b")
        care.tidy()
        self.assertEqual(self.repository.usage(), 20)

    def test_scrub(self) -> None:
        """Every package is looked at in its turn; what is damaged keeps no other waiting."""
        care = self.care(0, "a", "bad", "c")
        care.start()
        for _ in range(4):
            self.clock.advance(SCRUB)
        self.assertEqual(set(self.repository.looked), {digest_of(name) for name in (b"a", b"bad", b"c")})
        care.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_here(self) -> None:
        """An empty repository needs no care."""
        self.successResultOf(self.care(100).scrub())

    def test_hindered(self) -> None:
        """That there is no room is logged once a package, and said until the package is here."""
        care = self.care(0, "a", "b", "c")
        big = evolve(job_package("big"), pieces=Pieces(20, 16384, digest_of(b"")))
        with capturedLogs() as logged:
            for _ in range(3):
                care.hindered(big, "the disk is full")
        alarms = [event for event in logged if event["log_level"] is LogLevel.error]
        self.assertEqual((len(alarms), care.hindrance), (1, "the disk is full"))
        self.assertEqual(self.repository.usage(), 10)
        care.useful(big)
        self.assertEqual(care.hindrance, "")
