"""What the station's SQLite files have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from agent.errors import StorageError


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Reads and writes inside are one step. An exception undoes them, also one of the last step: else the connection
    would stay in it, and refuse every other.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite may have ended it itself, on a full disk for one (sqlite.org/lang_transaction.html).
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def storage_error(what: str, err: Exception, hint: str) -> StorageError:
    """In our words; `hint` is for a damaged file, not for a full disk."""
    if is_full(err):
        hint = "free space on this file system"
    return StorageError(f"{what}: {err}", hint)


def is_full(err: BaseException | None) -> bool:
    """Whether SQLite says that the disk is full."""
    return isinstance(err, sqlite3.Error) and getattr(err, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
