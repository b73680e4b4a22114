"""The entries that a directory begins with, for every kind of server."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence

from clumpt.errors import BadInput
from clumpt.ldap import layout, schema
from clumpt.model import Settings

Attributes = Mapping[str, Sequence[bytes]]
NewEntry = tuple[str, Attributes]

_PART = "=[A-Za-z0-9][A-Za-z0-9 ._-]*"
_BASE = re.compile(f"(o|ou){_PART}(,(o|ou|dc|c){_PART})*")
_SAFE = re.compile(rb"[!-9;=-~][ -~]*(?<! )")


def checked_base(base: str) -> str:
    """
    C{base}, if it can be the base of a deployment.

    Raises L{BadInput} for a name that would need quoting in access rules, or is no organisation or unit.
    """
    if _BASE.fullmatch(base) is None:
        raise BadInput(
            f"{base!r} cannot be the base: give one such as o=clumpt or ou=clumpt,dc=example,dc=org"
        )
    return base


def bootstrap(
    base: str, admin_password: bytes, settings: Settings, submitter_password: bytes = b""
) -> tuple[NewEntry, ...]:
    """
    The first entries: the base with the settings, its branches, and those who may bind.

    @param admin_password: hashed, in a form that the server understands.
    @param submitter_password: likewise; empty if submitters have certificates.
    @return: parents before their children; those below L{layout.STATUS} are a database of their own.
    """
    kind, _, name = checked_base(base).partition(",")[0].partition("=")
    top: Attributes = {
        "objectClass": [b"clumptDeployment"],
        kind: [name.encode()],
        "clumptDeployment": [settings.deployment.encode()],
        "clumptSchemaVersion": [b"%d" % schema.VERSION],
        "clumptNeighbours": [b"%d" % settings.neighbours],
        "clumptKnownBy": [b"%d" % settings.known_by],
        "clumptInitial": [b"%d" % settings.initial],
        "clumptInterval": [str(settings.interval).encode()],
    }
    branches = (layout.TRUST, layout.GROUPS, layout.PEERS, layout.UPDATES, layout.STATUS)
    passwords = ((layout.ADMIN, admin_password), (layout.SUBMITTER, submitter_password))
    return (
        (base, top),
        *((f"{rdn},{base}", _named("organizationalUnit", rdn)) for rdn in branches),
        *((f"{rdn},{base}", _binder(rdn, password)) for rdn, password in passwords if password),
    )


def _named(kind: str, rdn: str) -> dict[str, Sequence[bytes]]:
    attribute, _, name = rdn.partition("=")
    return {"objectClass": [kind.encode()], attribute: [name.encode()]}


def _binder(rdn: str, password: bytes) -> Attributes:
    attributes = _named("organizationalRole", rdn)
    attributes["objectClass"] = [b"organizationalRole", b"simpleSecurityObject"]
    return {**attributes, layout.SECRET: [password]}


def ldif(entries: Iterable[NewEntry]) -> str:
    """C{entries} as LDIF (RFC 2849), to be loaded by slapadd or ldapadd."""
    return "\n".join(_one(dn, attributes) for dn, attributes in entries)


def _one(dn: str, attributes: Attributes) -> str:
    lines = [f"dn: {dn}"]
    for name, values in attributes.items():
        for value in values:
            safe = _SAFE.fullmatch(value)
            lines.append(f"{name}: {value.decode()}" if safe else f"{name}:: {b64encode(value).decode()}")
    return "\n".join(lines) + "\n"
