"""Updates and packages for the tests of installing, and a signature that is easy to forge."""

import pickle
from hashlib import sha256
from pathlib import Path
from typing import Any

from clumpt.errors import BadDocument, Untrusted
from clumpt.install.job import Job
from clumpt.model import Action, Entry, GroupName, Package, Update
from clumpt.pieces import Pieces, digest_of, piece_size

ORIGIN = digest_of(b"origin")


def package_of(path: Path, name: str = "hello", version: str = "1.0", arch: str = "all") -> Package:
    """The package that lies at C{path}."""
    data = path.read_bytes()
    size = piece_size(len(data))
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    hashes = b"".join(sha256(piece).digest() for piece in cut)
    return Package(
        name, version, arch, path.name, digest_of(data), Pieces(len(data), size, digest_of(hashes))
    )


def an_update(installer: str = "dpkg", action: Action = Action.INSTALL, seq: int = 1, **more: Any) -> Update:
    """An update that is signed by nobody."""
    groups = frozenset({GroupName("all")})
    return Update("test", seq, ORIGIN, f"submit-{seq}", 0, groups, action, installer, **more)


def an_entry(update: Update) -> Entry:
    """C{update} in an envelope that L{verify} accepts."""
    payload = pickle.dumps(update)
    return Entry(update, sha256(payload).digest() + payload, digest_of(payload))


def verify(job: Job) -> Update:
    """The update of a job, if its envelope is one of L{an_entry}."""
    if len(job.envelope) < 32:
        raise BadDocument("too short")
    if sha256(job.envelope[32:]).digest() != job.envelope[:32]:
        raise Untrusted("not signed by a key in force")
    update = pickle.loads(job.envelope[32:])
    assert isinstance(update, Update)
    return update
