"""The pieces that came last: most of them are passed on within moments."""

from __future__ import annotations

from attrs import define, field

from clumpt.pieces import Digest

#: Bytes of pieces that are kept in memory, at most.
MOST = 4 * 1024 * 1024


@define(eq=False)
class Fresh:
    """Verified pieces by package and index; the oldest makes room for the newest."""

    _pieces: dict[tuple[Digest, int], bytes] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    def keep(self, digest: Digest, index: int, data: bytes) -> None:
        """Keep a piece for a while, if it is not too large."""
        if len(data) > MOST:
            return
        self._drop((digest, index))
        self._pieces[digest, index] = data
        self._size += len(data)
        while self._size > MOST:
            self._drop(next(iter(self._pieces)))

    def get(self, digest: Digest, index: int) -> bytes | None:
        """The piece, None if it is not here any more."""
        return self._pieces.get((digest, index))

    def _drop(self, key: tuple[Digest, int]) -> None:
        self._size -= len(self._pieces.pop(key, b""))
