"""What the repository finds on its disk at start: it trusts names only after a look at what they name."""

from __future__ import annotations

from attrs import Factory, define

from clumpt.errors import Damaged, NotHere
from clumpt.interfaces import IStorage
from clumpt.pieces import SMALL, Bits, Digest, HashList, Pieces, piece_size
from clumpt.store import layout
from clumpt.store.keeping import intact, load_list, relist


@define
class Arrival:
    """A package that has begun to arrive, and what of it was verified."""

    pieces: Pieces
    hashes: HashList
    held: Bits


@define
class Found:
    """
    What is on the disk.

    @ivar whole: bytes in each whole package.
    @ivar damaged: bytes in each package that was set aside.
    @ivar guessed: packages whose hashes were made anew, though nobody knew how they were cut.
    """

    whole: dict[Digest, int] = Factory(dict)
    arrivals: dict[Digest, Arrival] = Factory(dict)
    damaged: dict[Digest, int] = Factory(dict)
    guessed: set[Digest] = Factory(set)


def scan(storage: IStorage) -> Found:
    """
    Make the folders, remove what an interrupted run left, and hash what has arrived so far.

    Takes as long as reading the arriving packages does: call it in a thread.
    """
    storage.mkdir(layout.REPO)
    storage.sync_folder("")
    storage.mkdir(layout.ARRIVING)
    storage.mkdir(layout.DAMAGED)
    storage.sync_folder(layout.REPO)
    found = Found()
    for name in storage.names(layout.REPO):
        if layout.SHELF.fullmatch(name):
            _scan_shelf(storage, name, found)
    for name in storage.names(layout.ARRIVING):
        _scan_arrival(storage, name, found)
    _scan_lists(storage, found)
    for name in storage.names(layout.DAMAGED):
        if digest := layout.digest_in(name):
            found.damaged[digest] = storage.size(layout.damaged(digest)) or 0
    return found


def _scan_shelf(storage: IStorage, shelf: str, found: Found) -> None:
    for name in storage.names(f"{layout.REPO}/{shelf}"):
        digest = layout.digest_in(name)
        if digest is None or not digest.startswith(shelf):
            continue
        total = storage.size(layout.whole(digest)) or 0
        if _fits(storage, digest, total, found):
            found.whole[digest] = total
        else:
            storage.rename(layout.whole(digest), layout.damaged(digest))


def _fits(storage: IStorage, digest: Digest, total: int, found: Found) -> bool:
    """Has the package the size it should have?  Its bytes are hashed when they are used, small ones now."""
    if (kept := load_list(storage, digest)) is not None:
        return kept[0].total == total
    if total <= SMALL:
        return intact(storage, layout.whole(digest), digest, total)
    found.guessed.add(digest)
    return relist(storage, digest, total, piece_size(total))


def _scan_arrival(storage: IStorage, name: str, found: Found) -> None:
    digest = layout.digest_in(name)
    if digest is not None and digest not in found.whole:
        kept = load_list(storage, digest)
        if kept is not None:
            found.arrivals[digest] = Arrival(*kept, _verified(storage, digest, *kept))
            return
    storage.unlink(f"{layout.ARRIVING}/{name}")


def _verified(storage: IStorage, digest: Digest, pieces: Pieces, listed: HashList) -> Bits:
    """The pieces whose bytes are on the disk, whoever claims what."""
    held = Bits()
    size = storage.size(layout.arriving(digest)) or 0
    for index in range(min(pieces.count, -(-size // pieces.size))):
        try:
            data = storage.read(layout.arriving(digest), pieces.offset(index), pieces.length(index))
        except (Damaged, NotHere):
            continue
        if listed.matches(index, data):
            held = held.with_bit(index)
    return held


def _scan_lists(storage: IStorage, found: Found) -> None:
    """Remove the hashes of packages that are neither whole nor arriving."""
    for shelf in storage.names(layout.REPO):
        if not layout.SHELF.fullmatch(shelf):
            continue
        for name in storage.names(f"{layout.REPO}/{shelf}"):
            digest = layout.digest_in(name.removesuffix(layout.SUFFIX))
            if name.endswith(layout.SUFFIX) and digest not in found.whole and digest not in found.arrivals:
                storage.unlink(f"{layout.REPO}/{shelf}/{name}")
