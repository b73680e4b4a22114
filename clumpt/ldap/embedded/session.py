"""What each request does and how it is answered; one L{Session} for each connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import define, evolve, field, frozen

from clumpt.ldap import layout
from clumpt.ldap.acl import Deed
from clumpt.ldap.embedded import entries, filters, requests
from clumpt.ldap.embedded.access import Access, Identity
from clumpt.ldap.embedded.entries import Stored
from clumpt.ldap.embedded.filters import Present
from clumpt.ldap.embedded.matching import Dn
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.requests import (
    Add,
    Bind,
    Compare,
    Delete,
    Extended,
    Message,
    Modify,
    Rename,
    Search,
)
from clumpt.ldap.embedded.results import Code, Refused
from clumpt.ldap.embedded.search import Finder
from clumpt.ldap.embedded.store import Store

#: How many parts a filter may have: each is judged for each entry.
MOST_FILTERS = 1000
_EXTERNAL = b"EXTERNAL"
_SECRET = layout.SECRET.lower()


@frozen
class Service:
    """
    What all connections to one directory share.

    @ivar confidential: refuse passwords on connections without TLS.
    """

    store: Store
    access: Access
    passwords: Passwords
    confidential: bool


@define(eq=False)
class Session:
    """
    A client on its connection.

    @ivar who: as whom it is bound.
    @ivar secure: is the connection encrypted?
    @ivar subject: of the client's certificate; empty if it showed none.
    """

    _service: Service
    who: Identity = Identity()
    secure: bool = False
    subject: str = ""
    _handlers: dict[type, Callable[[Message], Iterable[bytes]]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._handlers = {
            Bind: self._bind,
            Search: self._search,
            Add: self._add,
            Modify: self._modify,
            Delete: self._delete,
            Compare: self._compare,
            Extended: self._extended,
            Rename: self._rename,
        }

    @property
    def _store(self) -> Store:
        return self._service.store

    def perform(self, message: Message) -> Iterable[bytes]:
        """
        Do what C{message} asks; the answers, which may be made while they are taken.

        Answers must not leave before L{Store.settled} says so.  Raises L{ProtocolError}.
        """
        try:
            for control in message.controls:
                if control.critical and not (control.oid == requests.PAGING and _is_search(message)):
                    raise Refused(Code.CRITICAL_EXTENSION, "critical extension is not recognized")
            return self._handlers[type(message.request)](message)
        except Refused as refused:
            return [requests.answer(message, refused.code, refused.text, self._matched(refused))]

    def _matched(self, refused: Refused) -> str:
        known = refused.matched and self._may(Deed.READ, self._store.matching.dn(refused.matched.encode()))
        return refused.matched if known else ""

    def _may(self, deed: Deed, dn: Dn) -> bool:
        return self._service.access.may(self.who, deed, dn)

    def _need(self, deed: Deed, dn: Dn) -> None:
        if not self._may(deed, dn):
            raise Refused(Code.NO_RIGHT, "no write access")

    def _visible(self, dn: Dn) -> Stored:
        """The entry; who may not read it is told that it is not there."""
        if not self._may(Deed.READ, dn):
            raise Refused(Code.NO_SUCH_OBJECT)
        return self._store.get(dn)

    # Binding.

    def _bind(self, message: Message) -> Iterable[bytes]:
        request = message.request
        assert isinstance(request, Bind)
        self.who = Identity()
        if request.version != 3:
            raise Refused(Code.PROTOCOL_ERROR, "requested protocol version not supported")
        dn = self._store.matching.dn(request.dn)
        if request.mechanism is not None:
            self.who = self._external(request)
        elif request.credentials or dn:
            self.who = self._password(dn, request.credentials or b"")
        return [requests.answer(message)]

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
        return kind == b"dn" and self._store.matching.dn(name) == certified.dn

    def _password(self, dn: Dn, password: bytes) -> Identity:
        if not password:
            raise Refused(Code.UNWILLING, "unauthenticated bind (DN with no password) disallowed")
        if self._service.confidential and not self.secure:
            raise Refused(Code.CONFIDENTIALITY, "confidentiality required")
        entry = self._store.find(dn)
        secret = entry.attributes.get(_SECRET) if entry else None
        hashes = secret.values.values() if secret else ()
        if entry is None or not any(self._service.passwords.matches(password, one) for one in hashes):
            raise Refused(Code.BAD_CREDENTIALS)
        return Identity(entry.text, dn)

    def _extended(self, message: Message) -> Iterable[bytes]:
        request = message.request
        assert isinstance(request, Extended)
        if request.oid != requests.WHOAMI:
            raise Refused(Code.PROTOCOL_ERROR, "unsupported extended operation")
        name = "" if self.who.anonymous else f"dn:{self.who.text}"
        return [requests.answer(message, value=name.encode())]

    def _rename(self, message: Message) -> Iterable[bytes]:
        raise Refused(Code.UNWILLING, "entries are not renamed here")

    # Changing.

    def _writable(self, dn: Dn) -> None:
        if self._store.context(dn) is None:
            raise Refused(Code.UNWILLING, "no global superior knowledge")
        if self.who.anonymous:
            raise Refused(Code.STRONGER_AUTH, "modifications require authentication")

    def _hashed(self, name: bytes, values: Sequence[bytes]) -> tuple[bytes, ...]:
        """The values as they are stored: no password is, only its hash."""
        if name.lower() != _SECRET.encode():
            return tuple(values)
        return tuple(map(self._service.passwords.hashed, values))

    def _add(self, message: Message) -> Iterable[bytes]:
        request, matching = message.request, self._store.matching
        assert isinstance(request, Add)
        dn, text = matching.dn(request.dn), request.dn.decode()
        pairs = ((name, self._hashed(name, values)) for name, values in request.attributes)
        attributes = entries.build(matching, pairs)
        self._writable(dn)
        attributes = entries.named(matching, dn, text, attributes)
        entries.check(matching, dn, attributes)
        self._store.check_place(dn, attributes)
        self._need(Deed.ADD, dn)
        self._store.add(dn, text, attributes)
        return [requests.answer(message)]

    def _modify(self, message: Message) -> Iterable[bytes]:
        request, matching = message.request, self._store.matching
        assert isinstance(request, Modify)
        dn = matching.dn(request.dn)
        changes = [evolve(one, values=self._hashed(one.name, one.values)) for one in request.changes]
        prepared = entries.prepared(matching, changes)
        self._writable(dn)
        entry = self._store.get(dn)
        self._need(Deed.MODIFY, dn)
        if any(given.kind.name.lower() == _SECRET for _, given in prepared):
            self._need_secretly(dn)
        attributes = entries.changed(entry.attributes, prepared)
        entries.check(matching, dn, attributes, entry.attributes)
        self._store.change(entry, attributes)
        return [requests.answer(message)]

    def _need_secretly(self, dn: Dn) -> None:
        if not self._service.access.may_secretly(self.who, Deed.MODIFY, dn):
            raise Refused(Code.NO_RIGHT, "no write access")

    def _delete(self, message: Message) -> Iterable[bytes]:
        assert isinstance(message.request, Delete)
        dn = self._store.matching.dn(message.request.dn)
        self._writable(dn)
        entry = self._store.get(dn)
        self._need(Deed.DELETE, dn)
        if self._store.has_children(dn):
            raise Refused(Code.NOT_ON_NON_LEAF, "subordinate objects must be deleted first")
        self._store.remove(entry)
        return [requests.answer(message)]

    # Reading.

    def _compare(self, message: Message) -> Iterable[bytes]:
        request, matching = message.request, self._store.matching
        assert isinstance(request, Compare)
        dn, kind = matching.dn(request.dn), matching.kind(request.name.decode("utf-8", "replace"))
        wanted = matching.key(kind, request.value)
        entry = self._visible(dn)
        if kind.name.lower() == _SECRET and not self._service.access.may_secretly(self.who, Deed.READ, dn):
            raise Refused(Code.NO_RIGHT)
        attribute = entry.attributes.get(kind.name.lower())
        if attribute is None:
            raise Refused(Code.NO_SUCH_ATTRIBUTE)
        same = wanted in attribute.values
        return [requests.answer(message, Code.COMPARE_TRUE if same else Code.COMPARE_FALSE)]

    def _search(self, message: Message) -> Iterable[bytes]:
        request = message.request
        assert isinstance(request, Search)
        if filters.size(request.filter) > MOST_FILTERS:
            raise Refused(Code.ADMIN_LIMIT, f"a filter of more than {MOST_FILTERS} parts")
        base = self._store.matching.dn(request.base)
        if not base and request.scope == 0:
            return self._root(message, request)
        self._visible(base)
        secrets = self._service.access.may_secretly(self.who, Deed.READ, base)
        finder = Finder(self._store, secrets)
        found = _Found(message, request, finder, finder.candidates(base, request.scope, request.filter))
        paging = next((one for one in message.controls if one.oid == requests.PAGING), None)
        if paging is None:
            return found.everything()
        size, cookie = requests.read_page(paging.value)
        if size < 0 or len(cookie) not in (0, 8):
            raise Refused(Code.PROTOCOL_ERROR, "paged results control cannot be read")
        return found.page(size, int.from_bytes(cookie, "big"))

    def _root(self, message: Message, request: Search) -> Iterable[bytes]:
        """The one entry that everybody may read: what this server is."""
        mechanisms = [_EXTERNAL] if self.subject else []
        attributes = {
            "objectClass": [b"top"],
            "namingContexts": [name.encode() for name in self._store.naming],
            "supportedLDAPVersion": [b"3"],
            "supportedControl": [requests.PAGING],
            "supportedExtension": [requests.WHOAMI, requests.STARTTLS],
            "supportedFeatures": [b"1.3.6.1.1.14"],
            "supportedSASLMechanisms": mechanisms,
        }
        names = {name.lower() for name in request.attributes}
        everything = not names or b"*" in names or b"+" in names
        shown = {
            name: () if request.types_only else values
            for name, values in attributes.items()
            if values and (everything or name.lower().encode() in names)
        }
        if isinstance(request.filter, Present) and request.filter.name == "objectclass":
            yield requests.entry(message.number, "", shown.items())
        yield requests.answer(message)


def _is_search(message: Message) -> bool:
    return isinstance(message.request, Search)


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
