"""Telling the directory, and reading it: L{clumpt.agent.report} and L{clumpt.agent.roster}."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.job import Agenda
from clumpt.agent.report import RETRY_MOST, Reporter, summarise
from clumpt.agent.roster import MOST_CALLERS, Roster
from clumpt.errors import DirectoryUnavailable, IdentityError, PeerUnreachable, Untrusted
from clumpt.model import Address, Group, GroupName, Outcome, Peer, PeerName, PeerStatus, Settings, State
from clumpt.pieces import digest_of
from clumpt.places import Locality
from clumpt.testing.disk import MemoryDisk
from clumpt.testing.keys import Deployment
from clumpt.testing.memory_directory import MemoryDirectory
from clumpt.testing.memory_journal import MemoryJournal
from tests.test_job import entry

ME = PeerName("node001")
ALL = GroupName("all")


class SummaryTests(SynchronousTestCase):
    """What a peer says of itself."""

    def test_truth(self) -> None:
        """Done, failed, held and open updates are told apart, with reasons (promise 3)."""
        agenda = Agenda(ME, frozenset({ALL}))
        agenda.add([entry(seq) for seq in range(1, 6)])
        agenda.mark(1, State.DONE)
        agenda.mark(2, State.FAILED)
        agenda.mark(3, State.HELD)
        agenda.mark(4, State.DONE)
        reasons = {2: Outcome(State.FAILED, 9, "no " * 200), 3: Outcome(State.HELD, None, "locked: apt")}
        status = summarise(agenda, ME, 5, reasons.get, lambda seq: 7.0, state="active", reason="", seen=8)
        self.assertEqual((status.head, status.settled, status.above), (5, 2, "4"))
        self.assertEqual(
            [(f.seq, f.state, f.code) for f in status.failures], [(2, "failed", 9), (3, "held", None)]
        )
        self.assertLessEqual(len(status.failures[0].reason), 200)


class ReporterTests(SynchronousTestCase):
    """When it is said."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = MemoryDirectory.holding(Settings("test"), self.clock)
        keys = Deployment()
        self.successResultOf(self.directory.put_group(Group(ALL)))
        self.successResultOf(self.directory.put_peer(Peer(ME, (), frozenset({ALL}), keys.member(ME))))
        self.journal = MemoryJournal(MemoryDisk(Random(1)))
        self.said = 0
        self.reporter = Reporter(
            self.clock, Random(1), self.directory.as_peer(ME), self.journal, 1.0, self.status
        )

    def status(self) -> PeerStatus:
        self.said += 1
        return PeerStatus(ME, head=self.said)

    def told(self) -> int:
        """The head that the directory knows of this peer."""
        statuses = self.successResultOf(self.directory.statuses())
        return statuses[ME].head if ME in statuses else 0

    def test_gathers(self) -> None:
        """Many changes within the delay make one report."""
        for _ in range(10):
            self.reporter.wake()
        self.assertEqual(self.told(), 0)
        self.clock.advance(1.5)
        self.assertEqual((self.said, self.told()), (1, 1))

    def test_meanwhile(self) -> None:
        """What changes while a report is on its way is told in another one."""
        self.directory.server.delay = 0.5
        self.reporter.send()
        self.reporter.wake()
        self.assertEqual(self.said, 1)
        self.clock.pump([0.5] * 10)
        self.directory.server.delay = 0.0
        self.assertEqual((self.said, self.told()), (2, 2))
        self.clock.advance(600.0)
        self.assertEqual(self.said, 2)

    def test_outage(self) -> None:
        """While the directory is away the report waits, ever longer, and is not lost."""
        self.directory.server.down = True
        self.reporter.wake()
        self.clock.pump([1.0] * 60)
        self.assertLess(self.said, 10)
        self.directory.server.down = False
        self.clock.pump([1.0] * int(RETRY_MOST))
        self.assertGreater(self.told(), 0)

    def test_refused(self) -> None:
        """A refused report is tried again, rarely."""
        self.directory.server.read_only = True
        self.reporter.wake()
        self.clock.advance(1.5)
        self.directory.server.read_only = False
        self.clock.advance(2 * RETRY_MOST)
        self.assertEqual(self.told(), 2)

    def test_enrolled_again(self) -> None:
        """What is refused to one that was removed is told soon after the directory knows it again."""
        self.directory.server.read_only = True
        self.reporter.wake()
        self.clock.advance(1.5)
        self.directory.server.read_only = False
        self.clock.advance(1.5)
        self.assertEqual(self.told(), 0)
        self.reporter.answers()
        self.clock.advance(1.5)
        self.assertEqual(self.told(), 2)

    def test_refused_once(self) -> None:
        """Why a report is refused is logged once, and again only if it was taken meanwhile."""
        server = self.directory.server
        with capturedLogs() as logged:
            for server.read_only in (True, True, True, False, True):
                self.successResultOf(self.reporter.send())
        self.assertEqual(len(logged), 2, logged)
        self.assertIn("refuses", logged[0]["log_format"])
        self.reporter.stop()

    def test_stopped(self) -> None:
        """After the end nothing is said any more, and no timer is left."""
        self.reporter.wake()
        self.reporter.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RosterTests(SynchronousTestCase):
    """Whom a peer knows."""

    def setUp(self) -> None:
        self.keys = Deployment()
        self.directory = MemoryDirectory.holding(Settings("test", interval=60.0))
        self.disk = MemoryDisk(Random(1))
        self.successResultOf(self.directory.put_group(Group(ALL)))
        self.enrol("node001", "node002")
        self.enrol("node002")

    def enrol(self, name: str, *neighbours: str, **words: Any) -> None:
        peer = Peer(
            PeerName(name),
            (Address("10.0.0.1", 1, 2),),
            frozenset({ALL}),
            self.keys.member(words.pop("member_of", name)),
            tuple(map(PeerName, neighbours)),
            **words,
        )
        self.successResultOf(self.directory.put_peer(peer))

    def roster(self) -> Roster:
        return Roster(ME, self.directory.as_peer(ME), MemoryJournal(self.disk), self.keys.keyring())

    def test_reads(self) -> None:
        """Groups come from the signed statement, neighbours and interval from the directory."""
        roster = self.roster()
        self.successResultOf(roster.refresh())
        self.assertEqual(roster.groups, {ALL})
        self.assertEqual(list(roster.neighbours()), ["node002"])
        self.assertEqual(roster.interval, 60.0)

    def test_override(self) -> None:
        """A peer may have an interval of its own (R49)."""
        self.enrol("node001", overrides=(("interval", "5"),))
        roster = self.roster()
        self.successResultOf(roster.refresh())
        self.assertEqual(roster.interval, 5.0)

    def test_without_directory(self) -> None:
        """What was read once is enough to start without the directory (R8)."""
        self.successResultOf(self.roster().refresh())
        self.directory.server.down = True
        roster = self.roster()
        self.failureResultOf(roster.refresh(), DirectoryUnavailable)
        self.assertTrue(roster.restore())
        self.assertEqual(list(roster.neighbours()), ["node002"])

    def test_policies(self) -> None:
        """What the groups of this peer allow is read and remembered (R11)."""
        mine = Group(ALL, "", frozenset({"dpkg"}), frozenset({"lib*"}), frozenset({"libx"}))
        for group in (mine, Group(GroupName("other"), refuses=frozenset({"*"}))):
            self.successResultOf(self.directory.put_group(group))
        roster = self.roster()
        self.assertEqual(roster.policies, [])
        self.successResultOf(roster.refresh())
        self.assertEqual(roster.policies, [mine])
        self.directory.server.down = True
        again = self.roster()
        again.restore()
        self.assertEqual(again.policies, [mine])

    def test_members_without_directory(self) -> None:
        """The members of our groups are remembered too (R76)."""
        roster = self.roster()
        self.successResultOf(roster.refresh())
        self.successResultOf(roster.read_members())
        self.directory.server.down = True
        again = self.roster()
        again.restore()
        self.successResultOf(again.read_members())
        self.assertEqual(list(again.members()), ["node002"])

    def test_never_read(self) -> None:
        """A new peer has nothing to start from."""
        self.assertFalse(self.roster().restore())

    def test_not_enrolled(self) -> None:
        """Who is not in the directory is told what to do."""
        self.successResultOf(self.directory.remove_peer(ME))
        failure = self.failureResultOf(self.roster().refresh(), IdentityError)
        self.assertIn("clumptconf add node001", str(failure.value))

    def test_statement_of_another(self) -> None:
        """A statement for another peer makes nobody a member."""
        self.enrol("node001", member_of="node002")
        self.failureResultOf(self.roster().refresh(), IdentityError)

    def test_admission(self) -> None:
        """Name, key and statement have to belong together."""
        roster = self.roster()
        statement, key = self.keys.member("node002"), digest_of(b"node002")
        self.assertEqual(roster.admit(PeerName("node002"), key, statement).groups, {ALL})
        with self.assertRaises(Untrusted):
            roster.admit(PeerName("node003"), key, statement)
        with self.assertRaises(Untrusted):
            roster.admit(PeerName("node002"), digest_of(b"another"), statement)

    def test_places(self) -> None:
        """Where those stand whom we know, and who know us, is read from the directory, if it matters."""
        third, fourth = PeerName("node003"), PeerName("node004")
        self.enrol("node001", "node002", rack="r1")
        self.enrol("node002", rack="r1")
        self.enrol("node003", rack="r2")
        self.enrol("node004", rack="r1")
        roster = self.roster()
        roster.locality = Locality.RACK
        self.assertEqual(roster.where(ME), "")
        self.successResultOf(roster.refresh())
        self.assertEqual([roster.where(name) for name in (ME, PeerName("node002"), third)], ["r1", "r1", ""])
        for caller in (third, fourth, PeerName("clumpt-submitter")):
            self.successResultOf(roster.locate(caller))
        self.assertEqual((roster.where(third), roster.where(fourth)), ("r2", "r1"))
        self.assertEqual((roster.beside(third), roster.beside(fourth)), (False, True))
        # What was read stays while the directory is away, and what was not is unknown.
        self.directory.server.down = True
        self.successResultOf(roster.locate(PeerName("node005")))
        self.assertEqual((roster.where(third), roster.where(PeerName("node005"))), ("r2", ""))
        roster.locality = Locality.NONE
        self.assertEqual(roster.where(third), "")

    def test_callers_bounded(self) -> None:
        """So many callers are remembered, and no more; where nobody has a rack, nobody is asked for."""
        roster = self.roster()
        self.successResultOf(roster.refresh())
        self.enrol("node003")
        self.successResultOf(roster.locate(PeerName("node003")))
        self.assertEqual(len(roster._callers), 0)
        self.enrol("node001", rack="r1")
        self.successResultOf(roster.refresh())
        for number in range(3, MOST_CALLERS + 9):
            name = PeerName(f"m{number}")
            self.directory.server.contents.peers[name] = Peer(name, (), frozenset({ALL}), b"")
            self.successResultOf(roster.locate(name))
        self.assertEqual(len(roster._callers), MOST_CALLERS)

    def test_find(self) -> None:
        """Where a peer listens the directory says, if it is not known here; a stranger listens nowhere."""
        self.enrol("node003")
        roster = self.roster()
        self.successResultOf(roster.refresh())
        stranger = roster.find(PeerName("node009"))
        self.assertIn("node009", str(self.failureResultOf(stranger, PeerUnreachable).value))
        for name in ("node002", "node003"):
            self.assertEqual(self.successResultOf(roster.find(PeerName(name))), (Address("10.0.0.1", 1, 2),))
        self.directory.server.down = True
        self.successResultOf(roster.find(PeerName("node002")))
        self.failureResultOf(roster.find(PeerName("node003")), DirectoryUnavailable)

    def test_dismissed_neighbours(self) -> None:
        """Whom a refresh looked up is not looked up again, but the next time."""
        asked: list[PeerName] = []
        look_up = MemoryDirectory.peer
        self.patch(MemoryDirectory, "peer", lambda one, name: asked.append(name) or look_up(one, name))
        self.enrol("node001", "node002", "node003")
        self.enrol("node004")
        roster = self.roster()
        names = [PeerName(f"node00{number}") for number in (2, 3, 4)]
        self.successResultOf(roster.refresh())
        self.assertEqual(asked, ["node001", "node002", "node003"])
        self.assertEqual(self.successResultOf(roster.dismissed(names)), ["node003"])
        self.assertEqual(asked[3:], ["node004"])
        self.enrol("node003")
        self.assertEqual(self.successResultOf(roster.dismissed(names)), [])

    def test_dismissed(self) -> None:
        """Who was removed from the directory is found out; nobody is while it cannot be asked."""
        roster = self.roster()
        self.successResultOf(self.directory.remove_peer(PeerName("node002")))
        self.enrol("clumpt-submitter")
        names = [PeerName("node001"), PeerName("node002"), PeerName("clumpt-submitter.0123abcd")]
        self.assertEqual(self.successResultOf(roster.dismissed(names)), ["node002"])
        self.directory.server.down = True
        self.assertEqual(self.successResultOf(roster.dismissed(names)), [])
