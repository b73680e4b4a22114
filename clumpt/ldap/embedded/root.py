"""The two entries that everybody may read: what this server is, and which schema it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clumpt.ldap.embedded import requests
from clumpt.ldap.embedded.filters import Present
from clumpt.ldap.embedded.matching import Dn
from clumpt.ldap.embedded.requests import Message, Search
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.schema import Schema

Attributes = Mapping[str, Sequence[bytes]]

_SUBSCHEMA = "cn=Subschema"
_INCREMENT = b"1.3.6.1.1.14"


def published(
    base: Dn, store: Store, mechanisms: Sequence[bytes]
) -> tuple[str, Mapping[str, Sequence[bytes]]] | None:
    """
    Name and attributes of the entry C{base}, if it is one of the two.

    @param mechanisms: of SASL, that this client may use.
    """
    if not base:
        return "", _root(store, mechanisms)
    if base == store.matching.name(_SUBSCHEMA.encode()):
        return _SUBSCHEMA, _subschema(store.schema)
    return None


def _root(store: Store, mechanisms: Sequence[bytes]) -> Attributes:
    return {
        "objectClass": [b"top"],
        "namingContexts": [name.encode() for name in store.naming],
        "subschemaSubentry": [_SUBSCHEMA.encode()],
        "supportedLDAPVersion": [b"3"],
        "supportedControl": [requests.PAGING],
        "supportedExtension": [requests.WHOAMI, requests.STARTTLS],
        "supportedFeatures": [_INCREMENT],
        "supportedSASLMechanisms": mechanisms,
    }


def _subschema(schema: Schema) -> Attributes:
    kinds = dict.fromkeys(schema.attributes.values())
    return {
        "objectClass": [b"top", b"subentry", b"subschema"],
        "cn": [b"Subschema"],
        "attributeTypes": [kind.described.encode() for kind in kinds],
        "objectClasses": [made.described.encode() for made in schema.classes.values()],
    }


def answers(
    message: Message, request: Search, name: str, attributes: Mapping[str, Sequence[bytes]]
) -> Iterable[bytes]:
    """The entry C{name}, if C{request} asks for any entry with a class, and the end of the search."""
    wanted = {each.lower() for each in request.attributes}
    everything = not wanted or not wanted.isdisjoint({b"*", b"+"})
    shown = {
        kind: () if request.types_only else values
        for kind, values in attributes.items()
        if values and (everything or kind.lower().encode() in wanted)
    }
    if request.filter == Present("objectclass"):
        yield requests.entry(message.number, name, shown.items())
    yield requests.answer(message)
