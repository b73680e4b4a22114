"""
Our values as LDAP entries, and back.

Reading raises ValueError for an entry that is not of our making.  What the
entries hold beside the signed envelopes is for searching and for people only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from operator import itemgetter

from clumpt.idset import IdSet
from clumpt.ldap import schema
from clumpt.ldap.requests import Attributes
from clumpt.ldap.wire import Found
from clumpt.model import (
    HEX64,
    Address,
    Entry,
    Failure,
    Group,
    GroupName,
    Peer,
    PeerName,
    PeerStatus,
    Settings,
    State,
)
from clumpt.pieces import Digest
from clumpt.provenance import Provenance, Source

#: The last second that a generalized time can tell.
_LAST = 253_402_300_799

# What is asked for, and what a reader needs.
SETTINGS = (
    "clumptDeployment",
    "clumptSchemaVersion",
    "clumptNeighbours",
    "clumptKnownBy",
    "clumptInitial",
    "clumptInterval",
)
DOCUMENT = ("clumptVersion", "clumptEnvelope")
GROUP = ("cn", "description", "clumptInstaller", "clumptAllowedPackage", "clumptRefusedPackage")
#: Those of a group that an older schema does not know.
PACKAGES = GROUP[-2:]
PEER = (
    "cn",
    "clumptAddress",
    "clumptMember",
    "clumptNeighbour",
    "clumptOverride",
    "clumptArch",
    "clumptRack",
)
UPDATE = ("clumptSeq", "clumptEnvelope")
STATUS = (
    "cn",
    "clumptHead",
    "clumptHighWater",
    "clumptDone",
    "clumptFailed",
    "clumptState",
    "clumptReason",
    "clumptLastSeen",
    "clumptProgramVersion",
)
#: Part of a status that is read only where somebody wants it.
SOURCE = "clumptSource"


def _texts(values: Iterable[str]) -> list[bytes]:
    """C{values} as LDAP text, which is never empty, has no value twice, and here no control characters."""
    clean = ("".join(c if c.isprintable() else " " for c in value) for value in values)
    return [value.encode() for value in dict.fromkeys(clean) if value]


def _numbers(*values: int) -> list[bytes]:
    return [b"%d" % value for value in values]


def _many(found: Found, kind: str) -> list[str]:
    return [value.decode("utf-8") for value in found.attributes.get(kind.lower(), ())]


def _bytes(found: Found, kind: str) -> bytes:
    values = found.attributes.get(kind.lower(), ())
    if len(values) != 1:
        raise ValueError(f"{len(values)} values of {kind} where one belongs")
    return values[0]


def _one(found: Found, kind: str) -> str:
    return _bytes(found, kind).decode("utf-8")


def _perhaps(found: Found, kind: str) -> str:
    return _one(found, kind) if kind.lower() in found.attributes else ""


def _time(seconds: int) -> bytes:
    moment = datetime.fromtimestamp(max(0, min(seconds, _LAST)), UTC)
    return moment.strftime("%Y%m%d%H%M%SZ").encode()


def _seconds(text: str) -> int:
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())


def settings_attributes(settings: Settings) -> Attributes:
    """The attributes of the base entry that hold C{settings}."""
    return {
        "clumptDeployment": _texts([settings.deployment]),
        "clumptSchemaVersion": _numbers(schema.VERSION),
        "clumptNeighbours": _numbers(settings.neighbours),
        "clumptKnownBy": _numbers(settings.known_by),
        "clumptInitial": _numbers(settings.initial),
        "clumptInterval": _texts([repr(settings.interval)]),
    }


def read_settings(found: Found) -> Settings:
    """The settings in the base entry."""
    if int(_one(found, "clumptSchemaVersion")) > schema.VERSION:
        raise ValueError("the directory was set up by a newer Clumpt: upgrade this one")
    return Settings(
        deployment=_one(found, "clumptDeployment"),
        neighbours=int(_one(found, "clumptNeighbours")),
        known_by=int(_one(found, "clumptKnownBy")),
        initial=int(_one(found, "clumptInitial")),
        interval=float(_one(found, "clumptInterval")),
    )


def document_attributes(name: str, version: int, envelope: bytes) -> Attributes:
    """A root document as the entry C{cn=name}."""
    return {
        "objectClass": [b"clumptDocument"],
        "cn": _texts([name]),
        "clumptVersion": _numbers(version),
        "clumptEnvelope": [envelope],
    }


def read_document(found: Found) -> tuple[int, bytes]:
    """Version and envelope of a root document."""
    return int(_one(found, "clumptVersion")), _bytes(found, "clumptEnvelope")


def group_attributes(group: Group) -> Attributes:
    """What C{group} says of itself; its members are apart."""
    return {
        "description": _texts([group.description]),
        "clumptInstaller": _texts(sorted(group.installers)),
        "clumptAllowedPackage": _texts(sorted(group.packages)),
        "clumptRefusedPackage": _texts(sorted(group.refuses)),
    }


def read_group(found: Found, name: str) -> Group:
    """The group in an entry."""
    lists = (frozenset(_many(found, kind)) for kind in ("clumptInstaller", *PACKAGES))
    return Group(GroupName(name), _perhaps(found, "description"), *lists)


def peer_attributes(peer: Peer) -> Attributes:
    """What the administrators say of C{peer}; its groups are apart."""
    # LDAP keeps the values of an attribute in no order.
    neighbours = (f"{index} {name}" for index, name in enumerate(peer.neighbours))
    return {
        "clumptAddress": _texts(map(str, peer.addresses)),
        "clumptMember": [peer.member] if peer.member else [],
        "clumptNeighbour": _texts(neighbours),
        "clumptOverride": _texts(f"{key}={value}" for key, value in peer.overrides),
        "clumptArch": _texts([peer.arch]),
        "clumptRack": _texts([peer.rack]),
    }


def _override(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"no setting: {text!r}")
    return key, value


def _neighbours(values: Iterable[str]) -> tuple[PeerName, ...]:
    split = (value.partition(" ") for value in values)
    return tuple(PeerName(name) for _, name in sorted((int(index), name) for index, _, name in split))


def read_peer(found: Found, name: str, groups: frozenset[GroupName]) -> Peer:
    """The peer in an entry, a member of C{groups}; its overrides are sorted."""
    return Peer(
        name=PeerName(name),
        addresses=tuple(Address.parse(text) for text in _many(found, "clumptAddress")),
        groups=groups,
        member=_bytes(found, "clumptMember") if "clumptmember" in found.attributes else b"",
        neighbours=_neighbours(_many(found, "clumptNeighbour")),
        overrides=tuple(sorted(map(_override, _many(found, "clumptOverride")))),
        arch=_perhaps(found, "clumptArch"),
        rack=_perhaps(found, "clumptRack"),
    )


def update_attributes(entry: Entry) -> Attributes:
    """The entry of an update: its envelope, and plain copies to search by."""
    update = entry.update
    return {
        "objectClass": [b"clumptUpdate"],
        "clumptSeq": _numbers(update.seq),
        "clumptSubmitId": _texts([update.submit_id]),
        "clumptEnvelope": [entry.envelope],
        "clumptDigest": _texts([entry.digest]),
        "clumptTarget": _texts(sorted(update.groups)),
        "clumptPackage": _texts(sorted({f"{p.name} {p.version} {p.arch}" for p in update.packages})),
        "clumptAction": _texts([update.action.value]),
        "clumptInstaller": _texts([update.installer]),
        "clumptSize": _numbers(update.size),
        "clumptIssued": [_time(update.issued)],
        "description": _texts([update.why]),
    }


def read_update(found: Found) -> tuple[int, bytes]:
    """Seq and envelope of an update."""
    return int(_one(found, "clumptSeq")), _bytes(found, "clumptEnvelope")


def read_seq(found: Found) -> int:
    """The seq of an update."""
    return int(_one(found, "clumptSeq"))


def read_submit_id(found: Found) -> str:
    """The act of submitting that an update came from."""
    return _one(found, "clumptSubmitId")


def _failure_text(failure: Failure) -> str:
    code = "-" if failure.code is None else str(failure.code)
    return f"{failure.seq} {failure.state.value} {code} {failure.at} {failure.reason}"


def _read_failure(text: str) -> Failure:
    seq, state, code, at, *reason = text.split(" ", 4)
    return Failure(int(seq), State(state), None if code == "-" else int(code), int(at), "".join(reason))


def _source_text(source: Source) -> str:
    package, provenance = source
    return f"{package} {provenance.encode()}"


def _read_source(text: str) -> Source:
    package, _, provenance = text.partition(" ")
    if not HEX64.fullmatch(package):
        raise ValueError(f"no package: {text!r}")
    return Digest(package), Provenance.parse(provenance)


def status_attributes(status: PeerStatus) -> Attributes:
    """What a peer says of itself."""
    failures: Mapping[int, Failure] = {failure.seq: failure for failure in status.failures}
    return {
        "clumptHead": _numbers(status.head),
        "clumptHighWater": _numbers(status.settled),
        "clumptDone": _texts([status.above]),
        "clumptFailedSeq": _numbers(*failures),
        "clumptFailed": _texts(map(_failure_text, failures.values())),
        "clumptState": _texts([status.state]),
        "clumptReason": _texts([status.reason]),
        "clumptLastSeen": [_time(status.seen)],
        "clumptProgramVersion": _texts([status.version]),
        SOURCE: _texts(map(_source_text, status.sources)),
    }


def reported(found: Found) -> bool:
    """Has the peer itself written to its status entry, or did somebody only create it?"""
    return "clumptlastseen" in found.attributes


def read_status(found: Found, name: str) -> PeerStatus:
    """The status in an entry, its failures by time."""
    failures = map(_read_failure, _many(found, "clumptFailed"))
    above = _perhaps(found, "clumptDone")
    IdSet.parse(above)
    return PeerStatus(
        peer=PeerName(name),
        head=int(_one(found, "clumptHead")),
        settled=int(_one(found, "clumptHighWater")),
        above=above,
        failures=tuple(sorted(failures, key=lambda failure: (failure.at, failure.seq))),
        state=_perhaps(found, "clumptState"),
        reason=_perhaps(found, "clumptReason"),
        seen=_seconds(_one(found, "clumptLastSeen")),
        version=_perhaps(found, "clumptProgramVersion"),
        sources=tuple(sorted(map(_read_source, _many(found, SOURCE)), key=itemgetter(0))),
    )
