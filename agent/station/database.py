"""What the station's SQLite files have in common."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from agent.errors import StorageError
from agent.station import turn

LOG = logging.getLogger("bodycam.station")
BUSY_S = 10
ROOM_BYTES = 1 << 20
"""With less than this an I/O error of SQLite's is taken for want of room: it needs 32 KiB beside a file to open it."""
LOOK_EVERY_S = 1.0
_READS = "SELECT"
_Values = Sequence[Any] | Mapping[str, Any]


class Database:
    """One file, durable as its PRAGMA synchronous says. Not thread-safe: the caller has a lock.

    A disk that is full to the last byte has no room for what SQLite puts beside the file to open it. Then a copy in
    memory is read from, and nothing is written (SQLITE_FULL), until there is room: looked for with each write, and with
    what is read once a second, so what another process changes meanwhile is seen as soon as it has found room.
    """

    def __init__(self, path: Path, schema: str, synchronous: str) -> None:
        self._path, self._schema, self._synchronous = path, schema, synchronous
        self._looked_s = time.monotonic()
        try:
            self._db, self._is_copy = self._open(), False
        except sqlite3.Error as err:
            if not _wants_room(err, path):
                raise
            self._db, self._is_copy = self._copied(err), True
            LOG.error("%s: the disk is full: it is read, and nothing is written to it until there is room", path)

    def execute(self, text: str, values: _Values = ()) -> sqlite3.Cursor:
        return self._for(text).execute(text, values)

    def executemany(self, text: str, rows: Iterable[_Values]) -> sqlite3.Cursor:
        return self._for(text).executemany(text, rows)

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def close(self) -> None:
        self._db.close()

    def _for(self, text: str) -> sqlite3.Connection:
        """The connection for this statement, opened where it could not be before."""
        reads = text.startswith(_READS)
        if self._is_copy and (not reads or time.monotonic() - self._looked_s >= LOOK_EVERY_S):
            self._looked_s = time.monotonic()
            try:
                opened = self._open()
            except sqlite3.Error as err:
                if not reads:
                    raise _Full("no room on the disk") from err
            else:
                self._db.close()
                self._db, self._is_copy = opened, False
                LOG.warning("%s: there is room again", self._path)
        return self._db

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(f"PRAGMA synchronous={self._synchronous}")
            db.executescript(self._schema)
        except BaseException:
            db.close()
            raise
        return db

    def _copied(self, why: sqlite3.Error) -> sqlite3.Connection:
        """With all that was committed, that which is only in the write-ahead log too. Raises `why` where the file was
        never written.
        """
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        with closing(self._connect()) as db:
            # So nothing is needed beside the file (sqlite.org/wal.html#noshm), as long as this is open.
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise why
            db.backup(copy)
        copy.executescript(self._schema)
        copy.execute("PRAGMA query_only=1")
        return copy

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)


class _Full(sqlite3.OperationalError):
    """As SQLite itself says it."""

    sqlite_errorcode = sqlite3.SQLITE_FULL


@contextmanager
def transaction(db: Database) -> Iterator[None]:
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
    """In our words, NotFreeError where another process has its lock; `hint` is for a damaged file, which neither that
    nor a full disk makes it.
    """
    if _primary(err) == sqlite3.SQLITE_BUSY:
        return turn.NotFreeError(f"{what}: {err}: another command may hold it", turn.WHO_HOLDS_IT)
    if is_full(err):
        hint = "free space on this file system"
    return StorageError(f"{what}: {err}", hint)


def is_full(err: BaseException | None) -> bool:
    """Whether SQLite says that the disk is full."""
    return _primary(err) == sqlite3.SQLITE_FULL


def _primary(err: BaseException | None) -> int:
    """Its result code without what else SQLite says of it (sqlite.org/rescode.html), 0 where SQLite says none."""
    return getattr(err, "sqlite_errorcode", 0) & 0xFF if isinstance(err, sqlite3.Error) else 0


def _wants_room(err: sqlite3.Error, path: Path) -> bool:
    """Whether a file could not be opened for want of room, which SQLite calls now this, now that."""
    code = getattr(err, "sqlite_errorcode", 0)
    if is_full(err) or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return True
    if code & 0xFF not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return False
    try:
        told = os.statvfs(path.parent)
    except OSError:
        return False
    return told.f_bavail * told.f_frsize < ROOM_BYTES
