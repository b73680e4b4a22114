"""Each role and what it may do where: the same table for the embedded server and for OpenLDAP."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from clumpt.ldap.bootstrap import NewEntry
from tests.ldapclient import ADD, REPLACE, Client

BASE = "o=clumpt"
DONE, MISSING, REFUSED, ANONYMOUS = 0, 32, 50, 8

UPDATE = f"clumptSeq=1,ou=updates,{BASE}"
PEER = f"cn=node001,ou=peers,{BASE}"
OTHER = f"cn=node002,ou=peers,{BASE}"
GROUP = f"cn=all,ou=groups,{BASE}"
OWN = f"cn=node001,ou=status,{BASE}"
OTHERS = f"cn=node002,ou=status,{BASE}"


PEER_PASSWORD = b"peer-secret"

#: Two peers, a group and an update, beside what every directory begins with.
PEOPLED: tuple[NewEntry, ...] = (
    *(
        (
            f"cn={name},ou=peers,{BASE}",
            {
                "objectClass": [b"clumptPeer"],
                "cn": [name.encode()],
                "userPassword": [PEER_PASSWORD],
                "clumptAddress": [b"10.0.0.1:1:2"],
            },
        )
        for name in ("node001", "node002")
    ),
    (
        f"cn=all,ou=groups,{BASE}",
        {
            "objectClass": [b"clumptGroup"],
            "cn": [b"all"],
            "member": [f"cn=node001,ou=peers,{BASE}".encode()],
        },
    ),
    (
        f"clumptSeq=1,ou=updates,{BASE}",
        {
            "objectClass": [b"clumptUpdate"],
            "clumptSeq": [b"1"],
            "clumptSubmitId": [b"first"],
            "clumptEnvelope": [b"\x00{}"],
        },
    ),
    (
        f"cn=node002,ou=status,{BASE}",
        {"objectClass": [b"clumptStatus"], "cn": [b"node002"], "clumptHead": [b"1"]},
    ),
)


def _update(number: int) -> dict[str, list[str]]:
    return {
        "objectClass": ["clumptUpdate"],
        "clumptSeq": [str(number)],
        "clumptSubmitId": [f"submit-{number}"],
        "clumptEnvelope": ["{}"],
        "description": ["all attributes of an entry may come with it"],
    }


def _status(name: str) -> dict[str, list[str]]:
    return {"objectClass": ["clumptStatus"], "cn": [name], "clumptHead": ["1"]}


def _named(kind: str, name: str, **more: list[str]) -> dict[str, list[str]]:
    return {"objectClass": [kind], "cn": [name], **more}


Deed = Callable[[Client], "Awaitable[Any]"]

#: In this order, each with what it is; what one adds, later ones need.
DEEDS: Mapping[str, Deed] = {
    "read": lambda c: _read(c, UPDATE, "clumptSubmitId"),
    "read status": lambda c: _read(c, OTHERS, "clumptHead"),
    "read secret": lambda c: _read(c, OTHER, "userPassword"),
    "compare": lambda c: _compare(c, UPDATE, "clumptSubmitId", "first"),
    "change settings": lambda c: c.modify(BASE, (REPLACE, "clumptInitial", ["20"])),
    "add update": lambda c: c.add(f"clumptSeq=2,ou=updates,{BASE}", _update(2)),
    "change update": lambda c: c.modify(UPDATE, (REPLACE, "description", ["x"])),
    "add to update": lambda c: c.modify(UPDATE, (ADD, "clumptTarget", ["more"])),
    "change submit id": lambda c: c.modify(UPDATE, (REPLACE, "clumptSubmitId", ["y"])),
    "add below update": lambda c: c.add(f"clumptSeq=5,{UPDATE}", _update(5)),
    "delete below update": lambda c: c.delete(f"clumptSeq=5,{UPDATE}"),
    "delete update": lambda c: c.delete(UPDATE),
    "add root": lambda c: c.add(
        f"cn=root-1,ou=trust,{BASE}",
        _named("clumptDocument", "root-1", clumptVersion=["1"], clumptEnvelope=["{}"]),
    ),
    "add group": lambda c: c.add(f"cn=gpu,ou=groups,{BASE}", _named("clumptGroup", "gpu")),
    "join group": lambda c: c.modify(GROUP, (ADD, "member", [OTHER])),
    "add peer": lambda c: c.add(f"cn=node003,ou=peers,{BASE}", _named("clumptPeer", "node003")),
    "change peer": lambda c: c.modify(PEER, (REPLACE, "clumptRack", ["a"])),
    "change password": lambda c: c.modify(PEER, (REPLACE, "userPassword", ["peer-secret"])),
    "add own status": lambda c: c.add(OWN, _status("node001")),
    "change own status": lambda c: c.modify(OWN, (REPLACE, "clumptHead", ["2"])),
    "add below own status": lambda c: c.add(f"cn=x,{OWN}", _status("x")),
    "delete below own status": lambda c: c.delete(f"cn=x,{OWN}"),
    "delete own status": lambda c: c.delete(OWN),
    "add other's status": lambda c: c.add(f"cn=node009,ou=status,{BASE}", _status("node009")),
    "change other's status": lambda c: c.modify(OTHERS, (REPLACE, "clumptHead", ["9"])),
    "delete other's status": lambda c: c.delete(OTHERS),
    "change branch": lambda c: c.modify(f"ou=status,{BASE}", (REPLACE, "description", ["z"])),
    "delete peer": lambda c: c.delete(OTHER),
}

_READING = {"read", "read status", "compare"}

ALLOWED: Mapping[str, set[str]] = {
    "anonymous": set(),
    "stranger": set(),
    "peer": _READING | {"add own status", "change own status"},
    "submitter": _READING | {"add update"},
    "replicator": _READING | {"read secret"},
    "admin": set(DEEDS),
}


async def _read(client: Client, dn: str, attribute: str) -> int:
    code, found = await client.search(dn, 0, attributes=[attribute])
    if code == DONE and attribute not in found.get(dn, {}):
        return REFUSED
    return int(code)


async def _compare(client: Client, dn: str, attribute: str, value: str) -> int:
    code = await client.compare(dn, attribute, value)
    return DONE if code == 6 else int(code)


async def outcomes(client: Client) -> dict[str, int]:
    """Try every deed; what became of each."""
    return {name: await deed(client) for name, deed in DEEDS.items()}


def done(codes: Mapping[str, int]) -> set[str]:
    """The deeds that were done, of those that could be."""
    return {name for name, code in codes.items() if code == DONE}
