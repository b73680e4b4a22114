"""
The payloads that are signed: updates, membership statements, root documents.

Each is written as strict JSON, and read with exactly the fields it has; the
payload type in the envelope says which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from clumpt.errors import BadDocument
from clumpt.model import (
    HEX64,
    LARGEST_ENVELOPE,
    Action,
    GroupName,
    Interrupted,
    Member,
    Package,
    PeerName,
    Update,
)
from clumpt.pieces import MOST, Digest, Pieces
from clumpt.strictjson import Fields, dumps, loads, reading
from clumpt.trust.root import Key, Root, Submitter
from clumpt.version import FORMAT

UPDATE = f"application/vnd.clumpt.update.v{FORMAT}+json"
MEMBER = f"application/vnd.clumpt.member.v{FORMAT}+json"
ROOT = f"application/vnd.clumpt.root.v{FORMAT}+json"

T = TypeVar("T")
N = TypeVar("N", bound=str)


def encode_update(update: Update) -> bytes:
    """The payload that says C{update}."""
    return dumps(
        {
            "v": FORMAT,
            "deployment": update.deployment,
            "seq": update.seq,
            "prev": update.prev,
            "submit_id": update.submit_id,
            "issued": update.issued,
            "groups": sorted(update.groups),
            "nodes": sorted(update.nodes),
            "exclude": sorted(update.exclude),
            "action": update.action.value,
            "installer": update.installer,
            "packages": [_package_fields(package) for package in update.packages],
            "argv": update.argv,
            "targets": update.targets,
            "requires": update.requires,
            "withdraws": update.withdraws,
            "retries": update.retries,
            "interrupted": update.interrupted.value,
            "timeout": update.timeout,
            "not_after": update.not_after,
            "why": update.why,
        }
    )


def decode_update(payload: bytes) -> Update:
    """The update that C{payload} says; raises L{BadDocument}."""
    update = _read("update", payload, _update)
    if any(seq >= update.seq for seq in (*update.requires, *update.withdraws, update.retries)):
        raise BadDocument(f"update {update.seq} speaks of one that does not come before it")
    return update


def encode_member(member: Member) -> bytes:
    """The payload that says C{member}."""
    return dumps(
        {
            "v": FORMAT,
            "deployment": member.deployment,
            "peer": member.peer,
            "generation": member.generation,
            "fingerprint": member.fingerprint,
            "groups": sorted(member.groups),
            "issued": member.issued,
        }
    )


def decode_member(payload: bytes) -> Member:
    """The membership that C{payload} states; raises L{BadDocument}."""
    return _read("member", payload, _member)


def encode_root(root: Root) -> bytes:
    """The payload that says C{root}."""
    return dumps(
        {
            "v": FORMAT,
            "version": root.version,
            "deployment": root.deployment,
            "issued": root.issued,
            "threshold": root.threshold,
            "quorum": root.quorum,
            "keys": [{"public": key.public.hex(), "label": key.label} for key in root.keys],
            "root_keys": sorted(root.root_keys),
            "submitters": [_submitter_fields(submitter) for submitter in root.submitters],
            "enrollers": sorted(root.enrollers),
            "ca": sorted(root.ca),
            "revoked": sorted(root.revoked),
        }
    )


def decode_root(payload: bytes) -> Root:
    """The root document that C{payload} is; raises L{BadDocument}."""
    return _read("root", payload, _root)


def _read(what: str, payload: bytes, take: Callable[[Fields], T]) -> T:
    fields = Fields(what, loads(payload, LARGEST_ENVELOPE))
    fields.version(FORMAT)
    with reading(what):
        value = take(fields)
    fields.end()
    return value


def _set(fields: Fields, name: str, kind: Callable[[str], N]) -> frozenset[N]:
    values = fields.texts(name)
    if len(set(values)) < len(values):
        raise BadDocument(f"{fields.what}: {name} holds something twice")
    return frozenset(map(kind, values))


def _update(fields: Fields) -> Update:
    return Update(
        deployment=fields.text("deployment"),
        seq=fields.integer("seq", 1),
        prev=Digest(fields.text("prev")),
        submit_id=fields.text("submit_id"),
        issued=fields.integer("issued"),
        groups=_set(fields, "groups", GroupName),
        nodes=_set(fields, "nodes", PeerName),
        exclude=_set(fields, "exclude", PeerName),
        action=Action(fields.text("action")),
        installer=fields.text("installer"),
        packages=tuple(map(_package, fields.objects("packages"))),
        argv=fields.texts("argv"),
        targets=fields.texts("targets"),
        requires=fields.integers("requires"),
        withdraws=fields.integers("withdraws"),
        retries=fields.integer("retries"),
        interrupted=Interrupted(fields.text("interrupted")),
        timeout=fields.integer("timeout"),
        not_after=fields.integer("not_after"),
        why=fields.text("why"),
    )


def _package_fields(package: Package) -> dict[str, Any]:
    return {
        "name": package.name,
        "version": package.version,
        "arch": package.arch,
        "file": package.file,
        "size": package.size,
        "sha256": package.sha256,
        "pieces": {"size": package.pieces.size, "sha256": package.pieces.sha256},
    }


def _package(fields: Fields) -> Package:
    package = Package(
        name=fields.text("name"),
        version=fields.text("version"),
        arch=fields.text("arch"),
        file=fields.text("file"),
        sha256=Digest(fields.text("sha256")),
        pieces=_pieces(fields.integer("size"), fields.object("pieces")),
    )
    fields.end()
    return package


def _pieces(total: int, fields: Fields) -> Pieces:
    pieces = Pieces(total, fields.integer("size"), Digest(fields.text("sha256")))
    fields.end()
    if HEX64.fullmatch(pieces.sha256) is None or pieces.count > MOST:
        raise BadDocument(f"{fields.what}: not a digest, or more than {MOST} pieces")
    return pieces


def _member(fields: Fields) -> Member:
    return Member(
        deployment=fields.text("deployment"),
        peer=PeerName(fields.text("peer")),
        generation=fields.integer("generation", 1),
        fingerprint=Digest(fields.text("fingerprint")),
        groups=_set(fields, "groups", GroupName),
        issued=fields.integer("issued"),
    )


def _submitter_fields(submitter: Submitter) -> dict[str, Any]:
    return {
        "keyid": submitter.keyid,
        "groups": _sorted_or_none(submitter.groups),
        "installers": _sorted_or_none(submitter.installers),
        "command": submitter.command,
        "max_seq": submitter.max_seq,
    }


def _sorted_or_none(names: Collection[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _submitter(fields: Fields) -> Submitter:
    submitter = Submitter(
        keyid=fields.text("keyid"),
        groups=None if fields.absent("groups") else _set(fields, "groups", GroupName),
        installers=None if fields.absent("installers") else _set(fields, "installers", str),
        command=fields.flag("command"),
        max_seq=fields.integer("max_seq"),
    )
    fields.end()
    return submitter


def _keys(listed: Iterable[Fields]) -> Iterable[Key]:
    for fields in listed:
        public = fields.text("public")
        if HEX64.fullmatch(public) is None:
            raise BadDocument(f"{fields.what}: public is not 64 hexadecimal digits")
        yield Key(bytes.fromhex(public), fields.text("label"))
        fields.end()


def _root(fields: Fields) -> Root:
    return Root(
        version=fields.integer("version", 1),
        deployment=fields.text("deployment"),
        issued=fields.integer("issued"),
        threshold=fields.integer("threshold", 1),
        quorum=fields.integer("quorum", 1),
        keys=tuple(_keys(fields.objects("keys"))),
        root_keys=_set(fields, "root_keys", str),
        submitters=tuple(map(_submitter, fields.objects("submitters"))),
        enrollers=_set(fields, "enrollers", str),
        ca=_set(fields, "ca", Digest),
        revoked=_set(fields, "revoked", Digest),
    )
