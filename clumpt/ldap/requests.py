"""LDAP requests, made from values: there is no text in which a value could turn into syntax."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ldaptor.protocols import pureber, pureldap

#: Attribute names and their values; an empty list means that there is none.
Attributes = Mapping[str, Sequence[bytes]]

#: Scopes of a search.
BASE = pureldap.LDAP_SCOPE_baseObject
CHILDREN = pureldap.LDAP_SCOPE_singleLevel

PAGED = b"1.2.840.113556.1.4.319"

_ADD, _DELETE, _REPLACE = 0, 1, 2


class ExternalBind(pureldap.LDAPBindRequest):
    """
    SASL EXTERNAL: be whom the TLS certificate says.

    ldaptor leaves empty credentials out, to which slapd answers C{saslBindInProgress}.
    """

    def __init__(self) -> None:
        super().__init__(dn="", auth=("EXTERNAL", b""), sasl=True)

    def toWire(self) -> bytes:
        """The request with its empty credentials."""
        mechanism = pureber.BERSequence(
            [pureber.BEROctetString(b"EXTERNAL"), pureber.BEROctetString(b"")],
            tag=pureber.CLASS_CONTEXT | 3,
        )
        parts = [pureber.BERInteger(self.version), pureber.BEROctetString(b""), mechanism]
        wire: bytes = pureber.BERSequence(parts, tag=self.tag).toWire()
        return wire


def simple_bind(name: str, password: str) -> Any:
    """Authenticate with a distinguished name and a password."""
    return pureldap.LDAPBindRequest(dn=name, auth=password)


def start_tls() -> Any:
    """Ask to begin TLS on this connection."""
    return pureldap.LDAPStartTLSRequest()


def search(base: str, scope: int, filter: Any, attributes: Iterable[str], most: int = 0) -> Any:
    """
    Ask for entries.

    @param filter: from L{equal} and its like.
    @param most: how many entries the server may return, 0 for no limit of ours.
    """
    return pureldap.LDAPSearchRequest(
        baseObject=base, scope=scope, filter=filter, attributes=list(attributes), sizeLimit=most
    )


def page(size: int, cookie: bytes) -> tuple[bytes, bool, bytes]:
    """The control that asks for one page of C{size} entries (RFC 2696)."""
    value = pureber.BERSequence([pureber.BERInteger(size), pureber.BEROctetString(cookie)])
    return PAGED, True, value.toWire()


def _values(values: Iterable[bytes]) -> Any:
    return pureber.BERSet([pureldap.LDAPAttributeValue(value) for value in values])


def add(name: str, attributes: Attributes) -> Any:
    """Create an entry; attributes without a value are left out."""
    filled = [
        (pureldap.LDAPAttributeDescription(kind), _values(values))
        for kind, values in attributes.items()
        if values
    ]
    return pureldap.LDAPAddRequest(entry=name, attributes=filled)


def _change(how: int, kind: str, values: Sequence[bytes]) -> Any:
    attribute = pureber.BERSequence([pureldap.LDAPAttributeDescription(kind), _values(values)])
    return pureber.BERSequence([pureber.BEREnumerated(how), attribute])


def replace(name: str, attributes: Attributes) -> Any:
    """Set these attributes of an entry, whatever they were; none of the others changes."""
    changes = [_change(_REPLACE, kind, values) for kind, values in attributes.items()]
    return pureldap.LDAPModifyRequest(object=name, modification=changes)


def add_values(name: str, kind: str, values: Sequence[bytes]) -> Any:
    """Add values to one attribute."""
    return pureldap.LDAPModifyRequest(object=name, modification=[_change(_ADD, kind, values)])


def delete_values(name: str, kind: str, values: Sequence[bytes]) -> Any:
    """Take values away from one attribute."""
    return pureldap.LDAPModifyRequest(object=name, modification=[_change(_DELETE, kind, values)])


def delete(name: str) -> Any:
    """Remove an entry."""
    return pureldap.LDAPDelRequest(entry=name)


def _assertion(shape: Any, kind: str, value: bytes) -> Any:
    return shape(
        attributeDesc=pureldap.LDAPAttributeDescription(kind),
        assertionValue=pureldap.LDAPAssertionValue(value),
    )


def equal(kind: str, value: str | int) -> Any:
    """Entries with this value."""
    return _assertion(pureldap.LDAPFilter_equalityMatch, kind, str(value).encode())


def at_least(kind: str, number: int) -> Any:
    """Entries with a number from C{number} on."""
    return _assertion(pureldap.LDAPFilter_greaterOrEqual, kind, b"%d" % number)


def present() -> Any:
    """Every entry."""
    return pureldap.LDAPFilter_present("objectClass")


def any_of(filters: Iterable[Any]) -> Any:
    """Entries that pass one of C{filters}, of which there must be one."""
    return pureldap.LDAPFilter_or(list(filters))
