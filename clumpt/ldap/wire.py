"""
One LDAP connection: ldaptor's client behind a fence.

Every request has a timeout and its result code is looked at; what arrives is
bounded; a server that breaks the rules, or lets an answer pass its time, loses
the connection, so that everything in flight ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from attrs import frozen
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap.ldapclient import LDAPClient, LDAPClientConnectionLostException
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from clumpt.aio import deferred
from clumpt.errors import DirectoryUnavailable, ProtocolError
from clumpt.ldap import requests
from clumpt.ldap.ber import Control, Messages, read_message, read_page_cookie
from clumpt.ldap.results import (
    NO_SUCH_OBJECT,
    REFERRAL,
    SIZE_LIMIT,
    SUCCESS,
    AnswerLost,
    refusal,
)

#: Entries that are asked for at a time.
PAGE = 1000
#: Bytes of entries that one page may take; the largest of ours are updates of some 64 KiB.
PAGE_BYTES = 64 * 1024 * 1024
#: Pages that one search may take: ten million entries.
MOST_PAGES = 10_000
MOST_IN_FLIGHT = 256
#: Seconds that a server has to end the connection after our farewell.
FAREWELL = 5.0


@frozen
class Found:
    """
    An entry that a search found.

    @ivar attributes: by name in lower case, since a server may spell them its own way.
    """

    dn: str
    attributes: dict[str, list[bytes]]

    @classmethod
    def of(cls, response: Any) -> Found:
        """The entry in ldaptor's C{LDAPSearchResultEntry}."""
        return cls(
            response.objectName.decode("utf-8", "replace"),
            {kind.decode("ascii", "replace").lower(): values for kind, values in response.attributes},
        )


class _Collection:
    """Gathers the entries of one search until its end."""

    def __init__(self, most: int) -> None:
        self.found: list[Found] = []
        self.referred = False
        self._most = most
        self._bytes = 0

    def take(self, response: Any, size: int) -> bool:
        """Was this the last response?  Raises L{ProtocolError} if there are more than were asked for."""
        if isinstance(response, pureldap.LDAPSearchResultDone):
            return True
        if isinstance(response, pureldap.LDAPSearchResultReference):
            # Not followed; the end of the search is checked for it.
            self.referred = True
            return False
        if not isinstance(response, pureldap.LDAPSearchResultEntry):
            raise ProtocolError("an answer to something else than the search")
        if len(self.found) == self._most:
            raise ProtocolError(f"more than the {self._most} entries that were asked for")
        self._bytes += size
        if self._bytes > PAGE_BYTES:
            raise ProtocolError(f"more than {PAGE_BYTES} bytes for {self._most} entries")
        self.found.append(Found.of(response))
        return False


class Wire(LDAPClient):
    """
    A connection to one server.

    All its Deferreds fail with L{DirectoryUnavailable}, L{AnswerLost} if the request may have
    been carried out, or L{clumpt.ldap.results.Refusal}.

    @param server: how to call it in messages.
    @param timeout: seconds for each request; a search takes one per page.
    """

    def __init__(self, server: str, clock: IReactorTime, timeout: float) -> None:
        super().__init__()
        self._server = server
        self._clock = clock
        self._timeout = timeout
        self._messages = Messages()
        self._number = 0
        self._size = 0
        self._why = ""
        self._ended: list[Deferred[None]] = []

    @property
    def usable(self) -> bool:
        """May something still be asked?"""
        return bool(self.connected) and not self._why

    # What ldaptor's client calls, or Twisted.

    def connectionMade(self) -> None:
        """The connection stands."""
        super().connectionMade()
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpKeepAlive(True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Everything in flight ends with the connection."""
        why = self._why or ("it hung up" if reason.check(ConnectionDone) else reason.getErrorMessage())
        self._why = why
        super().connectionLost(Failure(AnswerLost(f"{self._server} gave no answer: {why}")))
        ended, self._ended = self._ended, []
        for waiting in ended:
            waiting.callback(None)

    def dataReceived(self, recd: bytes) -> None:
        """Take in what arrives; breaking the rules ends the connection."""
        try:
            for message in self._messages.feed(recd):
                if self._why:
                    return
                self._size = len(message)
                self.handle(read_message(message))
        except ProtocolError as wrong:
            self.abort(f"it sent {wrong}")

    def handle(self, msg: Any) -> None:
        """Give a response to whom it is for.  Raises L{ProtocolError}."""
        if msg.id not in self.onwire:
            # Number 0 announces the end; others were given up here.
            if not 0 <= msg.id <= self._number:
                raise ProtocolError("an answer that nobody asked for")
            return
        reply, _, collect, _, _ = self.onwire[msg.id]
        if not collect(msg.value, self._size):
            return
        del self.onwire[msg.id]
        reply.callback((msg.value, msg.controls))

    def _send(self, op: Any, controls: Any = None) -> Any:
        # ldaptor counts messages in a global, so that one connection would show in another's bytes.
        if not self.usable:
            raise LDAPClientConnectionLostException()
        self._number += 1
        return pureldap.LDAPMessage(op, controls=controls, id=self._number)

    # Asking.

    async def _exchange(
        self, op: Any, collect: Callable[[Any, int], bool], controls: Sequence[Control]
    ) -> tuple[Any, Sequence[Control]]:
        if len(self.onwire) >= MOST_IN_FLIGHT:
            raise DirectoryUnavailable(f"{self._server}: {MOST_IN_FLIGHT} requests are under way already")
        try:
            reply = self.send_multiResponse_ex(op, list(controls) or None, collect)
        except LDAPClientConnectionLostException as error:
            raise DirectoryUnavailable(f"{self._server} is not connected: {self._why}") from error
        number = self._number
        reply.addTimeout(self._timeout, self._clock)
        try:
            answer: tuple[Any, Sequence[Control]] = await reply
        except TimeoutError as error:
            self.abort(f"no answer within {self._timeout:g} s")
            raise AnswerLost(f"{self._server} gave no answer within {self._timeout:g} s") from error
        finally:
            # Also if the caller lost interest.
            self.onwire.pop(number, None)
        return answer

    @deferred
    async def ask(self, op: Any, doing: str, accept: Collection[int] = (SUCCESS,)) -> int:
        """
        Send a request that has one response; fires with its result code, one of C{accept}.

        @param op: from L{clumpt.ldap.requests}.
        @param doing: what the request does, for the text of a refusal.
        """
        response, _ = await self._exchange(op, _one_result, ())
        return self._checked(response, doing, accept)

    def _checked(self, response: Any, doing: str, accept: Collection[int]) -> int:
        code: int = response.resultCode
        if code not in accept:
            raise refusal(code, response.errorMessage, f"{self._server}, {doing}")
        return code

    async def _search(
        self, op: Any, doing: str, most: int, accept: Collection[int], controls: Sequence[Control] = ()
    ) -> tuple[int, list[Found], Sequence[Control]]:
        gathered = _Collection(most)
        response, answered = await self._exchange(op, gathered.take, controls)
        code = self._checked(response, doing, accept)
        if gathered.referred:
            raise refusal(REFERRAL, b"referral", f"{self._server}, {doing}")
        return code, gathered.found, answered or ()

    @deferred
    async def read(self, dn: str, attributes: Iterable[str]) -> Found | None:
        """One entry, None if it is not there or not to be seen."""
        op = requests.search(dn, requests.BASE, requests.present(), attributes)
        _, found, _ = await self._search(op, f"reading {dn}", 1, (SUCCESS, NO_SUCH_OBJECT))
        return found[0] if found else None

    @deferred
    async def some(self, base: str, filter: Any, attributes: Iterable[str], most: int) -> list[Found]:
        """At most C{most} of the entries just below C{base} that pass C{filter}."""
        op = requests.search(base, requests.CHILDREN, filter, attributes, most)
        _, found, _ = await self._search(op, f"searching {base}", most, (SUCCESS, SIZE_LIMIT))
        return found

    @deferred
    async def search(self, base: str, filter: Any, attributes: Iterable[str]) -> list[Found]:
        """All entries just below C{base} that pass C{filter}, page by page."""
        doing = f"searching {base}"
        op = requests.search(base, requests.CHILDREN, filter, attributes)
        everything: list[Found] = []
        cookie = b""
        for _ in range(MOST_PAGES):
            control = requests.page(PAGE, cookie)
            _, found, controls = await self._search(op, doing, PAGE, (SUCCESS,), [control])
            everything += found
            cookie = self._cookie(controls)
            if not cookie:
                return everything
        self.abort("its answer has no end")
        raise DirectoryUnavailable(f"{self._server}, {doing}: the answer has no end")

    def _cookie(self, controls: Sequence[Control]) -> bytes:
        for kind, _, value in controls:
            if kind == requests.PAGED:
                try:
                    return read_page_cookie(value)
                except ProtocolError as error:
                    self.abort(str(error))
                    raise DirectoryUnavailable(f"{self._server}: {error}") from error
        return b""

    @deferred
    async def start_tls(self, creator: IOpenSSLClientConnectionCreator) -> None:
        """Go on in TLS; a certificate that does not please shows in the next request."""
        await self.ask(requests.start_tls(), "beginning TLS")
        if self._messages.waiting:
            # Whatever came in the clear behind the answer could be anybody's.
            self.abort("it sent more in the clear after agreeing to TLS")
        if not self.usable:
            raise DirectoryUnavailable(f"{self._server}: {self._why}")
        self.transport.startTLS(creator)

    # Ending.

    def abort(self, why: str) -> None:
        """End the connection at once."""
        self._why = self._why or why
        self.transport.abortConnection()

    @deferred
    async def close(self) -> None:
        """Say farewell; fires when the connection is closed, after L{FAREWELL} seconds at most."""
        if not self.connected:
            return
        waiting: Deferred[None] = Deferred()
        self._ended.append(waiting)
        if self.usable:
            self.send_noResponse(pureldap.LDAPUnbindRequest())
            self._why = "closed here"
            self.transport.loseConnection()
        timer = self._clock.callLater(FAREWELL, self.abort, "closed here")
        await waiting
        if timer.active():
            timer.cancel()


def _one_result(response: Any, size: int) -> bool:
    if not isinstance(response, pureldap.LDAPResult):
        raise ProtocolError("an entry where a result belongs")
    return True
