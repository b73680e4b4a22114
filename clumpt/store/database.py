"""One SQLite file, opened so that what was committed stays, and its errors in our words."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clumpt.errors import ClumptError, Damaged, StoreFull
from clumpt.store.schema import SCRIPTS
from clumpt.store.storage import Step

#: A power loss must not undo a commit, so WAL with its default C{NORMAL} is not enough.
PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
#: The low byte of an SQLite error code is its kind.
KIND = 0xFF
BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})
#: What a damaged schema says at start, too.
UNSOUND = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
#: In the lock file once there was a journal: an empty one is a lost one from then on.
MADE = b"a journal was made here\n"


#: Where a new journal says which damaged one it replaces.
DAMAGED = "damaged"


class Unsound(Damaged):
    """The file can be read, and is not what was written."""


def said(path: Path, error: sqlite3.Error) -> ClumptError:
    """What a failed statement means to us, with what the operator can do."""
    kind = getattr(error, "sqlite_errorcode", 0) & KIND
    if kind == sqlite3.SQLITE_FULL:
        return StoreFull(f"{path}: no room to write; make room on this disk")
    if kind in BROKEN:
        return Damaged(f"{path}: {error}; look at the disk, then start again")
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ClumptError(f"{path} is being written by another program; stop that one")
    return ClumptError(f"{path}: {error}; check that it is writable and belongs to the user that runs Clumpt")


def lock(path: Path) -> int:
    """
    Keep other processes away from C{path} for as long as the returned file is open.

    Raises L{ClumptError} if one is there already.
    """
    aside = path.with_name(path.name + ".lock")
    try:
        file = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ClumptError(f"{aside}: {error.strerror}; check the rights on its folder") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise ClumptError(
            f"{path} is in use by another Clumpt process on this node; stop that one"
        ) from error
    return file


def connect(path: Path, locked: int, step: Step, aside: Path | None = None) -> sqlite3.Connection:
    """
    The open database, checked and of the newest schema; made if there never was one.

    @param locked: what L{lock} returned.
    @param aside: the damaged one that it replaces, if it does; written down in it.

    Raises L{Unsound} if its contents are damaged or gone, L{ClumptError} if it cannot be opened.
    """
    try:
        # SQLite gives its other files the rights of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        expected = aside is None and os.pread(locked, len(MADE), 0) == MADE
        connection = sqlite3.connect(path, isolation_level=None)
    except OSError as error:
        raise ClumptError(f"{path}: {error.strerror}; check the rights on it and its folder") from error
    except sqlite3.Error as error:
        raise said(path, error) from error
    try:
        _prepare(path, connection)
        _migrate(path, connection, expected, step, aside)
        _mark(path, locked)
    except sqlite3.Error as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", 0) & KIND in UNSOUND:
            raise Unsound(f"{path}: {error}") from error
        raise said(path, error) from error
    except ClumptError:
        connection.close()
        raise
    return connection


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    for name, value in PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")
        (found,) = connection.execute(f"PRAGMA {name}").fetchone()
        if found != value:
            raise ClumptError(f"{path}: SQLite has {name} = {found} here where {value} is needed")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Unsound(f"{path}: {verdict}")


def _migrate(
    path: Path, connection: sqlite3.Connection, expected: bool, step: Step, aside: Path | None
) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(SCRIPTS):
        raise ClumptError(f"{path} was made by a newer Clumpt; install that version again")
    if version == 0 and expected:
        raise Unsound(f"{path} is empty, and was not before")
    for number, script in enumerate(SCRIPTS[version:], version + 1):
        with transaction(connection, step):
            for statement in script.split(";"):
                connection.execute(statement)
            if aside is not None:
                connection.execute("INSERT INTO cache VALUES (?, ?)", (DAMAGED, os.fsencode(aside)))
            connection.execute(f"PRAGMA user_version={number}")


def _mark(path: Path, locked: int) -> None:
    try:
        os.pwrite(locked, MADE, 0)
        os.fsync(locked)
        _sync_folder(path.parent)
    except OSError as error:
        raise ClumptError(f"{path}: {error.strerror}; look at the disk") from error


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def transaction(connection: sqlite3.Connection, step: Step) -> Iterator[None]:
    """All of what the block does, durable at its end, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        step("commit")
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    step("committed")


def wait_for_disk(connection: sqlite3.Connection, waits: bool) -> None:
    """From now on transactions wait for the disk, or do not: a lost power then takes the last of them."""
    connection.execute(f"PRAGMA synchronous={'FULL' if waits else 'NORMAL'}")


def set_aside(path: Path) -> Path:
    """Give the database, and then its log, a name that no other has; returns that name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        _sync_folder(path.parent)
    except OSError as error:
        raise ClumptError(f"{path} is damaged and cannot be moved aside: {error.strerror}") from error
    return aside
