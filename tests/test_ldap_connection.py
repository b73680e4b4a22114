"""Several LDAP servers as one: order, fail-over, and who may decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ldaptor.protocols import pureldap
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadInput, ConfigurationError, DirectoryRefused, DirectoryUnavailable
from clumpt.ldap import requests
from clumpt.ldap.connection import LONGEST_REST, SHORTEST_REST, Servers
from clumpt.ldap.results import Refusal
from clumpt.ldap.servers import External, Simple, Tls, Uri, over_network
from clumpt.ldap.wire import Wire
from tests.ldap_pipe import Farm

CHANGE = requests.replace("cn=x,o=clumpt", {"description": [b"y"]})


def saying(code: int) -> Any:
    return lambda op, controls: [pureldap.LDAPModifyResponse(resultCode=code)]


def silent(op: Any, controls: Any) -> Sequence[Any]:
    return []


async def change(wire: Wire) -> int:
    return await wire.ask(CHANGE, "changing x")


class UriTests(SynchronousTestCase):
    """Addresses of servers."""

    def test_parse(self) -> None:
        """A scheme, a host, perhaps a port."""
        for text, uri in [
            ("ldaps://ldap.example.org", Uri(True, "ldap.example.org", 636)),
            (" ldap://10.0.0.1/ ", Uri(False, "10.0.0.1", 389)),
            ("ldaps://[2001:db8::1]:1636", Uri(True, "2001:db8::1", 1636)),
        ]:
            self.assertEqual(Uri.parse(text), uri)
            self.assertEqual(Uri.parse(str(uri)), uri)

    def test_refused(self) -> None:
        """Anything else is refused, and the text says so."""
        for text in (
            "",
            "ldap.example.org",
            "http://x",
            "ldapi:///var/run/ldapi",
            "ldap://",
            "ldap://x:99999",
            "ldap://x:y",
            "ldap://x/o=clumpt",
            "ldap://x?cn",
            "ldap://me@x",
            "ldap://[x",
        ):
            error = self.assertRaises(BadInput, Uri.parse, text)
            self.assertIn(repr(text), str(error))


class IdentityTests(SynchronousTestCase):
    """Who we are, and what may go in the clear."""

    def test_no_empty_password(self) -> None:
        """An empty password would make us nobody, to which servers say yes."""
        self.assertRaises(ConfigurationError, Simple, "cn=admin,o=clumpt", "")
        self.assertRaises(ConfigurationError, Simple, "", "secret")

    def test_password_is_not_shown(self) -> None:
        """The password does not get into logs."""
        self.assertNotIn("geheim", repr(Simple("cn=admin,o=clumpt", "geheim")))

    def test_nothing_in_the_clear(self) -> None:
        """A server without TLS is refused, unless that is meant."""
        farm = Farm()
        plain, secure = farm.server("a", silent), Uri(True, "b", 636)
        wary = farm.dialler(allow_plain=False)
        error = self.assertRaises(ConfigurationError, Servers, [secure, plain], wary)
        self.assertEqual(len(error.mistakes), 1)
        self.assertIn("ldap://a:389", str(error))
        self.assertRaises(ConfigurationError, Servers, [secure], wary, plain)
        Servers([secure], wary)
        Servers([plain], farm.dialler(allow_plain=False, start_tls=Tls(None)))

    def test_ldaps_needs_an_authority(self) -> None:
        """There is no TLS without somebody to vouch for the server."""
        reach = over_network(Farm().clock, None)
        self.assertRaises(ConfigurationError, reach, Uri(True, "b", 636))

    def test_no_servers(self) -> None:
        """There must be a server."""
        self.assertRaises(ConfigurationError, Servers, [], Farm().dialler())


class ServersCase(SynchronousTestCase):
    """Some scripted servers."""

    def setUp(self) -> None:
        self.farm = Farm()

    def servers(self, *scripts: Any, **more: Any) -> Servers:
        """Servers a, b, c... that answer by these scripts; None refuses connections."""
        uris = [self.farm.server("abc"[at], script) for at, script in enumerate(scripts)]
        self.all = Servers(uris, self.farm.dialler(**more))
        return self.all

    def anywhere(self) -> Deferred[int]:
        return Deferred.fromCoroutine(self.all.anywhere(change))

    def willing(self) -> Deferred[int]:
        return Deferred.fromCoroutine(self.all.willing(change))

    def writer(self) -> Deferred[int]:
        return Deferred.fromCoroutine(self.all.writer(change))

    def asked(self) -> str:
        """How often each server was asked, such as C{2 0}."""
        return " ".join(str(len(self.farm.asked(host))) for host in self.farm.places)

    def dialled(self) -> str:
        return " ".join(str(place.dialled) for place in self.farm.places.values())


class OrderTests(ServersCase):
    """Which server is asked."""

    def test_first(self) -> None:
        """The first one is asked as long as it answers, over one connection."""
        self.servers(saying(0), saying(0))
        for _ in range(3):
            self.assertEqual(self.successResultOf(self.anywhere()), 0)
        self.assertEqual(self.asked(), "3 0")
        self.assertEqual(self.dialled(), "1 0")
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])

    def test_refuses_connections(self) -> None:
        """If one cannot be reached, the next is asked."""
        self.servers(None, saying(0))
        self.successResultOf(self.anywhere())
        self.assertEqual(self.asked(), "0 1")

    def test_black_hole(self) -> None:
        """If one does not even refuse, the next is asked after a while."""
        self.servers(saying(0), saying(0), attempt=5.0)
        self.farm.places["a"].serve = "black hole"
        waiting = self.anywhere()
        self.farm.clock.advance(4)
        self.assertNoResult(waiting)
        self.farm.clock.advance(1)
        self.successResultOf(waiting)
        self.assertEqual(self.farm.places["a"].cancelled, 1)

    def test_no_answer(self) -> None:
        """If one takes the question and is silent, the next is asked."""
        self.servers(silent, saying(0), timeout=7.0)
        waiting = self.anywhere()
        self.farm.clock.advance(7)
        self.successResultOf(waiting)
        self.assertEqual(self.asked(), "1 1")

    def test_busy(self) -> None:
        """If one is busy, the next is asked."""
        self.servers(saying(51), saying(0))
        self.successResultOf(self.anywhere())
        self.assertEqual(self.asked(), "1 1")

    def test_nobody(self) -> None:
        """If nobody answers, the error says what was wrong with each."""
        self.servers(None, saying(52))
        error = self.failureResultOf(self.anywhere(), DirectoryUnavailable).value
        self.assertIn("ldap://a:389", str(error))
        self.assertIn("ldap://b:389", str(error))

    def test_a_no_is_an_answer(self) -> None:
        """A refusal is not taken to the next server."""
        self.servers(saying(50), saying(0))
        self.failureResultOf(self.anywhere(), Refusal)
        self.assertEqual(self.asked(), "1 0")

    def test_not_accepted(self) -> None:
        """Neither is a refused name and password; the connection is closed."""
        self.servers(saying(0), saying(0))
        lines = self.farm.served["a"]
        original = self.farm.places["a"].serve

        def serve() -> Any:
            line = original()
            line.script = lambda op, controls: [pureldap.LDAPBindResponse(resultCode=49)]
            return line

        self.farm.places["a"].serve = serve
        error = self.failureResultOf(self.anywhere(), DirectoryRefused).value
        self.assertIn("cn=admin,o=clumpt", str(error))
        self.assertNotIn("secret", str(error))
        self.assertTrue(lines[0].transport.lost)
        self.assertEqual(self.dialled(), "1 0")

    def test_external(self) -> None:
        """With a certificate for a name, the bind has empty credentials, but has them."""
        self.servers(saying(0), credentials=External())
        self.successResultOf(self.anywhere())
        (line,) = self.farm.served["a"]
        self.assertEqual(line.asked[0].auth, (b"EXTERNAL", b""))


class RestTests(ServersCase):
    """Servers that failed."""

    def test_asked_last(self) -> None:
        """Who failed is not asked first for a while, which grows; then again."""
        self.servers(None, saying(0))
        self.successResultOf(self.anywhere())
        self.successResultOf(self.anywhere())
        self.assertEqual(self.dialled(), "1 1")
        for rest in (SHORTEST_REST, 2 * SHORTEST_REST):
            self.farm.clock.advance(rest - 0.01)
            self.successResultOf(self.anywhere())
            tried = self.farm.places["a"].dialled
            self.farm.clock.advance(0.01)
            self.successResultOf(self.anywhere())
            self.assertEqual(self.farm.places["a"].dialled, tried + 1)

    def test_bounded(self) -> None:
        """However often it failed, it is tried once a minute; when it answers, all is forgotten."""
        self.servers(None, saying(0))
        for _ in range(20):
            self.farm.clock.advance(LONGEST_REST)
            self.successResultOf(self.anywhere())
        self.assertEqual(self.farm.places["a"].dialled, 20)
        self.farm.places["a"].serve = self.farm.places["b"].serve
        self.farm.clock.advance(LONGEST_REST)
        self.successResultOf(self.anywhere())
        self.farm.places["b"].serve = None
        self.successResultOf(self.anywhere())
        self.assertEqual(self.farm.places["a"].dialled, 21)

    def test_last_resort(self) -> None:
        """If all failed just now, they are tried all the same: one of them may be back."""
        self.servers(None, None)
        self.failureResultOf(self.anywhere(), DirectoryUnavailable)
        self.failureResultOf(self.anywhere(), DirectoryUnavailable)
        self.assertEqual(self.dialled(), "2 2")

    def test_one_failure(self) -> None:
        """A connection that dies with much in flight is one failure."""
        self.servers(silent, silent)
        waiting = [self.writer() for _ in range(20)]
        self.farm.served["a"][0].transport.loseConnection()
        for one in waiting:
            self.failureResultOf(one, DirectoryUnavailable)
        self.farm.clock.advance(SHORTEST_REST)
        self.anywhere()
        self.assertEqual(self.dialled(), "2 0")

    def test_idle_connection_died(self) -> None:
        """A connection that died while nobody looked is replaced, and the question asked again."""
        self.servers(saying(0), saying(0))
        self.successResultOf(self.anywhere())
        (line,) = self.farm.served["a"]
        line.script = lambda op, controls: line.transport.loseConnection() or []
        self.successResultOf(self.anywhere())
        self.assertEqual(self.dialled(), "2 0")

    def test_hangs_up_always(self) -> None:
        """It is not asked for ever, though."""

        def rude(op: Any, controls: Any) -> Sequence[Any]:
            self.farm.served["a"][-1].transport.loseConnection()
            return []

        self.servers(rude)
        self.failureResultOf(self.anywhere(), DirectoryUnavailable)
        self.failureResultOf(self.anywhere(), DirectoryUnavailable)
        self.assertEqual(self.dialled(), "2")


class SharingTests(ServersCase):
    """Many at once."""

    def test_one_connection(self) -> None:
        """All who wait for a server wait for the same connection; one may give up without harm."""
        self.servers(saying(0))
        self.farm.net.held = True
        first, second, third = self.anywhere(), self.anywhere(), self.anywhere()
        first.addErrback(lambda _: None)
        first.cancel()
        self.farm.net.held = False
        self.farm.net.flow()
        self.successResultOf(second)
        self.successResultOf(third)
        self.assertEqual(self.dialled(), "1")
        self.assertEqual(self.asked(), "2")

    def test_shared_failure(self) -> None:
        """So do they share its failure."""
        self.servers(saying(0))
        self.farm.places["a"].serve = "black hole"
        waiting = [self.anywhere(), self.anywhere()]
        self.farm.clock.advance(60)
        for one in waiting:
            self.failureResultOf(one, DirectoryUnavailable)
        self.assertEqual(self.dialled(), "1")

    def test_close(self) -> None:
        """Closing ends all connections; nothing can be asked afterwards."""
        self.servers(silent, saying(0))
        waiting = self.anywhere()
        self.successResultOf(self.all.close())
        self.failureResultOf(waiting, DirectoryUnavailable)
        self.failureResultOf(self.anywhere(), DirectoryUnavailable)
        self.failureResultOf(self.writer(), DirectoryUnavailable)
        self.assertTrue(self.farm.served["a"][0].transport.lost)
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])
        self.assertEqual(self.dialled(), "1 0")

    def test_close_while_dialling(self) -> None:
        """Closing gives up what is only being connected, or is being authenticated."""
        for held in (True, False):
            self.servers(saying(0))
            self.farm.net.held = held
            if not held:
                self.farm.places["a"].serve = "black hole"
            waiting = self.anywhere()
            closing = self.all.close()
            self.farm.net.held = False
            self.farm.net.flow()
            self.successResultOf(closing)
            self.failureResultOf(waiting, DirectoryUnavailable)
            self.assertEqual(self.farm.clock.getDelayedCalls(), [])


class WriterTests(ServersCase):
    """What is decided in one place, and what any provider may take."""

    def test_first_by_default(self) -> None:
        """The first server decides, and nobody in its stead."""
        self.servers(saying(0), saying(0))
        self.successResultOf(self.writer())
        self.farm.served["a"][0].transport.loseConnection()
        self.farm.places["a"].serve = None
        self.failureResultOf(self.writer(), DirectoryUnavailable)
        self.assertEqual(self.asked(), "1 0")

    def test_named(self) -> None:
        """Another one may be named, which shares its connection with the readers."""
        uris = [self.farm.server(host, saying(0)) for host in "ab"]
        self.all = Servers(uris, self.farm.dialler(), uris[1])
        self.successResultOf(self.writer())
        self.farm.places["a"].serve = None
        self.successResultOf(self.anywhere())
        self.assertEqual(self.asked(), "0 2")
        self.assertEqual(self.dialled(), "1 1")

    def test_apart(self) -> None:
        """It need not be one of those that are read."""
        reader, writer = (self.farm.server(host, saying(0)) for host in "ab")
        self.all = Servers([reader], self.farm.dialler(), writer)
        self.successResultOf(self.writer())
        self.successResultOf(self.anywhere())
        self.assertEqual(self.asked(), "1 1")
        self.successResultOf(self.all.close())
        self.assertTrue(self.farm.served["b"][0].transport.lost)

    def test_not_repeated(self) -> None:
        """What the writer was asked is never asked twice: it may have been done."""
        self.servers(silent)
        waiting = self.writer()
        self.farm.served["a"][0].transport.loseConnection()
        self.failureResultOf(waiting, DirectoryUnavailable)
        self.assertEqual(self.asked(), "1")

    def test_copies_are_passed(self) -> None:
        """A copy that takes no changes is passed over for the next server."""
        for code in (10, 53):
            self.servers(saying(code), saying(0))
            self.successResultOf(self.willing())
            self.assertEqual(self.asked(), "1 1")

    def test_only_copies(self) -> None:
        """If all are copies, that is the error; if one was silent, it might have taken it."""
        self.servers(saying(10), saying(53))
        self.failureResultOf(self.willing(), DirectoryRefused)
        self.servers(None, saying(10))
        self.failureResultOf(self.willing(), DirectoryUnavailable)

    def test_other_refusals(self) -> None:
        """Any other no is final."""
        self.servers(saying(50), saying(0))
        self.failureResultOf(self.willing(), DirectoryRefused)
        self.assertEqual(self.asked(), "1 0")


class StartTlsTests(SynchronousTestCase):
    """TLS on an ordinary address."""

    def test_before_the_password(self) -> None:
        """TLS begins before anything is said that others should not hear."""
        farm = Farm()

        def agree(op: Any, controls: Any) -> Sequence[Any]:
            if isinstance(op, pureldap.LDAPExtendedRequest):
                return [pureldap.LDAPExtendedResponse(resultCode=0)]
            return [pureldap.LDAPModifyResponse(resultCode=0)]

        begun: list[str] = []

        class Trusting(Tls):
            def towards(self, host: str) -> Any:
                begun.append(host)
                return "creator"

        uri = farm.server("a", agree)
        servers = Servers([uri], farm.dialler(start_tls=Trusting(None), allow_plain=False))
        self.successResultOf(Deferred.fromCoroutine(servers.anywhere(change)))
        (line,) = farm.served["a"]
        kinds = [type(op) for op in line.asked]
        self.assertEqual(
            kinds, [pureldap.LDAPExtendedRequest, pureldap.LDAPBindRequest, pureldap.LDAPModifyRequest]
        )
        self.assertEqual(line.transport.other.tls, "creator")
        self.assertEqual(begun, ["a"])
