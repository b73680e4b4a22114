"""
What the repository does with the disk, step by step; safe to call in a thread.

The order of the steps is the promise: a final name appears only after the
bytes and their hash list are durable, so power may go at any of them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from clumpt.errors import BadDocument, BadInput, Damaged, NotHere
from clumpt.interfaces import IStorage
from clumpt.model import Package
from clumpt.pieces import SMALL, Digest, HashList, Pieces, digest_of, piece_size
from clumpt.store import layout
from clumpt.store.measure import CHUNK, chunks, cut, reader, whole_digest


def store_list(storage: IStorage, digest: Digest, pieces: Pieces, listed: HashList) -> None:
    """Write the file of hashes, not yet durable."""
    storage.mkdir(layout.shelf(digest))
    # Never over an older one: a longer rest of it would stay behind.
    storage.unlink(layout.hashes(digest))
    storage.write(layout.hashes(digest), 0, layout.encode_list(pieces, listed))


def load_list(storage: IStorage, digest: Digest) -> tuple[Pieces, HashList] | None:
    """The hashes kept for C{digest}, None if they are missing or damaged."""
    try:
        return layout.decode_list(storage.read(layout.hashes(digest), 0, layout.LONGEST))
    except (BadDocument, Damaged, NotHere):
        return None


def intact(storage: IStorage, path: str, digest: Digest, total: int) -> bool:
    """Are the bytes of the file those, and only those, of C{digest}?"""
    try:
        if total < CHUNK:
            # One look is enough: one byte more would show.
            return digest_of(storage.read(path, 0, total + 1)) == digest
        return storage.size(path) == total and whole_digest(partial(storage.read, path), total) == digest
    except (Damaged, NotHere):
        return False


def publish(storage: IStorage, path: str, digest: Digest, pieces: Pieces) -> None:
    """Give the verified file at C{path} its final name, durably."""
    storage.mkdir(layout.shelf(digest))
    storage.sync(path)
    if pieces.count > 1:
        storage.sync(layout.hashes(digest))
    storage.sync_folder(layout.REPO)
    if pieces.count > 1:
        # The hashes must be found again wherever the package is.
        storage.sync_folder(layout.shelf(digest))
    storage.rename(path, layout.whole(digest))
    storage.sync_folder(layout.shelf(digest))


def finish(storage: IStorage, digest: Digest, pieces: Pieces, right: bool) -> None:
    """
    Check the arriving package and publish it; raises L{Damaged} if it is not what it should be.

    @param right: is it known to be, as it was looked at while it came?
    """
    path = layout.arriving(digest)
    if pieces.total == 0:
        storage.write(path, 0, b"")
    if not right and not intact(storage, path, digest, pieces.total):
        raise Damaged(f"package {digest} did not arrive as it was signed; it will be fetched again")
    publish(storage, path, digest, pieces)


def remove(storage: IStorage, digest: Digest) -> None:
    """Remove all of a package, the hashes last: without them, what is left cannot be passed on."""
    storage.unlink(layout.arriving(digest))
    if storage.size(layout.whole(digest)) is not None:
        storage.unlink(layout.whole(digest))
        storage.sync_folder(layout.shelf(digest))
    storage.unlink(layout.hashes(digest))


def recheck(storage: IStorage, digest: Digest, total: int) -> bool:
    """Is the whole package intact?  Mends its hash list, if that is what is damaged."""
    if not intact(storage, layout.whole(digest), digest, total):
        return False
    if total > SMALL and load_list(storage, digest) is None:
        relist(storage, digest, total, piece_size(total))
    return True


def relist(storage: IStorage, digest: Digest, total: int, size: int) -> bool:
    """Make the hash list of a whole package anew; False if the package itself is damaged."""
    try:
        found, raw = cut(partial(storage.read, layout.whole(digest)), total, size)
    except (Damaged, NotHere):
        return False
    if found != digest:
        return False
    store_list(storage, digest, Pieces(total, size, digest_of(raw)), HashList(raw))
    storage.sync(layout.hashes(digest))
    storage.sync_folder(layout.shelf(digest))
    return True


def take_in(storage: IStorage, source: Path, package: Package) -> None:
    """
    Copy a local file in and publish it; never a link, since its owner may change the file later.

    Raises L{BadInput} if the file is not C{package}.
    """
    digest, pieces = package.sha256, package.pieces
    path = layout.copying(digest)
    storage.unlink(path)
    storage.write(path, 0, b"")
    try:
        with source.open("rb") as file:
            offset = 0
            for data in chunks(reader(file), 0, pieces.total):
                storage.write(path, offset, data)
                offset += len(data)
            grown = bool(file.read(1))
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}") from error
    found, raw = cut(partial(storage.read, path), pieces.total, pieces.size)
    if grown or found != digest or digest_of(raw) != pieces.sha256:
        raise BadInput(f"{source} is not {package.file} as it was signed: did it change meanwhile?")
    if pieces.count > 1:
        store_list(storage, digest, pieces, HashList(raw))
    publish(storage, path, digest, pieces)
