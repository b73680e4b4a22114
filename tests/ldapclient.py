"""
A plain LDAP client for tests, made of ldaptor's messages: every answer with its code, nothing smoothed.

It shares no code with the embedded server, so that a mistake cannot cancel itself out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ldaptor.protocols import pureber, pureldap
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from clumpt.aio import deferred
from clumpt.testing.certificates import Authority, Identity

ADD, DELETE, REPLACE, INCREMENT = range(4)
PAGING = b"1.2.840.113556.1.4.319"
WHOAMI = b"1.3.6.1.4.1.4203.1.11.3"
STARTTLS = b"1.3.6.1.4.1.1466.20037"

Values = Iterable[bytes | str]
Entries = dict[str, dict[str, list[bytes]]]

_ops = pureldap.LDAPBERDecoderContext(fallback=pureber.BERDecoderContext())
_context = pureldap.LDAPBERDecoderContext_TopLevel(
    inherit=pureldap.LDAPBERDecoderContext_LDAPMessage(fallback=_ops, inherit=_ops)
)


class SaslBind(pureldap.LDAPBindRequest):
    """ldaptor leaves empty credentials out, which asks for something else."""

    def toWire(self) -> bytes:
        auth = pureber.BERSequence([pureber.BEROctetString(part) for part in self.auth], tag=0x83)
        return pureber.BERSequence(
            [pureber.BERInteger(3), pureber.BEROctetString(self.dn), auth], tag=self.tag
        ).toWire()


def _sequence(values: Values) -> pureber.BERSet:
    return pureber.BERSet([pureber.BEROctetString(value) for value in values])


def equal(attribute: str, value: str) -> Any:
    return _compared(pureldap.LDAPFilter_equalityMatch, attribute, value)


def at_least(attribute: str, value: str) -> Any:
    return _compared(pureldap.LDAPFilter_greaterOrEqual, attribute, value)


def at_most(attribute: str, value: str) -> Any:
    return _compared(pureldap.LDAPFilter_lessOrEqual, attribute, value)


def _compared(kind: Any, attribute: str, value: str) -> Any:
    return kind(pureldap.LDAPAttributeDescription(attribute), pureldap.LDAPAssertionValue(value))


def present(attribute: str) -> Any:
    return pureldap.LDAPFilter_present(attribute)


def both(*filters: Any) -> Any:
    return pureldap.LDAPFilter_and(filters)


def either(*filters: Any) -> Any:
    return pureldap.LDAPFilter_or(filters)


def without(one: Any) -> Any:
    return pureldap.LDAPFilter_not(one)


def begins(attribute: str, start: str, *inside: str, end: str = "") -> Any:
    parts = [pureldap.LDAPFilter_substrings_initial(start)] if start else []
    parts += [pureldap.LDAPFilter_substrings_any(part) for part in inside]
    parts += [pureldap.LDAPFilter_substrings_final(end)] if end else []
    return pureldap.LDAPFilter_substrings(attribute, parts)


class Client(Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._number = 0
        self._waiting: dict[int, tuple[Deferred[Any], list[Any]]] = {}
        self.gone: Deferred[None] = Deferred()
        self.notices: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while True:
            try:
                message, used = pureber.berDecodeObject(_context, self._buffer)
            except pureber.BERExceptionInsufficientData:
                return
            if not used:
                return
            self._buffer = self._buffer[used:]
            if message.id == 0:
                self.notices.append(message.value)
                continue
            done, parts = self._waiting[message.id]
            parts.append((message.value, message.controls))
            if not isinstance(message.value, pureldap.LDAPSearchResultEntry):
                del self._waiting[message.id]
                done.callback(parts)

    def connectionLost(self, reason: Any = None) -> None:
        waiting, self._waiting = self._waiting, {}
        for done, _ in waiting.values():
            done.errback(reason)
        self.gone.callback(None)

    def send(self, request: Any, controls: Any = None) -> "Deferred[list[Any]]":
        """Fires with all answers to C{request}, as C{(message, controls)}."""
        self._number += 1
        done: Deferred[list[Any]] = Deferred()
        self._waiting[self._number] = (done, [])
        message = pureldap.LDAPMessage(request, controls=controls, id=self._number)
        self.transport.write(message.toWire())
        return done

    @deferred
    async def code(self, request: Any, controls: Any = None) -> int:
        return (await self.send(request, controls))[-1][0].resultCode

    def bind(self, dn: str = "", password: bytes | str = b"") -> "Deferred[int]":
        return self.code(pureldap.LDAPBindRequest(dn=dn, auth=password))

    def external(self, credentials: bytes | None = b"", mechanism: bytes = b"EXTERNAL") -> "Deferred[int]":
        if credentials is None:
            return self.code(pureldap.LDAPBindRequest(dn="", auth=(mechanism, None), sasl=True))
        return self.code(SaslBind(dn="", auth=(mechanism, credentials), sasl=True))

    @deferred
    async def whoami(self) -> tuple[int, bytes]:
        [(answer, _)] = await self.send(pureldap.LDAPExtendedRequest(WHOAMI))
        return answer.resultCode, answer.response or b""

    @deferred
    async def starttls(self, context: Any) -> int:
        code = await self.code(pureldap.LDAPExtendedRequest(STARTTLS))
        if code == 0 and context is not None:
            self.transport.startTLS(context)
        return code

    def add(self, dn: str, attributes: Mapping[str, Values]) -> "Deferred[int]":
        pairs = [(pureber.BEROctetString(name), _sequence(values)) for name, values in attributes.items()]
        return self.code(pureldap.LDAPAddRequest(entry=dn, attributes=pairs))

    def modify(self, dn: str, *changes: tuple[int, str, Values]) -> "Deferred[int]":
        wire = [
            pureber.BERSequence(
                [
                    pureber.BEREnumerated(kind),
                    pureber.BERSequence([pureber.BEROctetString(name), _sequence(values)]),
                ]
            )
            for kind, name, values in changes
        ]
        return self.code(pureldap.LDAPModifyRequest(object=dn, modification=wire))

    def delete(self, dn: str) -> "Deferred[int]":
        return self.code(pureldap.LDAPDelRequest(entry=dn))

    def compare(self, dn: str, attribute: str, value: str) -> "Deferred[int]":
        ava = pureldap.LDAPAttributeValueAssertion(
            pureber.BEROctetString(attribute), pureber.BEROctetString(value)
        )
        return self.code(pureldap.LDAPCompareRequest(dn, ava))

    @deferred
    async def search(
        self,
        base: str,
        scope: int = 2,
        filter: Any = None,
        attributes: Sequence[str] = (),
        controls: Any = None,
        **more: Any,
    ) -> tuple[int, Entries]:
        """The code, and the attributes of each entry found by its DN."""
        answers = await self.answers(base, scope, filter, attributes, controls, **more)
        entries = {
            answer.objectName.decode(): {name.decode(): list(values) for name, values in answer.attributes}
            for answer, _ in answers[:-1]
        }
        return answers[-1][0].resultCode, entries

    def answers(
        self,
        base: str,
        scope: int = 2,
        filter: Any = None,
        attributes: Sequence[str] = (),
        controls: Any = None,
        **more: Any,
    ) -> "Deferred[list[Any]]":
        request = pureldap.LDAPSearchRequest(
            baseObject=base,
            scope=scope,
            filter=filter or present("objectClass"),
            attributes=list(attributes),
            **more,
        )
        return self.send(request, controls)

    @deferred
    async def pages(self, base: str, size: int, **more: Any) -> list[list[str]]:
        """The DNs of a paged search, page by page."""
        pages, cookie = [], b""
        while True:
            value = pureber.BERSequence([pureber.BERInteger(size), pureber.BEROctetString(cookie)])
            answers = await self.answers(base, controls=[(PAGING, True, value.toWire())], **more)
            pages.append([answer.objectName.decode() for answer, _ in answers[:-1]])
            [(oid, _, wire)] = answers[-1][1]
            assert oid == PAGING
            cookie = pureber.berDecodeObject(pureber.BERDecoderContext(), wire)[0][1].value
            if not cookie:
                return pages

    def close(self) -> "Deferred[None]":
        self.transport.loseConnection()
        return self.gone


def tls(authority: Authority, identity: Identity | None = None) -> Any:
    """What a client needs to check a server at 127.0.0.1, and to show itself."""
    trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(authority.certificate.read_bytes())])
    own = identity and ssl.PrivateCertificate.loadPEM(
        identity.key.read_bytes() + identity.certificate.read_bytes()
    )
    return ssl.optionsForClientTLS("127.0.0.1", trustRoot=trust, clientCertificate=own)
