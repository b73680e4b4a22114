"""How an update stands, from what peers say (R13, R27); pure."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent import queue
from clumpt.expiry import worry
from clumpt.idset import IdSet
from clumpt.model import MOST_FAILURES, Action, Failure, GroupName, PeerName, PeerStatus, State, Update
from clumpt.progress import STUCK, Progress, Stage, Target, age, picture, progress, retries_among
from clumpt.skew import overview
from clumpt.testing.keys import Deployment

NOW = 1_800_000_000
N1 = PeerName("n1")
TARGET = Target(N1, frozenset([GroupName("all")]))


def update(seq: int, **fields: object) -> Update:
    return Deployment().update(seq=seq, **fields)


def status(**fields: object) -> PeerStatus:
    return PeerStatus(**{"peer": N1, "seen": NOW, **fields})


def failed(seq: int, state: State = State.FAILED, reason: str = "broken", code: int | None = 2) -> Failure:
    return Failure(seq, state, code, NOW - 60, reason)


def stand(seq: int, said: PeerStatus | None, *later: Update, target: Target = TARGET) -> Progress:
    return progress(update(seq), target, said, retries_among(later), NOW)


class ProgressTests(SynchronousTestCase):
    """What one peer's report means for one update."""

    def test_done(self) -> None:
        """What is settled and not among the failures was done, above the mark as well."""
        for said in (status(head=5, settled=5), status(head=5, settled=3, above="5")):
            self.assertEqual(stand(5, said), Progress(Stage.DONE))

    def test_failed(self) -> None:
        """A failure is told with its status and reason, though it is settled."""
        said = status(head=5, settled=5, failures=(failed(5),))
        self.assertEqual(stand(5, said), Progress(Stage.FAILED, "broken", 2, NOW - 60))
        self.assertTrue(stand(5, said).over)

    def test_held(self) -> None:
        """Held goes on by itself, unless nobody knows how the run ended."""
        for reason, over in (("locked by apt", False), (f"{STUCK}: the helper died", True)):
            said = status(head=5, settled=4, failures=(failed(5, State.HELD, reason, None),))
            self.assertEqual(stand(5, said), Progress(Stage.HELD, reason, None, NOW - 60))
            self.assertIs(stand(5, said).over, over)

    def test_skipped(self) -> None:
        """Skipped is over."""
        said = status(head=5, settled=5, failures=(failed(5, State.SKIPPED, "withdrawn by update 6", None),))
        self.assertIs(stand(5, said).stage, Stage.SKIPPED)
        self.assertTrue(stand(5, said).over)

    def test_pending(self) -> None:
        """Whoever lags has a reason, and unreachable is not failed (promise 3)."""
        late = status(head=9, settled=9, seen=NOW - 3 * 3600, state="isolated", reason="nobody answers")
        for said, reason in (
            (None, "never reported"),
            (evolve(late, settled=4, head=4), "not seen for 3 h, was isolated: nobody answers"),
            (
                status(head=4, settled=4, state="isolated", reason="nobody answers"),
                "isolated: nobody answers",
            ),
            (status(head=4, settled=4), "knows updates up to 4"),
            (status(head=5, settled=4, reason="the disk is full"), "the disk is full"),
            # A certificate that ends is no reason to lag.
            (status(head=5, settled=4, reason=worry(NOW, NOW)), "fetching or running"),
            (status(head=6, settled=2, above="4,6"), "is at update 3"),
            (status(head=6, settled=4), "fetching or running"),
        ):
            self.assertEqual(stand(5, said), Progress(Stage.PENDING, reason))
            self.assertFalse(stand(5, said).over)

    def test_silent_and_done(self) -> None:
        """What was done before a peer fell silent stays done."""
        self.assertIs(stand(5, status(head=5, settled=5, seen=1)).stage, Stage.DONE)

    def test_groups_changed(self) -> None:
        """A report from before the peer's groups were stated says nothing of their updates (H10)."""
        target = evolve(TARGET, stated=NOW)
        said = status(head=5, settled=5, seen=NOW - 1)
        self.assertIs(stand(5, said, target=target).stage, Stage.PENDING)
        self.assertIs(stand(5, evolve(said, seen=NOW), target=target).stage, Stage.DONE)

    def test_too_many_failures(self) -> None:
        """If failures may have been left out of a report, nothing older counts as done."""
        many = tuple(failed(seq) for seq in range(10, 10 + MOST_FAILURES))
        said = status(head=5000, settled=5000, failures=many)
        self.assertIs(stand(5, said).stage, Stage.PENDING)
        self.assertIs(stand(4000, said).stage, Stage.DONE)
        self.assertIs(stand(5, evolve(said, failures=many[1:])).stage, Stage.DONE)

    def test_stuck_word(self) -> None:
        """The word by which a held update is known to be stuck is the agent's."""
        self.assertEqual(STUCK, queue.INTERRUPTED)

    def test_age(self) -> None:
        """Ages are coarse, so that equal reasons fold."""
        self.assertEqual(
            [age(s) for s in (-1, 59, 60, 7199, 86399, 200000)],
            ["0 s", "59 s", "1 min", "1 h", "23 h", "2 d"],
        )


class RetryTests(SynchronousTestCase):
    """A retry that succeeded counts for the original."""

    def test_mended(self) -> None:
        """Failed, then done by the retry; also by the retry of a retry."""
        said = status(head=7, settled=7, failures=(failed(5),))
        self.assertEqual(stand(5, said, update(7, retries=5)), Progress(Stage.DONE, by=7))
        twice = status(head=7, settled=7, failures=(failed(5), failed(6)))
        self.assertEqual(
            stand(5, twice, update(6, retries=5), update(7, retries=6)), Progress(Stage.DONE, by=7)
        )

    def test_not_mended(self) -> None:
        """A retry that failed, or has not come yet, leaves it failed, and is named."""
        for said in (
            status(head=7, settled=7, failures=(failed(5), failed(7))),
            status(head=5, settled=5, failures=(failed(5),)),
        ):
            found = stand(5, said, update(7, retries=5))
            self.assertEqual((found.stage, found.reason), (Stage.FAILED, "broken (tried again by update 7)"))

    def test_newest_retry(self) -> None:
        """Of several retries the newest is named, and any of them may have mended it."""
        said = status(head=8, settled=8, failures=(failed(5), failed(7), failed(8)))
        retries = update(7, retries=5), update(8, retries=5)
        self.assertEqual(stand(5, said, *retries).reason, "broken (tried again by update 8)")
        mended = evolve(said, failures=(failed(5), failed(8)))
        self.assertEqual(stand(5, mended, *retries), Progress(Stage.DONE, by=7))

    def test_held_then_retried(self) -> None:
        """A held update is skipped in favour of its retry, which decides."""
        skipped = failed(5, State.SKIPPED, "tried again by update 7", None)
        said = status(head=7, settled=7, failures=(skipped, failed(7)))
        self.assertEqual(
            stand(5, said, update(7, retries=5)), Progress(Stage.FAILED, "broken", 2, NOW - 60, 7)
        )

    def test_elsewhere(self) -> None:
        """A retry on other nodes changes nothing here."""
        said = status(head=7, settled=7, failures=(failed(5),))
        found = stand(5, said, update(7, retries=5, nodes=frozenset([PeerName("n2")])))
        self.assertEqual(found.reason, "broken")

    def test_done_stays_done(self) -> None:
        """What was installed was installed, whatever became of a retry."""
        said = status(head=7, settled=7, failures=(failed(7),))
        self.assertEqual(stand(5, said, update(7, retries=5)), Progress(Stage.DONE))


peers = st.integers(1, 9).map(lambda number: PeerName(f"n{number}"))
states = st.sampled_from([State.FAILED, State.HELD, State.SKIPPED])


@st.composite
def reports(draw: st.DrawFn, peer: PeerName) -> PeerStatus:
    head = draw(st.integers(0, 9))
    settled = draw(st.integers(0, head))
    above = IdSet.of(draw(st.frozensets(st.integers(settled + 2, 12), max_size=3)))
    seqs = draw(st.frozensets(st.integers(1, 9), max_size=3))
    failures = tuple(Failure(seq, draw(states), 1, NOW, "because") for seq in sorted(seqs))
    return PeerStatus(peer, head, settled, str(above), failures, seen=draw(st.integers(NOW - 5000, NOW)))


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Target], dict[PeerName, PeerStatus]]:
    names = sorted(draw(st.frozensets(peers, min_size=1)))
    told = draw(st.frozensets(st.sampled_from(names)))
    return [Target(name, frozenset([GroupName("all")])) for name in names], {
        name: draw(reports(name)) for name in sorted(told)
    }


class PictureTests(SynchronousTestCase):
    """All peers together."""

    @given(clusters(), st.integers(1, 9))
    def test_everybody_once(self, cluster: tuple[list[Target], dict[PeerName, PeerStatus]], seq: int) -> None:
        """Each peer is in one fold and counted once; done are those and only those who said so."""
        targets, statuses = cluster
        seen = picture(update(seq), targets, statuses, {}, NOW)
        names = [name for fold in seen.folds for name in fold.peers]
        self.assertEqual(sorted(names), [target.name for target in targets])
        self.assertEqual(sum(seen.counts.values()), len(targets))
        for target in targets:
            said = statuses.get(target.name)
            settled = said is not None and (seq <= said.settled or seq in IdSet.parse(said.above))
            failing = said is not None and seq in [failure.seq for failure in said.failures]
            self.assertIs(seen.peers[target.name].stage is Stage.DONE, settled and not failing)
            if seen.peers[target.name].stage is Stage.PENDING:
                self.assertNotEqual(seen.peers[target.name].reason, "")

    def test_only_whom_it_concerns(self) -> None:
        """Others do not count."""
        targets = [TARGET, Target(PeerName("n2"), frozenset([GroupName("gpu")]))]
        seen = picture(update(1), targets, {}, {}, NOW)
        self.assertEqual(list(seen.peers), ["n1"])

    def test_over(self) -> None:
        """It is over when nothing is to come; it failed if one peer did, or is stuck."""
        for stages, over, bad in (
            ([Progress(Stage.DONE), Progress(Stage.SKIPPED)], True, False),
            ([Progress(Stage.DONE), Progress(Stage.FAILED)], True, True),
            ([Progress(Stage.PENDING, "x"), Progress(Stage.FAILED)], False, True),
            ([Progress(Stage.HELD, "locked")], False, False),
            ([Progress(Stage.HELD, STUCK)], True, True),
        ):
            seen = evolve(
                picture(update(1), [], {}, {}, NOW),
                peers={PeerName(f"n{number}"): one for number, one in enumerate(stages)},
            )
            self.assertEqual((seen.over, seen.failed), (over, bad))

    def test_folds(self) -> None:
        """Peers that stand alike are one fold; done comes first, and large folds before small ones."""
        stands = {
            "n1": Progress(Stage.FAILED, "a"),
            "n2": Progress(Stage.FAILED, "b"),
            "n3": Progress(Stage.FAILED, "b"),
            "n4": Progress(Stage.DONE),
        }
        seen = evolve(
            picture(update(1), [], {}, {}, NOW), peers={PeerName(name): one for name, one in stands.items()}
        )
        self.assertEqual([fold.peers for fold in seen.folds], [("n4",), ("n2", "n3"), ("n1",)])


class SkewTests(SynchronousTestCase):
    """Who is in step with the table."""

    def look(self, said: PeerStatus | None, head: int, *updates: Update) -> tuple[str, list[int]]:
        known = {one.seq: one for one in updates}
        told = {} if said is None else {said.peer: said}
        [one] = overview([TARGET], told, known, retries_among(updates), head, NOW)
        return one.behind, list(one.open)

    def test_in_step(self) -> None:
        """All settled, nothing open."""
        self.assertEqual(self.look(status(head=5, settled=5), 5), ("", []))
        self.assertEqual(self.look(status(), 0), ("", []))

    def test_behind(self) -> None:
        """Behind, silent or never heard of."""
        self.assertEqual(self.look(status(head=4, settled=4), 5), ("knows updates up to 4", []))
        self.assertEqual(self.look(status(head=5, settled=3), 5), ("is at update 4", []))
        self.assertEqual(self.look(status(head=5, settled=5, seen=NOW - 90000), 5), ("not seen for 1 d", []))
        self.assertEqual(self.look(None, 0), ("never reported", []))

    def test_open(self) -> None:
        """A failure stays open until a retry mends it or it is withdrawn."""
        said = status(head=6, settled=6, failures=(failed(5),))
        self.assertEqual(self.look(said, 6, update(5), update(6)), ("", [5]))
        self.assertEqual(self.look(said, 6, update(5), update(6, retries=5)), ("", []))
        gone = update(6, withdraws=(5,), action=Action.WITHDRAW)
        self.assertEqual(self.look(said, 6, update(5), gone), ("", []))
        both = evolve(said, failures=(failed(5), failed(6)))
        self.assertEqual(self.look(both, 6, update(5), update(6, retries=5)), ("", [5]))
