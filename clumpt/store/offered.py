"""Local files that are given away from where they lie (R63): nothing is copied, nothing to clean up."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import define, field, frozen
from zope.interface import implementer

from clumpt.errors import BadInput
from clumpt.interfaces import IPieces
from clumpt.model import Package
from clumpt.pieces import Bits, Digest, HashList, Pieces, piece_size
from clumpt.store.measure import measure


@frozen
class _Offer:
    pieces: Pieces
    hashes: HashList
    handle: int


@implementer(IPieces)
@define(eq=False)
class Offered:
    """
    Files of the administrator's, as pieces.

    They are held open: removing or replacing one changes nothing, and what is written into one is noticed,
    since each piece is checked when it is read.
    """

    _offers: dict[Digest, _Offer] = field(factory=dict, init=False)

    def offer(self, path: Path, sized: Callable[[int], int] = piece_size) -> tuple[Digest, Pieces]:
        """
        Offer the file at C{path} from now on; returns its digest and how it is cut.

        @param sized: see L{measure}.

        Reads the whole file once: call it in a thread.  Raises L{BadInput} if it cannot be read, is empty or
        too large, or changes meanwhile.
        """
        handle = _opened(path)
        try:
            # By the handle, so that what was measured is what is given away.
            digest, pieces, raw = measure(Path(f"/dev/fd/{handle}"), sized)
            if not pieces.total:
                raise BadInput("it is empty")
        except BadInput as wrong:
            os.close(handle)
            raise BadInput(f"{path}: {wrong}".replace(f"/dev/fd/{handle}", "it")) from wrong
        self.withdraw([digest])
        self._offers[digest] = _Offer(pieces, HashList(raw), handle)
        return digest, pieces

    def held(self, package: Package) -> Bits:
        """All pieces of what is offered; see L{IPieces}."""
        return Bits.full(package.pieces.count) if self._offer(package) else Bits()

    def hashes(self, package: Package) -> bytes | None:
        """The raw list of piece hashes; see L{IPieces}."""
        offer = self._offer(package)
        return offer.hashes.raw if offer else None

    def read(self, package: Package, index: int) -> bytes | None:
        """One piece; None if the file is not what it was; see L{IPieces}."""
        offer = self._offer(package)
        if offer is None or not 0 <= index < package.pieces.count:
            return None
        try:
            data = os.pread(offer.handle, offer.pieces.length(index), offer.pieces.offset(index))
        except OSError:
            return None
        return data if offer.hashes.matches(index, data) else None

    def withdraw(self, digests: Iterable[Digest] | None = None) -> None:
        """Offer these files no longer, or, for None, any."""
        for digest in list(self._offers if digests is None else digests):
            offer = self._offers.pop(digest, None)
            if offer is not None:
                os.close(offer.handle)

    def _offer(self, package: Package) -> _Offer | None:
        offer = self._offers.get(package.sha256)
        return offer if offer is not None and offer.pieces == package.pieces else None


def _opened(path: Path) -> int:
    try:
        # Not blocking: a pipe with nobody at its other end must not hold us up.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as wrong:
        raise BadInput(f"{path} cannot be read: {wrong.strerror}") from wrong
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BadInput(f"{path} is not a file")
    return handle
