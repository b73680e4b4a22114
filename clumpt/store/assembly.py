"""A package that is arriving: pieces are checked as they come, and written where they belong."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from clumpt.errors import NotHere
from clumpt.interfaces import IAssembly, IStorage
from clumpt.model import Package
from clumpt.pieces import Bits, HashList
from clumpt.store import layout
from clumpt.store.keeping import store_list


@implementer(IAssembly)
@define(eq=False)
class Assembly:
    """
    One arriving package; made by L{clumpt.store.repository.FileRepository.assemble} alone.

    @ivar hashes: the checked list, None until it is given.
    @ivar dropped: somebody does not want the package any more; nothing is written from then on.
    @ivar finishing: a thread is at work on the file; C{turn}: taken by who finishes it.
    """

    package: Package
    _storage: IStorage
    _finish: Callable[[Assembly], Deferred[None]]
    held: Bits = Bits()
    hashes: HashList | None = None
    dropped: bool = field(default=False, init=False)
    finishing: bool = field(default=False, init=False)
    turn: DeferredLock = field(factory=DeferredLock, init=False)
    #: The digest of the first pieces, and how many they are, as far as they came in order.
    _digest: Any = field(factory=sha256, init=False)
    _digested: int = field(default=0, init=False)

    @property
    def complete(self) -> bool:
        """Are all pieces here?"""
        return len(self.held) == self.package.pieces.count

    @property
    def arrived(self) -> int:
        """Bytes in the pieces that are here."""
        return sum(map(self.package.pieces.length, self.held))

    def needs_hashes(self) -> bool:
        """Must L{put_hashes} be called first?"""
        return self.hashes is None

    def put_hashes(self, raw: bytes) -> None:
        """Check and keep the list of piece hashes."""
        listed = HashList.checked(raw, self.package.pieces)
        if self.needs_hashes():
            self.keep_hashes(listed)

    def keep_hashes(self, listed: HashList) -> None:
        """Keep a list that is known to be right."""
        self._still_wanted()
        if self.package.pieces.count > 1:
            store_list(self._storage, self.package.sha256, self.package.pieces, listed)
        self.hashes = listed

    def put(self, index: int, data: bytes) -> bool:
        """Check and keep one piece."""
        self._still_wanted()
        pieces = self.package.pieces
        if self.hashes is None:
            raise ValueError("a piece before the list of hashes")
        if not 0 <= index < pieces.count or len(data) != pieces.length(index):
            return False
        if not self.hashes.matches(index, data):
            return False
        if index not in self.held:
            self._storage.write(layout.arriving(self.package.sha256), pieces.offset(index), data)
            self.held = self.held.with_bit(index)
            if index == self._digested:
                # So that nothing need be read again when the last one has come.
                self._digest.update(data)
                self._digested += 1
        return True

    @property
    def right(self) -> bool:
        """Did all pieces come in order, and are they what was signed?  Or the file is to be read."""
        return self._digested == self.package.pieces.count and self._digest.hexdigest() == self.package.sha256

    def lose(self, index: int) -> None:
        """The disk did not keep this piece: it has to come again."""
        if index < self._digested:
            self._digested = -1
        self.held = Bits(self.held.value & ~(1 << index))

    def finish(self) -> Deferred[None]:
        """Make the package whole and durable."""
        return self._finish(self)

    def _still_wanted(self) -> None:
        if self.dropped:
            raise NotHere(f"{self.package.file} was dropped while it arrived")
