"""Reading LDAP messages, good and hostile."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from ldaptor.protocols import pureber, pureldap
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import ProtocolError
from clumpt.ldap.ber import LIMIT, MOST_ATTRIBUTES, Messages, read_message, read_page_cookie

ENTRY = pureldap.LDAPSearchResultEntry(
    "cn=node1,o=clumpt", [(b"cn", [b"node1"]), (b"clumptMember", [bytes(range(256)), b""]), (b"empty", [])]
)
PAGED = (b"1.2.840.113556.1.4.319", True, b"x")
RESPONSES: list[Any] = [
    ENTRY,
    pureldap.LDAPBindResponse(resultCode=49, errorMessage=b"no"),
    pureldap.LDAPSearchResultDone(resultCode=4, matchedDN=b"o=clumpt"),
    pureldap.LDAPModifyResponse(resultCode=0),
    pureldap.LDAPAddResponse(resultCode=68, errorMessage="\u00fc".encode()),
    pureldap.LDAPDelResponse(resultCode=0),
    pureldap.LDAPExtendedResponse(resultCode=0, responseName=b"1.2.3"),
    pureldap.LDAPSearchResultReference(uris=[pureber.BEROctetString(b"ldap://other")]),
]


def wire(value: Any, number: int = 5, controls: Any = None) -> bytes:
    encoded: bytes = pureldap.LDAPMessage(value, controls=controls, id=number).toWire()
    return encoded


class MessagesTests(SynchronousTestCase):
    """L{Messages} finds the messages in a stream."""

    @given(st.lists(st.integers(0, len(RESPONSES) - 1)), st.data())
    def test_any_cut(self, which: list[int], data: st.DataObject) -> None:
        """However TCP cuts the stream, the same messages come out."""
        whole = [wire(RESPONSES[index]) for index in which]
        stream = b"".join(whole)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
        messages = Messages()
        found: list[bytes] = []
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            found += messages.feed(stream[begin:end])
        self.assertEqual(found, whole)
        self.assertEqual(messages.waiting, 0)

    def test_limit(self) -> None:
        """A message that announces more than the limit is refused before it arrives."""
        exact = b"\x30\x84" + LIMIT.to_bytes(4, "big")
        self.assertEqual(list(Messages().feed(exact)), [])
        with self.assertRaises(ProtocolError):
            list(Messages().feed(b"\x30\x84" + (LIMIT + 1).to_bytes(4, "big")))

    def test_not_ldap(self) -> None:
        """What does not begin like LDAP is refused at its first byte; so is the indefinite length."""
        for wrong in (b"H", b"HTTP/1.1 400", b"\x30\x80", b"\x30\x85\0\0\0\0\1", b"\x30\xff"):
            with self.assertRaises(ProtocolError):
                list(Messages().feed(wrong))


class ReadTests(SynchronousTestCase):
    """L{read_message} understands what servers say."""

    def test_responses(self) -> None:
        """Every response comes back as it was sent."""
        for response in RESPONSES:
            message = read_message(wire(response, 77, [PAGED]))
            self.assertEqual(message.id, 77)
            self.assertEqual(message.controls, [PAGED])
            self.assertIs(type(message.value), type(response))
            for name in ("resultCode", "matchedDN", "errorMessage", "attributes"):
                self.assertEqual(
                    _as_bytes(getattr(message.value, name, None)), _as_bytes(getattr(response, name, None))
                )
        self.assertEqual(read_message(wire(RESPONSES[-1])).value.uris, [b"ldap://other"])

    def test_controls(self) -> None:
        """A control may leave out everything but its name."""
        controls = [(b"1", None, None), (b"2", False, b""), (b"3", None, b"v")]
        message = read_message(wire(ENTRY, controls=controls))
        self.assertEqual(message.controls, [(b"1", False, b""), (b"2", False, b""), (b"3", False, b"v")])

    def test_result_with_more(self) -> None:
        """Referrals and credentials behind a result are passed over."""
        referral = b"\xa3\x08\x04\x06ldap:/"
        body = b"\x0a\x01\x0a\x04\x00\x04\x00" + referral
        result = b"\x65" + bytes([len(body)]) + body
        message = read_message(b"\x30" + bytes([len(result) + 3]) + b"\x02\x01\x05" + result)
        self.assertEqual(message.value.resultCode, 10)

    def test_cookie(self) -> None:
        """The cookie of a page is read, empty or not."""
        for cookie in (b"", b"\0\x01more"):
            value = pureber.BERSequence([pureber.BERInteger(0), pureber.BEROctetString(cookie)]).toWire()
            self.assertEqual(read_page_cookie(value), cookie)

    def test_bad_cookie(self) -> None:
        """A page control without a cookie is refused."""
        for value in (b"", b"\x30\x00", b"\x04\x00"):
            with self.assertRaises(ProtocolError):
                read_page_cookie(value)

    def test_unknown_kind(self) -> None:
        """A response of a kind that was not asked for is refused; so is a request."""
        for value in (pureldap.LDAPUnbindRequest(), pureldap.LDAPDelRequest("o=x")):
            with self.assertRaises(ProtocolError):
                read_message(wire(value))

    def test_attributes_bounded(self) -> None:
        """An entry with absurdly many attributes is refused."""
        many = [(b"a", [])] * (MOST_ATTRIBUTES + 1)
        read_message(wire(pureldap.LDAPSearchResultEntry("o=x", many[1:])))
        with self.assertRaises(ProtocolError):
            read_message(wire(pureldap.LDAPSearchResultEntry("o=x", many)))

    @given(st.sampled_from(RESPONSES), st.data())
    def test_damaged(self, response: Any, data: st.DataObject) -> None:
        """Damaged bytes are either read or refused; nothing else happens, and nothing is printed."""
        raw = bytearray(wire(response, controls=[PAGED]))
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        self._read_or_refuse(bytes(raw))

    @given(st.binary(max_size=60))
    @example(b"")
    @example(b"\x30" * 5000)
    def test_junk(self, raw: bytes) -> None:
        """So is junk, however deeply nested it looks."""
        self._read_or_refuse(raw)

    def _read_or_refuse(self, raw: bytes) -> None:
        printed = StringIO()
        with redirect_stdout(printed):
            try:
                read_message(raw)
            except ProtocolError as refused:
                self.assertTrue(str(refused))
        self.assertEqual(printed.getvalue(), "")


def _as_bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value
