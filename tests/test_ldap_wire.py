"""One LDAP connection, with servers that behave and servers that do not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from ldaptor.protocols import pureber, pureldap
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import DirectoryRefused, DirectoryUnavailable
from clumpt.ldap import requests, wire
from clumpt.ldap.results import AnswerLost, Refusal
from clumpt.ldap.wire import FAREWELL, MOST_IN_FLIGHT, Wire
from tests.ldap_pipe import Net, Script, Scripted

DONE = pureldap.LDAPSearchResultDone(resultCode=0)
YES = pureldap.LDAPModifyResponse(resultCode=0)
CHANGE = requests.replace("cn=x,o=clumpt", {"description": [b"y"]})


def entry(number: int, size: int = 1) -> Any:
    name = f"cn=node{number},o=clumpt"
    return pureldap.LDAPSearchResultEntry(name, [(b"CN", [b"node%d" % number]), (b"x", [b"x" * size])])


def page_done(cookie: bytes) -> Any:
    value = pureber.BERSequence([pureber.BERInteger(0), pureber.BEROctetString(cookie)]).toWire()
    return DONE, [(requests.PAGED, None, value)]


class WireCase(SynchronousTestCase):
    """A connection to a scripted server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.net = Net()

    def open(self, script: Script) -> Wire:
        self.wire = Wire("ldap://test:389", self.clock, 30.0)
        self.server = Scripted(script)
        self.net.connect(self.wire, self.server)
        return self.wire

    def answering(self, *answers: Any) -> Wire:
        """A connection to a server that gives the same answers to every request."""
        return self.open(lambda op, controls: answers)

    def ask(self) -> Any:
        return self.wire.ask(CHANGE, "changing x")

    def search(self) -> Any:
        return self.wire.search("o=clumpt", requests.present(), ["cn"])

    def assertDead(self) -> None:
        """Nothing can be asked any more, and both ends know."""
        self.assertFalse(self.wire.usable)
        self.assertTrue(self.server.transport.lost)
        self.failureResultOf(self.ask(), DirectoryUnavailable)
        self.assertEqual(self.wire.onwire, {})


class AskTests(WireCase):
    """Single requests."""

    def test_success(self) -> None:
        """An accepted result code is the answer."""
        self.answering(YES)
        self.assertEqual(self.successResultOf(self.ask()), 0)
        self.assertEqual(self.server.asked[0].object, b"cn=x,o=clumpt")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_kept_alive(self) -> None:
        """The kernel looks after idle connections."""
        self.answering()
        self.assertTrue(self.wire.transport.keeps_alive)

    def test_refusals(self) -> None:
        """Every other code is an error that names the server, the deed, the code and a way out."""
        for code, kind, words in [
            (4, Refusal, "olcLimits"),
            (10, Refusal, "replica"),
            (13, Refusal, "TLS"),
            (17, Refusal, "clumptconf check tells"),
            (32, Refusal, "base"),
            (49, Refusal, "password"),
            (50, Refusal, "right"),
            (51, DirectoryUnavailable, "busy"),
            (52, DirectoryUnavailable, "busy"),
            (53, Refusal, "replica"),
            (65, Refusal, "clumptconf check tells"),
            (80, Refusal, "refused"),
            (122, Refusal, "refused"),
        ]:
            self.answering(pureldap.LDAPModifyResponse(resultCode=code, errorMessage=b"because\n\x1b"))
            error = self.failureResultOf(self.ask(), kind).value
            self.assertIn("ldap://test:389, changing x", str(error))
            self.assertIn(f"LDAP result {code}", str(error))
            self.assertIn(words, str(error))
            self.assertTrue(str(error).isprintable())
            self.assertTrue(self.wire.usable)

    def test_unknown_object_class(self) -> None:
        """slapd calls an unknown object class a syntax error; we call it a missing schema."""
        said = b"objectClass: value #0 invalid per syntax"
        self.answering(pureldap.LDAPAddResponse(resultCode=21, errorMessage=said))
        error = self.failureResultOf(self.ask(), Refusal).value
        self.assertIn("clumptconf check tells", str(error))

    def test_accepted_codes(self) -> None:
        """The caller may say which codes it can go on with."""
        self.answering(pureldap.LDAPAddResponse(resultCode=68))
        self.assertEqual(self.successResultOf(self.wire.ask(CHANGE, "adding", (0, 68))), 68)
        self.assertEqual(self.failureResultOf(self.ask(), DirectoryRefused).value.code, 68)

    def test_numbers_are_its_own(self) -> None:
        """Two connections on which the same is asked send the same bytes: a simulation can be repeated."""
        sent = []
        for _ in range(2):
            self.answering(YES)
            self.ask()
            self.ask()
            sent.append(self.server.raw)
        self.assertEqual(sent[0], sent[1])

    def test_pipelined(self) -> None:
        """Answers find their requests whatever their order."""
        self.answering()
        first, second = self.ask(), self.ask()
        self.server.say(YES, 2)
        self.successResultOf(second)
        self.assertNoResult(first)
        self.server.say(YES, 1)
        self.successResultOf(first)

    def test_bounded(self) -> None:
        """There is an end to how much may be under way."""
        self.answering()
        waiting = [self.ask() for _ in range(MOST_IN_FLIGHT)]
        self.failureResultOf(self.ask(), DirectoryUnavailable)
        self.server.say(YES, 1)
        self.successResultOf(waiting.pop(0))
        self.assertNoResult(self.ask())


class EndTests(WireCase):
    """How connections end."""

    def test_timeout(self) -> None:
        """No answer in time: the connection is given up, and what was asked may have been done."""
        self.answering()
        first, second = self.ask(), self.search()
        self.clock.advance(29)
        self.assertNoResult(first)
        self.clock.advance(1)
        error = self.failureResultOf(first, AnswerLost).value
        self.assertIn("30 s", str(error))
        self.failureResultOf(second, AnswerLost)
        self.assertDead()

    def test_hung_up(self) -> None:
        """The server hangs up: everything in flight ends."""
        self.answering()
        waiting = self.ask()
        self.server.transport.loseConnection()
        error = self.failureResultOf(waiting, AnswerLost).value
        self.assertIn("hung up", str(error))
        self.assertDead()

    def test_lost_interest(self) -> None:
        """A caller may give up; the late answer disturbs nobody."""
        self.answering()
        waiting, other = self.ask(), self.ask()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.server.say(YES, 1)
        self.server.say(YES, 2)
        self.successResultOf(other)
        self.assertTrue(self.wire.usable)

    def test_notice_of_disconnection(self) -> None:
        """What a server says to nobody in particular is passed over; the end follows by itself."""
        self.answering()
        self.server.say(pureldap.LDAPExtendedResponse(resultCode=52), 0)
        self.assertTrue(self.wire.usable)

    def test_nobody_asked(self) -> None:
        """An answer to a request that was never made breaks the rules."""
        self.answering()
        self.server.say(YES, 9)
        self.assertDead()

    def test_junk(self) -> None:
        """Junk ends the connection, without a word on the standard output, and what was asked fails."""
        unknown = pureldap.LDAPMessage(pureber.BEROctetString(b"x", tag=0x59), id=1).toWire()
        for junk in (
            b"HTTP/1.1 400 Bad Request",
            b"\x30\x84\x7f\xff\xff\xff",
            b"\x30\x03\x02\x01\x01",
            unknown,
        ):
            self.answering()
            waiting = self.ask()
            printed = StringIO()
            with redirect_stdout(printed):
                self.server.transport.write(junk + junk)
            self.assertEqual(printed.getvalue(), "")
            error = self.failureResultOf(waiting, AnswerLost).value
            self.assertIn("it sent", str(error))
            self.assertDead()

    def test_wrong_answer(self) -> None:
        """A result where entries belong, or the other way round, ends the connection."""
        self.answering(entry(1))
        self.failureResultOf(self.ask(), AnswerLost)
        self.assertDead()
        self.answering(YES)
        self.failureResultOf(self.search(), AnswerLost)
        self.assertDead()

    def test_close(self) -> None:
        """Closing says farewell and waits for the end; what was in flight fails."""
        self.answering()
        waiting = self.ask()
        self.successResultOf(self.wire.close())
        self.assertIsInstance(self.server.asked[-1], pureldap.LDAPUnbindRequest)
        self.failureResultOf(waiting, AnswerLost)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.wire.close())

    def test_close_in_bounded_time(self) -> None:
        """A server that does not let go is left."""
        self.answering()
        self.wire.transport.loseConnection = lambda: None
        closing, again = self.wire.close(), self.wire.close()
        self.assertNoResult(closing)
        self.clock.advance(FAREWELL)
        self.successResultOf(closing)
        self.successResultOf(again)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SearchTests(WireCase):
    """Searches."""

    def pages(self, *pages: tuple[Sequence[int], bytes]) -> Wire:
        """A server that answers with these pages, entries and cookie, one after the other."""
        left = list(pages)

        def script(op: Any, controls: Any) -> Sequence[Any]:
            self.controls.append(controls)
            numbers, cookie = left.pop(0)
            return [*map(entry, numbers), page_done(cookie)]

        self.controls: list[Any] = []
        return self.open(script)

    def test_pages(self) -> None:
        """A search takes as many pages as there are, handing back each cookie."""
        self.pages(([1, 2], b"more"), ([], b"still more"), ([3], b""))
        found = self.successResultOf(self.search())
        self.assertEqual([one.attributes["cn"] for one in found], [[b"node1"], [b"node2"], [b"node3"]])
        self.assertEqual(found[0].dn, "cn=node1,o=clumpt")
        cookies = [value for ((_, _, value),) in self.controls]
        self.assertEqual(cookies, [requests.page(wire.PAGE, c)[2] for c in (b"", b"more", b"still more")])

    def test_cut_off(self) -> None:
        """A server that stops at its own limit has not answered: nothing passes for everything."""
        self.answering(entry(1), pureldap.LDAPSearchResultDone(resultCode=4))
        error = self.failureResultOf(self.search(), Refusal).value
        self.assertIn("olcLimits", str(error))

    def test_some(self) -> None:
        """Who asks for a few gets a few, and the server is told how many."""
        self.answering(entry(1), entry(2), pureldap.LDAPSearchResultDone(resultCode=4))
        found = self.successResultOf(self.wire.some("o=clumpt", requests.present(), ["cn"], 2))
        self.assertEqual(len(found), 2)
        self.assertEqual(self.server.asked[0].sizeLimit, 2)

    def test_too_many(self) -> None:
        """A server that sends more than was asked for is left."""
        self.answering(entry(1), entry(2), entry(3), DONE)
        self.failureResultOf(self.wire.some("o=clumpt", requests.present(), ["cn"], 2), AnswerLost)
        self.assertDead()

    def test_too_much(self) -> None:
        """A server that sends more bytes than entries of ours can have is left."""
        self.patch(wire, "PAGE_BYTES", 1000)
        self.answering(entry(1, 900), DONE)
        self.assertEqual(len(self.successResultOf(self.search())), 1)
        self.answering(entry(1, 900), entry(2, 900), DONE)
        self.failureResultOf(self.search(), AnswerLost)
        self.assertDead()

    def test_no_end(self) -> None:
        """A server that always has one more page is left."""
        self.patch(wire, "MOST_PAGES", 3)
        self.answering(page_done(b"again"))
        error = self.failureResultOf(self.search(), DirectoryUnavailable).value
        self.assertIn("no end", str(error))
        self.assertDead()

    def test_bad_cookie(self) -> None:
        """A page control that cannot be read ends the connection, not the world."""
        self.answering((DONE, [(requests.PAGED, None, b"junk")]))
        self.failureResultOf(self.search(), DirectoryUnavailable)
        self.assertDead()

    def test_not_paged(self) -> None:
        """A server that answered without paging has answered in full."""
        self.answering(entry(1), DONE)
        self.assertEqual(len(self.successResultOf(self.search())), 1)

    def test_referred(self) -> None:
        """What lies on another server is not followed, and not left out silently either."""
        reference = pureldap.LDAPSearchResultReference(uris=[pureber.BEROctetString(b"ldap://other")])
        self.answering(entry(1), reference, DONE)
        self.assertEqual(self.failureResultOf(self.search(), Refusal).value.code, 10)

    def test_read(self) -> None:
        """Reading an entry gives it, or None if there is none."""
        self.answering(entry(1), DONE)
        self.assertEqual(self.successResultOf(self.wire.read("cn=node1", ["cn"])).dn, "cn=node1,o=clumpt")
        self.answering(pureldap.LDAPSearchResultDone(resultCode=32))
        self.assertIsNone(self.successResultOf(self.wire.read("cn=node1", ["cn"])))
        self.answering(DONE)
        self.assertIsNone(self.successResultOf(self.wire.read("cn=node1", ["cn"])))


class TlsTests(WireCase):
    """StartTLS."""

    def test_begins(self) -> None:
        """TLS begins once the server agreed."""
        self.answering(pureldap.LDAPExtendedResponse(resultCode=0))
        creator: Any = object()
        self.successResultOf(self.wire.start_tls(creator))
        self.assertIs(self.wire.transport.tls, creator)

    def test_refused(self) -> None:
        """TLS does not begin if the server will not."""
        self.answering(pureldap.LDAPExtendedResponse(resultCode=2))
        creator: Any = object()
        self.failureResultOf(self.wire.start_tls(creator), Refusal)
        self.assertIsNone(self.wire.transport.tls)

    def test_smuggled(self) -> None:
        """What somebody put in the clear behind the server's yes is never taken for the server's word."""
        yes = pureldap.LDAPMessage(pureldap.LDAPExtendedResponse(resultCode=0), id=1).toWire()
        smuggled = pureldap.LDAPMessage(pureldap.LDAPBindResponse(resultCode=0), id=2).toWire()
        creator: Any = object()
        for at_once in (True, False):
            self.answering(yes + smuggled)
            self.net.held = not at_once
            waiting = self.wire.start_tls(creator)
            self.net.held = False
            self.net.flow()
            self.failureResultOf(waiting, DirectoryUnavailable)
            self.assertIsNone(self.wire.transport.tls)
            self.assertDead()
