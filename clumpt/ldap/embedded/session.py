"""A client on its connection: who it is, and how its requests are answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import define, frozen

from clumpt.ldap import layout
from clumpt.ldap.acl import Deed
from clumpt.ldap.embedded import filters, requests, root
from clumpt.ldap.embedded.access import Identity
from clumpt.ldap.embedded.changes import Changes
from clumpt.ldap.embedded.entries import Stored
from clumpt.ldap.embedded.matching import Dn
from clumpt.ldap.embedded.requests import Add, Bind, Compare, Delete, Extended, Message, Modify, Search
from clumpt.ldap.embedded.results import Code, Refused
from clumpt.ldap.embedded.search import Finder
from clumpt.ldap.embedded.service import Service

#: How many parts a filter may have: each is judged for each entry.
MOST_FILTERS = 1000
_EXTERNAL = b"EXTERNAL"


@define(eq=False)
class Session:
    """
    What one client may see and do.

    @ivar who: as whom it is bound.
    @ivar secure: is the connection encrypted?
    @ivar subject: of the client's certificate; empty if it showed none.
    """

    _service: Service
    who: Identity = Identity()
    secure: bool = False
    subject: str = ""

    def perform(self, message: Message) -> Iterable[bytes]:
        """
        Do what C{message} asks; the answers, which may be made while they are taken.

        Answers must not leave before L{Store.settled} says so.  Raises L{ProtocolError}.
        """
        try:
            self._check_controls(message)
            return self._perform(message)
        except Refused as refused:
            return [requests.answer(message, refused.code, refused.text, self._matched(refused))]

    def _check_controls(self, message: Message) -> None:
        pages = isinstance(message.request, Search)
        for control in message.controls:
            if control.critical and not (pages and control.oid == requests.PAGING):
                raise Refused(Code.CRITICAL_EXTENSION, "critical extension is not recognized")

    def _matched(self, refused: Refused) -> str:
        """What may be told of the place where a missing entry would be."""
        name = self._service.store.matching.name(refused.matched.encode())
        return refused.matched if name and self._service.access.may(self.who, Deed.READ, name) else ""

    def _perform(self, message: Message) -> Iterable[bytes]:
        match message.request:
            case Bind() as request:
                self._bind(request)
            case Search() as request:
                return self._search(message, request)
            case Compare() as request:
                return [requests.answer(message, self._compare(request))]
            case Add() | Modify() | Delete() as request:
                Changes(self._service, self.who).make(request)
            case Extended(requests.WHOAMI):
                name = "" if self.who.anonymous else f"dn:{self.who.text}"
                return [requests.answer(message, value=name.encode())]
            case Extended():
                raise Refused(Code.PROTOCOL_ERROR, "unsupported extended operation")
            case _:
                raise Refused(Code.UNWILLING, "entries are not renamed here")
        return [requests.answer(message)]

    # Binding.

    def _bind(self, request: Bind) -> None:
        self.who = Identity()
        if request.version != 3:
            raise Refused(Code.PROTOCOL_ERROR, "requested protocol version not supported")
        name = self._service.store.matching.name(request.dn)
        if request.mechanism is not None:
            self.who = self._external(request)
        elif request.credentials or name:
            self.who = self._password(name, request.credentials or b"")

    def _external(self, request: Bind) -> Identity:
        if request.mechanism != _EXTERNAL or not self.subject:
            raise Refused(Code.AUTH_METHOD, "SASL(-4): no mechanism available")
        if request.credentials is None:
            raise Refused(Code.SASL_IN_PROGRESS)
        certified = self._service.access.certified(self.subject)
        if request.credentials and not self._is(certified, request.credentials):
            raise Refused(Code.NO_RIGHT, "nobody may act for somebody else")
        return certified

    def _is(self, certified: Identity, authorization: bytes) -> bool:
        """Does the authorization identity (RFC 4513) name the one who is certified?"""
        kind, _, name = authorization.partition(b":")
        return kind == b"dn" and self._service.store.matching.name(name) == certified.dn

    def _password(self, name: Dn, password: bytes) -> Identity:
        if not password:
            raise Refused(Code.UNWILLING, "unauthenticated bind (DN with no password) disallowed")
        if self._service.confidential and not self.secure:
            raise Refused(Code.CONFIDENTIALITY, "confidentiality required")
        entry = self._service.store.find(name)
        secret = entry.attributes.get(layout.SECRET.lower()) if entry else None
        hashes = secret.values.values() if secret else ()
        if entry is None or not any(self._service.passwords.matches(password, one) for one in hashes):
            raise Refused(Code.BAD_CREDENTIALS)
        return Identity(entry.text, name)

    # Reading.

    def _compare(self, request: Compare) -> Code:
        matching = self._service.store.matching
        name, kind = matching.name(request.dn), matching.kind(request.name.decode("utf-8", "replace"))
        wanted = matching.key(kind, request.value)
        entry = self._service.visible(self.who, name)
        if kind.name == layout.SECRET and not self._secrets(name):
            raise Refused(Code.NO_RIGHT)
        attribute = entry.attributes.get(kind.name.lower())
        if attribute is None:
            raise Refused(Code.NO_SUCH_ATTRIBUTE)
        return Code.COMPARE_TRUE if wanted in attribute.values else Code.COMPARE_FALSE

    def _secrets(self, name: Dn) -> bool:
        return self._service.access.may_secretly(self.who, Deed.READ, name)

    def _search(self, message: Message, request: Search) -> Iterable[bytes]:
        if filters.size(request.filter) > MOST_FILTERS:
            raise Refused(Code.ADMIN_LIMIT, f"a filter of more than {MOST_FILTERS} parts")
        store = self._service.store
        base = store.matching.name(request.base)
        public = root.published(base, store, [_EXTERNAL] if self.subject else [])
        if public is not None and request.scope == 0:
            return root.answers(message, request, *public)
        self._service.visible(self.who, base)
        finder = Finder(store, self._secrets(base))
        found = _Found(message, request, finder, finder.candidates(base, request.scope, request.filter))
        paging = next((one for one in message.controls if one.oid == requests.PAGING), None)
        if paging is None:
            return found.everything()
        size, cookie = requests.read_page(paging.value)
        if size < 0 or len(cookie) not in (0, 8):
            raise Refused(Code.PROTOCOL_ERROR, "paged results control cannot be read")
        return found.page(size, int.from_bytes(cookie, "big"))


@frozen
class _Found:
    """The answers to one search, made one by one."""

    message: Message
    request: Search
    finder: Finder
    candidates: Sequence[Stored]

    def _matching(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        for entry in self.candidates:
            if entry.number > after and self.finder.matches(self.request.filter, entry):
                shown = self.finder.shown(entry, self.request.attributes, self.request.types_only)
                yield entry.number, requests.entry(self.message.number, entry.text, shown)

    def everything(self) -> Iterator[bytes]:
        """All matching entries, or as many as the client takes."""
        limit = self.request.size_limit
        for count, (_, entry) in enumerate(self._matching()):
            if limit and count == limit:
                yield requests.answer(self.message, Code.SIZE_LIMIT)
                return
            yield entry
        yield requests.answer(self.message)

    def page(self, size: int, after: int) -> Iterator[bytes]:
        """
        One page of matching entries.

        @param after: the number of the last entry of the page before, which is also the cookie.
        """
        cookie = b""
        for count, (number, entry) in enumerate(self._matching(after)):
            if count == size:
                # There is more; a page of nothing tells that the client does not want it.
                cookie = after.to_bytes(8, "big") if size else b""
                break
            yield entry
            after = number
        yield requests.answer(self.message, controls=requests.page(cookie))
