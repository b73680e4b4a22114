"""Files that hold keys and certificates: written whole or not at all, and never over one another."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkstemp

from clumpt.errors import BadInput, Conflict

PRIVATE = 0o600
PUBLIC = 0o644


def write(path: Path, data: bytes, mode: int, replace: bool = False) -> None:
    """
    Make the file C{path} with these C{mode} bits; it is durable when this returns.

    Raises L{Conflict} if it exists, unless C{replace}; L{BadInput} if it cannot be written.
    """
    try:
        handle, aside = mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                os.fchmod(handle, mode)
                file.write(data)
                file.flush()
                os.fsync(handle)
            if replace:
                os.replace(aside, path)
            else:
                os.link(aside, path)
        finally:
            Path(aside).unlink(missing_ok=True)
        _sync(path.parent)
    except FileExistsError as wrong:
        raise Conflict(f"{path} exists already; it is not overwritten") from wrong
    except OSError as wrong:
        raise BadInput(f"cannot write {path}: {wrong.strerror}") from wrong


def read(path: Path, private: bool = False) -> bytes:
    """
    The bytes of C{path}.

    Raises L{BadInput} if it cannot be read, or is C{private} and open to others than its owner.
    """
    try:
        with path.open("rb") as file:
            if private and os.fstat(file.fileno()).st_mode & 0o077:
                raise BadInput(f"others may use the private key {path}; chmod 600 it, and think who read it")
            return file.read()
    except OSError as wrong:
        raise BadInput(f"cannot read {path}: {wrong.strerror}") from wrong


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
