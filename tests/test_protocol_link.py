"""A link: asking, answering and telling, both ways, and how it ends."""

from __future__ import annotations

from collections import Counter
from struct import pack
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from clumpt.errors import BadDocument, Busy, LinkLost, NotHere, ProtocolError
from clumpt.idset import IdSet
from clumpt.interfaces import ILink, IPeerEvents
from clumpt.model import PeerName
from clumpt.pieces import Bits, Round, digest_of
from clumpt.protocols.limits import Limits
from clumpt.protocols.messages import MOST_ENVELOPE, Ack, Message, Notify
from clumpt.protocols.news import Branched
from clumpt.protocols.requests import (
    LONGEST,
    MOST_OUTPUT,
    Cancel,
    Hashes,
    Piece,
    WantPiece,
)
from clumpt.trees import Branch
from tests.protocol_kit import TOP, Agent, Town, Wire


class Entry:
    """As much of an entry as travels."""

    def __init__(self, envelope: bytes) -> None:
        self.envelope = envelope


class LinkCase(SynchronousTestCase):
    """C{a} has dialled C{b}."""

    limits = Limits(idle=1e6)

    def setUp(self) -> None:
        self.town = Town("ab", self.limits)
        self.here, self.there = self.town.agents["a"], self.town.agents["b"]
        dialled = self.town.dial("a", "b")
        self.town.run()
        self.link: Any = self.successResultOf(dialled)
        self.back: Any = self.there.links["a"]

    def wire(self, port: int, ours: bool = True) -> Wire:
        """The end of a line of the link at C{a}, or at C{b}: 1 is the notification, 2 the update line."""
        host = self.town.hosts["a" if ours else "b"].address
        (wire,) = [one for one in self.town.net.open_wires() if one.port == port and one.here == host]
        return wire

    def say(self, port: int, message: Message) -> None:
        """Let C{b} say something that it never would."""
        self.wire(port, ours=False).write(b"".join(message.frame().encode()))

    def result(self, asked: Deferred[Any]) -> Any:
        self.town.run()
        return self.successResultOf(asked)

    def failure(self, asked: Deferred[Any], kind: type[Exception]) -> Any:
        self.town.run()
        return self.failureResultOf(asked, kind).value

    def assertHungUp(self, why: str) -> None:
        """C{a} ended the link because C{b} broke a rule."""
        self.town.run(5)
        self.assertEqual(self.here.names()[-1], "unlinked")
        self.assertEqual(self.there.names()[-1], "unlinked")
        self.assertEqual(self.town.networks["a"].refused, 1)
        told = self.town.networks["a"]._wires.complaints._told
        self.assertIn(why, " ".join(text for _, text in told))


class TellingTests(LinkCase):
    """What needs no answer arrives."""

    def test_interfaces(self) -> None:
        """A link is an L{ILink}; the test agent an L{IPeerEvents}."""
        verifyObject(ILink, self.link)
        verifyObject(IPeerEvents, self.here)

    def test_linked(self) -> None:
        """Both ends know each other's name and head."""
        self.assertEqual(self.here.told, [("linked", "b", 0, TOP)])
        self.assertEqual(self.there.told, [("linked", "a", 0, TOP)])
        self.assertEqual((self.link.peer, self.back.peer), ("b", "a"))

    def test_notify(self) -> None:
        """A notification carries entries, holders and head, and is acknowledged (R32, R64)."""
        self.here.head = 7
        self.link.notify([Entry(b"six"), Entry(b"seven")], [6])
        self.town.run()
        self.assertEqual(self.there.told[-1], ("notified", "a", (b"six", b"seven"), (6,), 7))
        self.assertEqual(self.here.told[-1], ("acked", "b", 7))
        self.assertEqual((self.link.head, self.back.head), (7, 7))

    def test_notify_in_pages(self) -> None:
        """What can be asked of us is said once, with the last page."""
        self.here.head = 3
        self.link.notify([Entry(bytes(30_000))] * 3, [1, 2, 3])
        self.town.run()
        told = [words[3] for words in self.there.told if words[0] == "notified"]
        self.assertEqual(told, [(), (), (1, 2, 3)])

    def test_head_before_the_rest(self) -> None:
        """Who is notified sees at once how much more there is to be asked for."""
        heads: list[int] = []
        self.patch(self.there, "notified", lambda link, *words: heads.append(link.head))
        self.here.head = 7
        self.link.notify([], [6])
        self.town.run()
        self.assertEqual(heads, [7])

    def test_notify_of_holding_alone(self) -> None:
        """Without entries there is still something to say: what can be asked of us."""
        self.link.notify([], [3])
        self.town.run()
        self.assertEqual(self.there.told[-1], ("notified", "a", (), (3,), 0))

    def test_notify_back(self) -> None:
        """Who was dialled may notify too."""
        self.back.notify([Entry(b"one")], [])
        self.town.run()
        self.assertEqual(self.here.told[-1], ("notified", "b", (b"one",), (), 0))

    def test_notify_much(self) -> None:
        """Many entries travel in several messages, in order; far too many are left to be asked for."""
        self.link.notify([Entry(bytes(20_000))] * 20, [])
        self.town.run(2)
        parts = [what[2] for what in self.there.told if what[0] == "notified"]
        self.assertGreater(len(parts), 1)
        self.assertLess(sum(map(len, parts)), 20)

    def test_notify_without_waiting_for_pieces(self) -> None:
        """A notification arrives though the update line is stuck."""
        self.wire(2).taken = False
        self.link.have(TOP, Bits(0b1010), Bits(0b100))
        self.link.notify([Entry(b"one")], [])
        self.town.run()
        self.assertEqual(self.there.names()[-1], "notified")

    def test_head_never_falls(self) -> None:
        """A peer is known to have what it once had."""
        self.link.head = 9
        self.say(1, Ack(4))
        self.town.run()
        self.assertEqual(self.link.head, 9)

    def test_reload(self) -> None:
        """Neighbours are told of a change of neighbours (R67)."""
        self.link.reload()
        self.town.run()
        self.assertEqual(self.there.told[-1], ("reload_asked", "a"))

    def test_pieces_told(self) -> None:
        """Holdings, increments, offers and their refusals arrive."""
        self.link.holding(TOP, 10, Bits(0b1000000001))
        self.link.have(TOP, Bits(0b1010), Bits(0b100))
        self.link.offer(TOP, 2)
        self.link.decline(TOP, 3)
        self.town.run()
        self.assertEqual(
            self.there.told[1:],
            [
                ("holding_told", TOP, b"\x01\x02"),
                ("have_told", TOP, Bits(0b1010), Bits(0b100)),
                ("offered", TOP, 2),
                ("declined", TOP, 3),
            ],
        )

    def test_fed(self) -> None:
        """Who asks to be fed is sent pieces without asking for each, and hears when that is over."""
        self.link.feed(TOP, Round.WANTED, 100)
        self.town.run()
        self.back.fed(TOP, 7, bytes(100))
        self.back.feed(TOP, Round.OVER, 0)
        self.town.run()
        self.assertEqual(self.there.told[-1], ("goes_round", TOP, Round.WANTED))
        self.assertEqual(self.here.told[-2:], [("fed", TOP, 7, bytes(100)), ("goes_round", TOP, Round.OVER)])

    def test_older(self) -> None:
        """Who speaks an older version only is not asked: it would hang up."""
        pair, before = self.link._pair, len(self.there.told)
        fed = [Round.OVER, Round.WANTED]
        passed_by = [*fed, Round.INSTEAD, Round.WITHOUT]
        for version, words in ((1, []), (2, fed), (3, passed_by), (4, list(Round))):
            self.link._pair = evolve(pair, hello=evolve(pair.hello, versions=tuple(range(1, version + 1))))
            for word in Round:
                self.link.feed(TOP, word, 100)
            self.town.run()
            self.assertEqual([word for *_, word in self.there.told[before:]], words)
            del self.there.told[before:]

    def test_branched(self) -> None:
        """What begins with a peer of a tree arrives as it is, from either end."""
        branch = Branch(1, 2, (PeerName("b"), PeerName("c"), PeerName("d")))
        self.assertTrue(self.link.branch(TOP, branch))
        self.assertTrue(self.back.branch(TOP, branch.below()[0]))
        self.town.run()
        self.assertEqual(self.there.told[-1], ("branched", TOP, branch))
        self.assertEqual(self.here.told[-1], ("branched", TOP, Branch(1, 1, (PeerName("c"),))))

    def test_branched_older(self) -> None:
        """Who speaks an older version only is told nothing, and the asker knows that."""
        pair, before = self.link._pair, len(self.there.told)
        self.link._pair = evolve(pair, hello=evolve(pair.hello, versions=(1, 2, 3)))
        self.assertFalse(self.link.branch(TOP, Branch(0, 0, (PeerName("b"),))))
        self.town.run()
        self.assertEqual(self.there.told[before:], [])

    def test_branched_too_large(self) -> None:
        """A branch that cannot travel is a mistake of who would tell it; the link stays."""
        names = tuple(PeerName(digest_of(b"%d" % number)[:63]) for number in range(2500))
        self.assertRaises(BadDocument, self.link.branch, TOP, Branch(0, 0, names))
        self.assertTrue(self.link.open)

    def test_branched_wrongly(self) -> None:
        """A peer that tells what no branch is loses the link."""
        raw = b"".join(Branched(TOP, Branch(0, 0, (PeerName("a"),))).frame().encode())
        self.wire(2, ours=False).write(raw[:-1] + bytes([raw[-1] ^ 1]))
        self.assertHungUp("are not compressed")

    def test_fed_too_much(self) -> None:
        """A piece that is larger than those that are wanted is refused at its first bytes."""
        self.link.feed(TOP, Round.WANTED, 100)
        self.town.run()
        self.back.fed(TOP, 7, bytes(101))
        self.assertHungUp("a frame of kind 0x32")

    def test_fed_unasked(self) -> None:
        """So is any, where nobody asked to be fed."""
        self.back.fed(TOP, 7, b"x")
        self.assertHungUp("a frame of kind 0x32")

    def test_wrong_line(self) -> None:
        """What belongs on the other line ends the link."""
        self.wire(2, ours=False).write(b"".join(Notify((), IdSet(), 0).frame().encode()))
        self.assertHungUp("unknown kind 0x10")


class AskingTests(LinkCase):
    """Requests and their answers."""

    def test_table(self) -> None:
        """What is missing comes in order, as much as fits a message (R38)."""
        self.there.envelopes = [b"e%d" % seq for seq in range(1, 6)]
        self.assertEqual(self.result(self.link.table(IdSet.of([1, 3]))), (b"e2", b"e4", b"e5"))
        self.there.envelopes = [bytes(MOST_ENVELOPE)] * 3
        self.assertEqual(len(self.result(self.link.table(IdSet()))), 1)
        self.assertEqual(self.result(self.link.table(IdSet.upto(3))), ())

    def test_ids(self) -> None:
        """The paper's special request tells all ids (R38)."""
        self.there.head = 12
        self.assertEqual(self.result(self.link.ids()), IdSet.upto(12))

    def test_blobs(self) -> None:
        """Hashes, pieces and output come as they are; of long output the end."""
        self.there.pieces = {
            (TOP, 0): b"hashes",
            (TOP, 5): bytes(300_000),
            ("", 4): b"x" * MOST_OUTPUT + b"end",
        }
        self.assertEqual(self.result(self.link.hashes(TOP)), b"hashes")
        self.assertEqual(self.result(self.link.piece(TOP, 5, 300_000)), bytes(300_000))
        output = self.result(self.link.output(4))
        self.assertEqual((len(output), output[-3:]), (MOST_OUTPUT, b"end"))

    def test_asked_back(self) -> None:
        """Who was dialled may ask too, and both at once with the same ids."""
        self.here.pieces = {(TOP, 1): b"from here"}
        self.there.pieces = {(TOP, 1): b"from there"}
        asked = self.link.piece(TOP, 1, 10), self.back.piece(TOP, 1, 10)
        self.assertEqual([self.result(one) for one in asked], [b"from there", b"from here"])

    def test_not_here(self) -> None:
        """A peer that does not hold it says so."""
        self.failure(self.link.hashes(TOP), NotHere)

    def test_busy(self) -> None:
        """A peer that cannot serve now says when to ask again, within reason."""
        for said, heard in ((2.5, 2.5), (-1, 0), (1e12, LONGEST / 1000)):
            self.there.pieces[TOP, 1] = Busy(said)
            self.assertEqual(self.failure(self.link.piece(TOP, 1, 10), Busy).retry_after, heard)

    def test_answers_in_any_order(self) -> None:
        """Answers are matched by id, not by order."""
        slow: Deferred[bytes] = Deferred()
        self.there.pieces = {(TOP, 1): slow, (TOP, 2): b"two"}
        first, second = self.link.piece(TOP, 1, 10), self.link.piece(TOP, 2, 10)
        self.assertEqual(self.result(second), b"two")
        slow.callback(b"one")
        self.assertEqual(self.result(first), b"one")

    def test_mistake_there(self) -> None:
        """An agent that fails at an answer ends the link; the mistake is logged."""
        self.there.pieces[TOP, 1] = ZeroDivisionError()
        self.failure(self.link.piece(TOP, 1, 10), LinkLost)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("unlinked", self.there.names())

    def test_link_ends(self) -> None:
        """If the link ends, all that was asked fails, and so does what is asked later."""
        never: Deferred[bytes] = Deferred()
        self.there.pieces = {(TOP, 1): never}
        asked = [self.link.piece(TOP, 1, 10), self.link.hashes(TOP)]
        self.link.close()
        for one in asked:
            self.failure(one, LinkLost)
        self.failureResultOf(self.link.output(1), LinkLost)
        self.assertTrue(never.called)
        self.assertEqual(self.there.names()[-1], "unlinked")
        self.link.have(TOP, Bits(0b1010), Bits(0b100))
        self.link.reload()
        self.link.close()

    def test_asker_cancels_others_at_the_end(self) -> None:
        """When all fails, one that fails may cancel another."""
        self.there.pieces = {(TOP, 1): Deferred(), (TOP, 2): Deferred()}
        first, second = self.link.piece(TOP, 1, 10), self.link.piece(TOP, 2, 10)
        first.addErrback(lambda _: second.cancel())
        self.town.run()
        self.link.close()
        self.failure(second, CancelledError)

    def test_too_many(self) -> None:
        """Beyond the bound nothing is sent; it is as if the peer were busy."""
        self.there.pieces = {(TOP, 1): Deferred()}
        asked = [self.link.piece(TOP, 1, 10) for _ in range(self.limits.in_flight)]
        self.failureResultOf(self.link.piece(TOP, 1, 10), Busy)
        for one in asked:
            one.cancel()
            self.failureResultOf(one, CancelledError)

    def test_cancel(self) -> None:
        """A request that is taken back is not prepared further, and its id is free again."""
        slow: Deferred[bytes] = Deferred()
        self.there.pieces = {(TOP, 1): slow}
        asked = self.link.piece(TOP, 1, 10)
        self.town.run()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.town.run()
        self.assertTrue(slow.called)
        self.assertEqual(self.link._asking._waiting, {})

    def test_answered_before_cancelled(self) -> None:
        """An answer that crosses its cancelling is dropped."""
        self.there.pieces = {(TOP, 1): b"one"}
        asked = self.link.piece(TOP, 1, 10)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.town.run()
        self.assertTrue(self.link.open)


class PatienceTests(LinkCase):
    """Every request ends in time."""

    # No pings in the middle of what these tests write.
    limits = Limits(idle=1e6, ping=1e6)

    def test_no_answer(self) -> None:
        """A request without an answer fails, is taken back, and the link lives on."""
        never: Deferred[bytes] = Deferred()
        self.there.pieces = {(TOP, 0): never, (TOP, 1): b"one"}
        asked = self.link.hashes(TOP)
        self.town.run(self.limits.request - 1)
        self.assertNoResult(asked)
        self.town.run(2)
        self.failureResultOf(asked, LinkLost)
        self.assertTrue(never.called)
        self.assertEqual(self.result(self.link.piece(TOP, 1, 10)), b"one")

    def test_no_answer_to_cancel(self) -> None:
        """A peer that neither answers nor takes a request back is hung up on."""
        asked = self.link._asking.ask(Cancel, Hashes, lambda found: found)
        self.town.run(31)
        self.failureResultOf(asked, LinkLost)
        self.assertTrue(self.link.open)
        self.town.run(31)
        self.assertHungUp("neither answers")

    def slow_piece(self, rate: int, size: int) -> Deferred[bytes]:
        """A piece of which C{rate} bytes come every second."""
        asked: Deferred[bytes] = self.link.piece(TOP, 1, size)
        self.town.run()
        wire = self.wire(2, ours=False)
        data = b"".join(Piece(1, bytes(size)).frame().encode())
        for second in range(len(data) // rate + 1):
            part = data[second * rate : second * rate + rate]
            self.town.clock.callLater(second, lambda part=part: wire.closed or wire.write(part))
        return asked

    def test_slow_but_not_too_slow(self) -> None:
        """A large piece may take longer than other requests, while it comes fast enough."""
        self.there.pieces = {(TOP, 1): Deferred()}
        asked = self.slow_piece(20_000, 2_000_000)
        self.town.run(90)
        self.assertNoResult(asked)
        self.town.run(20)
        self.assertEqual(len(self.successResultOf(asked)), 2_000_000)

    def test_too_slow(self) -> None:
        """A piece that comes too slowly is given up, though something comes all the time."""
        self.there.pieces = {(TOP, 1): Deferred()}
        asked = self.slow_piece(1000, 200_000)
        self.town.run(30 + 200_000 / self.limits.slowest + 1)
        self.failureResultOf(asked, LinkLost)

    def test_stalled_piece(self) -> None:
        """A piece that stops coming is given up as soon as anything else would be, pings or not."""
        self.limits = LinkCase.limits
        self.setUp()
        self.there.pieces = {(TOP, 1): Deferred()}
        asked = self.link.piece(TOP, 1, 10_000_000)
        self.town.run(31)
        self.failureResultOf(asked, LinkLost)


class BrokenRulesTests(LinkCase):
    """A peer that breaks the rules loses the link, and is named."""

    def test_never_asked(self) -> None:
        """An answer to nothing."""
        self.say(2, Hashes(5, b""))
        self.assertHungUp("Hashes is no answer")

    def test_other_answer(self) -> None:
        """An answer of another kind than was asked for; the asker is not left waiting."""
        self.there.pieces = {(TOP, 1): Deferred()}
        asked = self.link.piece(TOP, 1, 100)
        self.say(2, Hashes(1, b""))
        self.failure(asked, LinkLost)
        self.assertHungUp("Hashes is no answer")

    def test_piece_larger_than_any(self) -> None:
        """A piece larger than any that was asked for is refused at its first bytes."""
        self.there.pieces = {(TOP, 1): Deferred()}
        asked = self.link.piece(TOP, 1, 100)
        self.wire(2, ours=False).write(pack("!IB", 1 + 4 + 101, 0x2B))
        self.failure(asked, LinkLost)
        self.assertHungUp("106 bytes, at most 105")

    def test_piece_larger_than_that_one(self) -> None:
        """A piece that is larger than this request allows, though another would."""
        self.there.pieces = {(TOP, 1): Deferred()}
        asked = self.link.piece(TOP, 1, 100), self.link.piece(TOP, 1, 1000)
        self.say(2, Piece(1, bytes(101)))
        for one in asked:
            self.failure(one, LinkLost)
        self.assertHungUp("101 bytes, 100 were asked for")

    def test_piece_when_none_is_asked_for(self) -> None:
        """A piece while only other things are asked for."""
        self.there.pieces = {(TOP, 0): Deferred()}
        asked = self.link.hashes(TOP)
        self.say(2, Piece(1, b"x"))
        self.failure(asked, LinkLost)
        self.assertHungUp("0x2b")

    def test_id_in_use(self) -> None:
        """A request whose id is being answered."""
        self.here.pieces = {(TOP, 1): Deferred()}
        for _ in range(2):
            self.say(2, WantPiece(3, TOP, 1))
        self.assertHungUp("request 3 came twice")

    def test_agent_finds_a_bad_document(self) -> None:
        """What the agent refuses ends the link too."""
        self.here.trouble["notified"] = ProtocolError("no such thing as a half update")
        self.say(1, Notify((), IdSet(), 0))
        self.assertHungUp("half update")


class ServingTests(LinkCase):
    """A peer cannot make us do more than we want."""

    def test_flood(self) -> None:
        """Beyond the bound requests are refused at once, and the agent does not hear of them."""
        self.here.pieces = {(TOP, 1): Deferred()}
        for number in range(1000):
            self.say(2, WantPiece(number, TOP, 1))
        self.town.run(0.001)
        self.assertEqual(len(self.here.wanted), self.limits.at_once)
        self.assertEqual(len(self.link._serving._open), self.limits.in_flight)

    def test_on_and_on(self) -> None:
        """Who asks on and on though it was told to wait is hung up on."""
        self.here.pieces = {(TOP, 1): Deferred()}
        for number in range(self.limits.in_flight + self.limits.excess):
            self.say(2, WantPiece(number, TOP, 1))
        self.town.run(0.001)
        self.assertTrue(self.link.open)
        for number in range(10**6, 10**6 + 50):
            self.say(2, WantPiece(number, TOP, 1))
        self.assertHungUp("it asks on and on: 1001 requests too many")

    def test_answered_but_endless(self) -> None:
        """Requests that are answered at once may not come faster than they can be of use."""
        self.here.pieces = {(TOP, 0): b"hashes"}
        answers = Counter[str]()
        for number in range(self.limits.burst + 100):
            asked = self.back.hashes(TOP)
            asked.addCallbacks(lambda _: answers.update(["given"]), lambda failure: answers.update(["busy"]))
            if number % 50 == 0:
                self.town.run(0.01)
        self.town.run(0.01)
        self.assertGreaterEqual(answers["busy"], 50)
        self.town.run(2.0)
        self.assertEqual(self.result(self.back.hashes(TOP)), b"hashes")

    def test_pieces_do_not_hold_up_others(self) -> None:
        """While pieces wait for their turn, other requests are answered."""
        self.there.pieces = {(TOP, 1): Deferred(), (TOP, 0): b"hashes"}
        for _ in range(self.limits.at_once + 1):
            self.link.piece(TOP, 1, 10).addErrback(lambda _: None)
        self.assertEqual(self.result(self.link.hashes(TOP)), b"hashes")

    def test_slow_reader(self) -> None:
        """For a peer that does not read, nothing is prepared, and little is kept."""
        self.here.pieces = {(TOP, 1): bytes(200_000)}
        wire = self.wire(2)
        wire.taken = False
        asked = [self.back.piece(TOP, 1, 200_000) for _ in range(20)]
        self.town.run()
        self.assertLessEqual(len(self.here.wanted), 1)
        self.assertLess(wire.largest, 300_000)
        wire.take_again()
        for one in asked:
            self.assertEqual(len(self.result(one)), 200_000)
        self.assertLess(wire.largest, 300_000)

    def test_full(self) -> None:
        """The agent can see that there is no room for a piece, and is told when there is."""
        self.here.pieces = {(TOP, 1): bytes(200_000)}
        wire = self.wire(2)
        wire.taken = False
        asked = self.back.piece(TOP, 1, 200_000)
        self.town.run()
        self.assertTrue(self.link.full)
        self.assertNotIn("drained", self.here.names())
        wire.take_again()
        self.assertFalse(self.link.full)
        self.assertEqual(self.here.names().count("drained"), 1)
        self.assertEqual(len(self.result(asked)), 200_000)

    def test_ready_but_full(self) -> None:
        """A piece that is ready while the line is full waits; its request can no more be taken back."""
        later: Deferred[bytes] = Deferred()
        self.here.pieces = {(TOP, 1): later, (TOP, 2): bytes(200_000)}
        wire = self.wire(2)
        wire.taken = False
        asked = self.back.piece(TOP, 1, 10), self.back.piece(TOP, 2, 200_000)
        self.town.run()
        later.callback(b"late")
        self.town.run()
        self.assertEqual(len(self.link._serving._ready), 1)
        self.link._serving.cancelled(1)
        wire.take_again()
        self.assertEqual([len(self.result(one)) for one in asked], [4, 200_000])

    def test_cancelled_in_the_queue(self) -> None:
        """A request that waits for its turn can be taken back."""
        self.there.pieces = {(TOP, 1): Deferred(), (TOP, 2): b"two"}
        asked = [self.link.piece(TOP, 1, 10) for _ in range(self.limits.at_once)]
        waiting = self.link.piece(TOP, 2, 10)
        self.town.run()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.town.run()
        self.assertNotIn(("piece", TOP, 2), self.there.wanted)
        for one in asked:
            one.cancel()
            self.failureResultOf(one, CancelledError)

    def test_unread_answers(self) -> None:
        """Requests without end from a peer that reads no answer end the link."""
        self.link._serving._limits = evolve(self.limits, excess=10**9)
        self.wire(2).taken = False
        wire = self.wire(2, ours=False)
        number = 0
        self.here.pieces = {(TOP, 1): Deferred()}
        while self.link.open and number < 500_000:
            burst = [WantPiece(number + one, TOP, 1) for one in range(500)]
            wire.write(b"".join(b"".join(one.frame().encode()) for one in burst))
            number += 500
            self.town.run(0.001)
        self.assertFalse(self.link.open)
        self.assertHungUp("unread")


class AgentTests(SynchronousTestCase):
    """The agent of these tests."""

    def test_interface(self) -> None:
        """It can stand for a real one."""
        verifyObject(IPeerEvents, Agent("a"))
