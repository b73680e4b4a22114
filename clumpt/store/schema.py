"""The tables of the journal, and how older ones become these."""

from __future__ import annotations

#: Script n makes schema version n + 1; a script that was released is never changed.
SCRIPTS = (
    """
    CREATE TABLE identity (
        one INTEGER PRIMARY KEY CHECK (one = 1), deployment TEXT NOT NULL, peer TEXT NOT NULL
    ) STRICT;
    CREATE TABLE entries (seq INTEGER PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
    CREATE TABLE progress (
        seq INTEGER PRIMARY KEY REFERENCES entries,
        state TEXT NOT NULL
            CHECK (state IN ('known', 'fetched', 'intent', 'done', 'failed', 'held', 'skipped')),
        attempts INTEGER NOT NULL DEFAULT 0,
        code INTEGER,
        reason TEXT NOT NULL DEFAULT '',
        seconds REAL NOT NULL DEFAULT 0,
        at REAL NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        seq INTEGER NOT NULL REFERENCES entries,
        attempt INTEGER NOT NULL,
        state TEXT NOT NULL,
        code INTEGER,
        reason TEXT NOT NULL,
        seconds REAL NOT NULL,
        at REAL NOT NULL
    ) STRICT;
    CREATE TABLE roots (version INTEGER PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
    CREATE TABLE cache (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE counters (
        one INTEGER PRIMARY KEY CHECK (one = 1), changes INTEGER NOT NULL, reported INTEGER NOT NULL
    ) STRICT;
    INSERT INTO counters VALUES (1, 0, 0);
    """,
)
