"""Cutting and hashing, in memory that does not grow with the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from clumpt.errors import BadInput
from clumpt.pieces import Digest, Pieces, digest_of, piece_size

CHUNK = 1024 * 1024

#: C{read(offset, length)}: as many bytes, fewer at the end.
Read = Callable[[int, int], bytes]


def chunks(read: Read, start: int, end: int) -> Iterator[bytes]:
    """The bytes from C{start} to C{end}, a little at a time."""
    for offset in range(start, end, CHUNK):
        yield read(offset, min(CHUNK, end - offset))


def whole_digest(read: Read, total: int) -> Digest:
    """The digest of the first C{total} bytes."""
    whole = sha256()
    for data in chunks(read, 0, total):
        whole.update(data)
    return Digest(whole.hexdigest())


def cut(read: Read, total: int, size: int) -> tuple[Digest, bytes]:
    """The digest of C{total} bytes, and the raw hashes of their pieces of C{size} bytes."""
    whole, raw = sha256(), bytearray()
    for start in range(0, total, size):
        piece = sha256()
        for data in chunks(read, start, min(start + size, total)):
            whole.update(data)
            piece.update(data)
        raw += piece.digest()
    return Digest(whole.hexdigest()), bytes(raw)


def reader(file: BinaryIO) -> Read:
    """How to read a local file that is open."""

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    return read


def measure(path: Path, sized: Callable[[int], int] = piece_size) -> tuple[Digest, Pieces, bytes]:
    """
    The digest of a local file, how it is cut, and the raw hashes of its pieces.

    @param sized: gives the size of the pieces of so many bytes; raises ValueError for too many.

    Reads the whole file once: call it in a thread.  Raises L{BadInput} if the file cannot be read, is too
    large, or changes meanwhile.
    """
    try:
        with path.open("rb") as file:
            total = file.seek(0, 2)
            size = sized(total)
            digest, raw = cut(reader(file), total, size)
            if file.seek(0, 2) != total:
                raise BadInput(f"{path} changed while it was read; wait until it is complete")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from error
    return digest, Pieces(total, size, digest_of(raw)), raw
