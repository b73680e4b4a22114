"""Connections to the embedded server: bounds, timeouts, and clients that break the rules."""

import contextlib
import io
from random import Random

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides

from clumpt.ldap.ber import SEQUENCE, Messages, Reader
from clumpt.ldap.embedded.encoding import element
from clumpt.ldap.embedded.server import Connection, Limits, certificate_subject
from tests.acl_matrix import PEOPLED
from tests.embedded_case import ADMIN, BASE, EmbeddedCase, new_store
from tests.ldapclient import REPLACE, Client, equal, present

ANONYMOUS_BIND = bytes.fromhex("300c020101600702010304008000")


class BoundsTests(EmbeddedCase):
    """What one client may take."""

    def raw(self) -> tuple[Connection, StringTransport]:
        connection = self.directory.buildProtocol(None)
        transport = StringTransport()
        connection.makeConnection(transport)
        return connection, transport

    def ended(self, connection: Connection, transport: StringTransport) -> bool:
        """Was it told why, and hung up on?"""
        self.clock.advance(0)
        # Twisted closes nothing while a producer is registered.
        self.assertIsNone(transport.producer)
        return transport.disconnecting and b"1.3.6.1.4.1.1466.20036" in transport.value()

    def test_announced_size(self) -> None:
        """A message that announces too much is refused before any of it was stored."""
        for size in (b"\x84\x7f\xff\xff\xff", b"\x83\x01\x00\x01"):
            connection, transport = self.raw()
            connection.dataReceived(b"\x30" + size)
            self.assertTrue(self.ended(connection, transport))

    def test_bound_client_may_send_more(self) -> None:
        """A group with thousands of members passes, once one is bound."""
        members = [f"cn=node{number:05d},ou=peers,{BASE}" for number in range(3000)]
        group = {"objectClass": ["clumptGroup"], "cn": ["all"], "member": members}
        self.assertEqual(self.ask(self.admin().add(f"cn=all,ou=groups,{BASE}", group)), 0)
        stranger = self.connect()
        refused = stranger.add(f"cn=more,ou=groups,{BASE}", group)
        self.settle()
        self.failureResultOf(refused)

    def test_not_ldap(self) -> None:
        """What is not LDAP ends the connection with the first byte."""
        connection, transport = self.raw()
        connection.dataReceived(b"G")
        self.assertTrue(self.ended(connection, transport))
        connection.dataReceived(b"ET / HTTP/1.0\r\n\r\n" + ANONYMOUS_BIND)
        self.assertEqual(transport.value().count(b"1466.20036"), 1)

    def test_byte_by_byte(self) -> None:
        """However TCP cuts the stream, the same answers come out."""
        connection, transport = self.raw()
        for byte in ANONYMOUS_BIND * 3:
            connection.dataReceived(bytes([byte]))
        self.assertEqual(transport.value(), bytes.fromhex("300c02010161070a010004000400") * 3)

    def test_unknown_request(self) -> None:
        """A request that LDAP does not have ends the connection."""
        connection, transport = self.raw()
        connection.dataReceived(bytes.fromhex("30050201017f00"))
        self.assertTrue(self.ended(connection, transport))

    def test_connections(self) -> None:
        """No more connections than allowed; one that ends makes room."""
        self.serve(new_store(), limits=Limits(connections=2))
        first, _ = self.raw()
        self.raw()
        third, transport = self.raw()
        self.assertTrue(transport.disconnected)
        third.connectionLost()
        first.connectionLost()
        _, transport = self.raw()
        self.assertFalse(transport.disconnected)

    def test_silence(self) -> None:
        """A stranger who asks nothing is hung up on soon, one who is bound later; no timer stays."""
        _, stranger = self.raw()
        bound = self.admin()
        self.clock.advance(61)
        self.assertTrue(stranger.disconnecting)
        self.assertFalse(self.wires[-1].server_side.disconnecting)
        self.assertEqual(self.ask(bound.whoami())[0], 0)
        self.clock.advance(3500)
        self.assertFalse(self.wires[-1].server_side.disconnecting)
        self.clock.advance(101)
        self.assertTrue(self.wires[-1].server_side.disconnecting)

    def test_dripping(self) -> None:
        """Bytes that never make a request do not count as asking."""
        connection, transport = self.raw()
        for byte in ANONYMOUS_BIND[:7]:
            connection.dataReceived(bytes([byte]))
            self.clock.advance(10)
        self.assertTrue(transport.disconnecting)

    def test_last_words_not_taken(self) -> None:
        """A client that does not take the last words is cut off."""
        connection, transport = self.raw()
        connection.dataReceived(b"G")
        self.clock.advance(10)
        self.assertTrue(transport.disconnected)
        connection.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unbind(self) -> None:
        """Unbind ends the connection without a word."""
        connection, transport = self.raw()
        connection.dataReceived(bytes.fromhex("30050201024200") + ANONYMOUS_BIND)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(transport.value(), b"")

    def test_abandon(self) -> None:
        """Abandon has no answer, and what comes after it does."""
        connection, transport = self.raw()
        connection.dataReceived(bytes.fromhex("3006020102500101") + ANONYMOUS_BIND)
        self.assertEqual(len(transport.value()), 14)

    def test_shutdown(self) -> None:
        """When nobody listens any more, every client is told."""
        client = self.connect()
        self.ask(client.bind())
        self.directory.stopFactory()
        self.settle()
        self.assertEqual([notice.resultCode for notice in client.notices], [52])
        self.successResultOf(client.gone)
        self.assertEqual(self.directory.connections, {})


class SlowReaderTests(EmbeddedCase):
    """A client that asks for much and takes little."""

    more = PEOPLED

    def test_paused(self) -> None:
        """Nothing is written, and nothing read, while the client does not take it."""
        client = self.admin()
        wire = self.wires[-1]
        transport = wire.server_side
        found = client.search(BASE)
        transport.producer.pauseProducing()
        self.settle()
        self.assertEqual((transport.value(), transport.producerState), (b"", "paused"))
        self.assertNoResult(found)
        transport.producer.resumeProducing()
        self.assertEqual(transport.producerState, "producing")
        self.settle()
        code, entries = self.successResultOf(found)
        self.assertEqual((code, len(entries)), (0, 11))

    def test_paused_in_the_middle(self) -> None:
        """A search that was interrupted shows the entries as they were when it was asked."""
        client = self.admin()
        transport = self.wires[-1].server_side
        producer, write = transport.producer, transport.write

        def full(data: bytes) -> None:
            write(data)
            producer.pauseProducing()

        transport.write = full
        found = client.search(BASE)
        self.settle()
        other = self.admin()
        self.assertEqual(self.ask(other.modify(BASE, (REPLACE, "clumptInitial", ["77"]))), 0)
        self.assertEqual(self.ask(other.delete(f"cn=all,ou=groups,{BASE}")), 0)
        for _ in range(20):
            producer.resumeProducing()
            self.settle()
        code, entries = self.successResultOf(found)
        self.assertEqual((code, len(entries)), (0, 11))
        self.assertEqual(entries[BASE]["clumptInitial"], [b"20"])

    def test_gone_while_paused(self) -> None:
        """One that never takes it is hung up on in the end."""
        self.admin().search(BASE).addErrback(lambda _: None)
        transport = self.wires[-1].server_side
        transport.producer.pauseProducing()
        self.settle()
        self.clock.advance(3601)
        self.assertTrue(transport.disconnecting)


class TlsTests(EmbeddedCase):
    """Asking for TLS; that it works is tested with real sockets."""

    def test_not_offered(self) -> None:
        """Without a certificate the server says so."""
        self.assertEqual(self.ask(self.connect().starttls(None)), 52)

    def test_injected(self) -> None:
        """What comes in the clear behind the request is never taken for the client's."""
        self.serve(new_store(), tls=object())
        client = self.connect()
        asked = client.starttls(None)
        self.wires[-1].client_side.write(ANONYMOUS_BIND)
        self.settle()
        self.failureResultOf(asked)
        self.assertEqual([notice.resultCode for notice in client.notices], [2])

    def test_password_in_the_clear(self) -> None:
        """A password is refused before it is looked at."""
        self.serve(new_store(), confidential=True)
        client = self.connect()
        self.assertEqual(self.ask(client.bind(ADMIN, b"admin-secret")), 13)
        self.assertEqual(self.ask(client.bind(ADMIN, b"wrong")), 13)

    def test_no_certificate(self) -> None:
        """Neither a plain connection nor a client without a certificate is anybody."""
        transport = StringTransport()
        self.assertEqual(certificate_subject(transport), "")
        transport.getPeerCertificate = lambda: None
        directlyProvides(transport, ISSLTransport)
        self.assertEqual(certificate_subject(transport), "")


class HostileTests(EmbeddedCase):
    """Clients that send anything."""

    more = PEOPLED

    def valid(self) -> list[bytes]:
        """Requests of every kind, as a client sends them."""
        client = Client()
        transport = StringTransport()
        client.makeConnection(transport)
        client.bind(ADMIN, b"admin-secret")
        client.external()
        client.search(BASE, 2, equal("cn", "x"))
        client.modify(BASE, (REPLACE, "clumptInitial", ["50"]))
        client.add(f"cn=x,ou=groups,{BASE}", {"objectClass": ["clumptGroup"]})
        client.delete(f"cn=x,ou=groups,{BASE}")
        client.compare(BASE, "o", "clumpt")
        client.whoami()
        client.pages(BASE, 2)
        return list(Messages().feed(transport.value()))

    def test_mutants(self) -> None:
        """Damaged requests are answered or end the connection; nothing else happens, nothing is printed."""
        chance = Random(3)
        valid = self.valid()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for _ in range(3000):
                self.attack(_mutant(chance, chance.choice(valid)))
        self.assertEqual(printed.getvalue(), "")
        self.assertEqual(self.directory.connections, {})

    def attack(self, data: bytes) -> None:
        connection = self.directory.buildProtocol(None)
        transport = StringTransport()
        connection.makeConnection(transport)
        connection.dataReceived(data)
        self.clock.advance(0)
        connection.connectionLost()

    def test_deep_filter(self) -> None:
        """Filters in filters in filters end the connection, not the server."""
        filter = bytes(present("objectClass").toWire())
        for _ in range(200):
            filter = element(0xA2, filter)
        client = self.connect()
        lost = client.search(BASE, 0, _Raw(filter))
        self.settle()
        self.failureResultOf(lost)

    def test_wide_filter(self) -> None:
        """A filter that would keep the server busy is refused."""
        part = bytes(equal("cn", "x").toWire())
        client = self.admin()
        code, _ = self.ask(client.search(BASE, 2, _Raw(element(0xA1, part * 2000))))
        self.assertEqual(code, 11)

    def test_many_elements(self) -> None:
        """A message of nothing but tiny elements is read in linear time: a million in one go."""
        reader = Reader.of(element(SEQUENCE, b"\x04\x00" * 1_000_000))
        self.assertEqual(len(reader.inside(SEQUENCE).all_octets()), 1_000_000)


class _Raw:
    """Something that ldaptor is to send as it is."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire

    def toWire(self) -> bytes:
        return self.wire


def _mutant(chance: Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(damaged))
        match chance.randrange(4):
            case 0:
                damaged[place] = chance.randrange(256)
            case 1:
                del damaged[place : place + chance.randint(1, 5)]
            case 2:
                damaged[place:place] = chance.randbytes(chance.randint(1, 5))
            case 3:
                damaged += damaged[place:]
        if not damaged:
            return b"0"
    return bytes(damaged)
