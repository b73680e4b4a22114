"""
Where things lie in the repository, and what the list of piece hashes looks
like in a file.  Pure.

    - C{repo/arriving/<sha256>}: a package of which pieces may be missing
    - C{repo/<ab>/<sha256>}: a whole package; nothing else ever has such a name
    - C{repo/<ab>/<sha256>.hashes}: its list of piece hashes, there before the package; of a package of
      one piece there is none
    - C{repo/damaged/<sha256>}: what was whole once, and is not any more

Names come from digests alone, never from the wire (H2).
"""

from __future__ import annotations

import re

from clumpt.errors import BadDocument
from clumpt.model import HEX64
from clumpt.pieces import Digest, HashList, Pieces

REPO = "repo"
ARRIVING = "repo/arriving"
DAMAGED = "repo/damaged"
SHELF = re.compile(r"[0-9a-f]{2}")
SUFFIX = ".hashes"
_HEAD = re.compile(rb"clumpt-hashes 1 ([0-9]{1,15}) ([0-9]{1,8}) ([0-9a-f]{64})\n")
#: No list of hashes is longer than this: 1024 hashes and the first line.
LONGEST = 64 * 1024


def digest_in(name: str) -> Digest | None:
    """The digest that C{name} is, None if it is none."""
    return Digest(name) if HEX64.fullmatch(name) else None


def _checked(digest: Digest) -> Digest:
    if digest_in(digest) is None:
        raise ValueError(f"not a digest: {digest!r}")
    return digest


def shelf(digest: Digest) -> str:
    """The folder of a whole package and its hashes."""
    return f"{REPO}/{_checked(digest)[:2]}"


def whole(digest: Digest) -> str:
    """The final name of a package."""
    return f"{shelf(digest)}/{digest}"


def hashes(digest: Digest) -> str:
    """The file with the list of piece hashes."""
    return whole(digest) + SUFFIX


def arriving(digest: Digest) -> str:
    """The file that pieces are written to."""
    return f"{ARRIVING}/{_checked(digest)}"


def copying(digest: Digest) -> str:
    """The file that a local copy is written to."""
    return arriving(digest) + ".copy"


def damaged(digest: Digest) -> str:
    """Where a damaged package is kept for the administrators to look at."""
    return f"{DAMAGED}/{_checked(digest)}"


def alone(digest: Digest, count: int) -> HashList:
    """The hash list of a package of one piece, which is the hash of the whole, or of none."""
    return HashList(bytes.fromhex(digest) * count)


def encode_list(pieces: Pieces, listed: HashList) -> bytes:
    """The contents of the file of hashes."""
    return b"clumpt-hashes 1 %d %d %s\n" % (pieces.total, pieces.size, pieces.sha256.encode()) + listed.raw


def decode_list(data: bytes) -> tuple[Pieces, HashList]:
    """What L{encode_list} wrote; raises L{BadDocument} for anything else, however little it differs."""
    head = _HEAD.match(data)
    if head is None:
        raise BadDocument("not a file of piece hashes")
    try:
        pieces = Pieces(int(head[1]), int(head[2]), Digest(head[3].decode()))
    except ValueError as error:
        raise BadDocument(f"not a file of piece hashes: {error}") from error
    return pieces, HashList.checked(data[head.end() :], pieces)
