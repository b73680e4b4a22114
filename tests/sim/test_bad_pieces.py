"""
What is wrong with pieces, in every way (L3): real agents, and two neighbours that go on and on.

Each is bounded, harmless to the others, and named in the log: once, not at every misdeed.  What comes at one
byte a second is in L{tests.test_protocol_link} and C{tests.live.test_bad_neighbours}.
"""

from __future__ import annotations

from collections import Counter

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from clumpt.agent import suspicions
from clumpt.agent.taken import COPIES
from clumpt.config import LimitsSection
from clumpt.testing.cluster import Cluster
from clumpt.testing.drill import apart
from clumpt.testing.invariants import check_at_rest
from clumpt.testing.liars import Vice
from clumpt.testing.piece_liars import (
    Again,
    Beyond,
    Endless,
    Hollow,
    Longer,
    OtherHashes,
    OtherLength,
    Promising,
    Shorter,
    Stuffing,
)
from tests.sim.case import ClusterTestCase

#: So slow that there is time to do harm meanwhile.
SLOW = LimitsSection(upload=50_000)
#: Seconds that three updates may take with liars; without them it is some 30.
BOUND = 120.0
#: Seconds for which the liars go on when all is done.
AFTERWARDS = 60.0
#: Lines about one liar in the log of one peer: a few kinds of misdeeds, a package or a link each.
LINES = 10


class PieceTests(ClusterTestCase):
    """Five honest peers, and two that are not."""

    def harm(self, kind: type[Vice]) -> Counter[str]:
        """Three updates among such liars; returns how often each liar was named, and looks at everything."""
        said: Counter[tuple[object, str]] = Counter()
        texts: set[str] = set()

        def heard(event: LogEvent) -> None:
            source = event.get("log_source")
            if event["log_level"] >= LogLevel.warn and not cluster.witness._lies(source):
                said[id(source), str(event.get("peer"))] += 1
                texts.add(formatEvent(event))

        with apart():
            cluster = Cluster(29, 5, limits=SLOW, vices=(kind, kind))
            globalLogPublisher.addObserver(heard)
            try:
                cluster.world.run_for(3.0)
                for size in (200, 300_000, 300_000):
                    cluster.submitter.deliver(cluster.sign("all", size), 20.0)
                    cluster.world.run_for(1.0)
                cluster.world.run_until(cluster.agrees, within=BOUND, every=0.5)
                check_at_rest(cluster)
                cluster.world.run_for(AFTERWARDS)
                # Not the cluster: what is left of it is to be torn down here, not when another test runs.
                self.size = cluster.keys.entries[-1].update.size
                self.sent = {
                    liar.name: max(
                        (machine.agent.server.sent.get(liar.name, 0) for machine in cluster.up), default=0
                    )
                    for liar in cluster.liars.values()
                }
            finally:
                globalLogPublisher.removeObserver(heard)
                cluster.close()
        names = {name for liar in cluster.liars.values() for name in (liar.name, liar.address)}
        about = {key: count for key, count in said.items() if key[1] in names}
        self.assertLessEqual(max(about.values(), default=0), LINES, sorted(texts))
        self.texts = "\n".join(sorted(texts))
        named: Counter[str] = Counter()
        for liar in cluster.liars.values():
            named[liar.name] = sum(n for (_, name), n in about.items() if name in (liar.name, liar.address))
        return named

    def assert_named(self, kind: type[Vice], words: str, least: int = 2) -> None:
        """So many of the two were named, with these words."""
        named = self.harm(kind)
        self.assertGreaterEqual(sum(count > 0 for count in named.values()), least, self.texts)
        self.assertIn(words, self.texts)

    def test_index(self) -> None:
        """Who has, offers, declines or wants a piece that there is not is hung up on."""
        self.assert_named(Beyond, "of 19 of package")

    def test_longer(self) -> None:
        """A piece with something behind it ends the link; it is not even taken in."""
        self.assert_named(Longer, "bytes", least=1)

    def test_shorter(self) -> None:
        """A piece that is too short is a wrong piece."""
        self.assert_named(Shorter, "is not the signed one", least=1)

    def test_bit_field(self) -> None:
        """A bit field of another length, or with bits too many, ends the link."""
        self.assert_named(OtherLength, "a bit field of")

    def test_hashes(self) -> None:
        """Who gives another list of hashes than the signed one is not asked for the package again."""
        self.assert_named(OtherHashes, "a hash list", least=1)

    def test_promises(self) -> None:
        """Announcements of what is never sent cost a question each; who goes on is named."""
        self.assert_named(Promising, "does not send what it announces", least=1)

    def test_silence(self) -> None:
        """So does silence; of each pieces are asked until they come from somebody else."""
        # They are not asked for many in so short a time.
        self.patch(suspicions, "IN_VAIN", 3)
        self.assert_named(Hollow, "does not send what it announces", least=1)

    def test_feeding(self) -> None:
        """Who feeds what is wrong, again and again, or is no piece at all, is named, and not believed."""
        self.assert_named(Stuffing, "of package", least=1)

    def test_requests(self) -> None:
        """Requests without end are told to wait, and then end the link."""
        self.assert_named(Endless, "it asks on and on")

    def test_same_piece(self) -> None:
        """Who takes the same piece for ever is given no more than some copies of the package."""
        self.assert_named(Again, "times within an hour", least=1)
        for sent in self.sent.values():
            self.assertLessEqual(sent, (COPIES + 1) * self.size)
