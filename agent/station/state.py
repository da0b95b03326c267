"""What the station must not forget, in one SQLite file: session keys it was shown, tree heads it cosigned, receipts.

Every statement that changes something is durable when it returns (synchronous=FULL).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.station import database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    camera TEXT NOT NULL, key BLOB NOT NULL, chain BLOB NOT NULL, PRIMARY KEY (camera, key)
) STRICT;
CREATE TABLE IF NOT EXISTS head (
    camera TEXT NOT NULL, epoch INTEGER NOT NULL, origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
    note BLOB NOT NULL, proven INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (camera, epoch)
) STRICT;
CREATE TABLE IF NOT EXISTS link (
    camera TEXT NOT NULL, epoch INTEGER NOT NULL, follows INTEGER NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (camera, epoch)
) STRICT;
CREATE TABLE IF NOT EXISTS receipt (
    number INTEGER PRIMARY KEY AUTOINCREMENT, camera TEXT NOT NULL, request TEXT NOT NULL, file TEXT NOT NULL,
    UNIQUE (camera, request)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The largest tree of one log that was cosigned. `note` carries the camera's signatures and the cosignature.

    `proven` leaves of it are also here as tiles, checked to lead to this root.
    """

    origin: str
    size: int
    root: bytes
    note: bytes
    proven: int


@dataclass(frozen=True, slots=True)
class Link:
    """What the first leaf of `epoch` says: it follows the first `size` leaves of the epoch `follows`."""

    epoch: int
    follows: int
    size: int
    root: bytes
    reason: str


class State:
    """Thread-safe. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        with _errors(path):
            self._db = database.Database(path, _SCHEMA, "FULL")
        self._path = path

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Reads and writes inside are one step; an exception undoes them."""
        with self._lock, _errors(self._path), database.transaction(self._db):
            yield

    # -- sessions --------------------------------------------------------------------------------------------------

    def add_session(self, camera: str, key: bytes, chain_pem: bytes) -> None:
        """Remember a session key (32 bytes) and its chain, which was checked against the root."""
        with self._lock, _errors(self._path):
            self._db.execute("INSERT OR IGNORE INTO session VALUES (?, ?, ?)", (camera, key, chain_pem))

    def sessions(self, camera: str) -> list[tuple[bytes, bytes]]:
        """(key, chain) of every session this camera has shown, newest first."""
        with self._lock, _errors(self._path):
            return self._db.execute(
                "SELECT key, chain FROM session WHERE camera = ? ORDER BY rowid DESC", (camera,)
            ).fetchall()

    # -- heads -----------------------------------------------------------------------------------------------------

    def head(self, camera: str, epoch: int) -> Head | None:
        with self._lock, _errors(self._path):
            row = self._db.execute(
                "SELECT origin, size, root, note, proven FROM head WHERE camera = ? AND epoch = ?", (camera, epoch)
            ).fetchone()
        return Head(*row) if row else None

    def heads(self) -> list[tuple[str, int]]:
        """(camera, epoch) of every log of which anything was cosigned."""
        with self._lock, _errors(self._path):
            return self._db.execute("SELECT camera, epoch FROM head ORDER BY camera, epoch").fetchall()

    def set_head(self, camera: str, epoch: int, head: Head) -> None:
        """Within `transaction`, after comparing with `head`."""
        self._db.execute(
            "INSERT INTO head VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (camera, epoch) DO UPDATE SET "
            "size = excluded.size, root = excluded.root, note = excluded.note",
            (camera, epoch, head.origin, head.size, head.root, head.note, head.proven),
        )

    def set_proven(self, camera: str, epoch: int, proven: int) -> None:
        with self._lock, _errors(self._path):
            self._db.execute(
                "UPDATE head SET proven = max(proven, ?) WHERE camera = ? AND epoch = ?", (proven, camera, epoch)
            )

    def unprove(self, camera: str, epoch: int) -> None:
        """Nothing of this log is proven now."""
        with self._lock, _errors(self._path):
            self._db.execute("UPDATE head SET proven = 0 WHERE camera = ? AND epoch = ?", (camera, epoch))

    def newest_epoch(self, camera: str) -> int:
        """The last epoch of which anything was cosigned; 0 before the first."""
        with self._lock, _errors(self._path):
            (number,) = self._db.execute("SELECT max(epoch) FROM head WHERE camera = ?", (camera,)).fetchone()
        return int(number or 0)

    # -- epochs ----------------------------------------------------------------------------------------------------

    def add_link(self, camera: str, link: Link) -> bool:
        """Remember what an epoch follows. False where that is known already."""
        with self._lock, _errors(self._path):
            values = (camera, link.epoch, link.follows, link.size, link.root, link.reason)
            done = self._db.execute("INSERT OR IGNORE INTO link VALUES (?, ?, ?, ?, ?, ?)", values)
            return done.rowcount == 1

    def links(self, camera: str) -> list[Link]:
        """Of all epochs of this camera, oldest first."""
        with self._lock, _errors(self._path):
            rows = self._db.execute(
                "SELECT epoch, follows, size, root, reason FROM link WHERE camera = ? ORDER BY epoch", (camera,)
            ).fetchall()
        return [Link(*row) for row in rows]

    # -- receipts --------------------------------------------------------------------------------------------------

    def add_receipt(self, camera: str, request: str, file: str) -> None:
        """The newest of this camera, in place of an earlier answer to the same request, which was lost."""
        with self._lock, _errors(self._path):
            self._db.execute(
                "INSERT OR REPLACE INTO receipt (camera, request, file) VALUES (?, ?, ?)", (camera, request, file)
            )

    def receipt(self, camera: str, request: str) -> str | None:
        """The file of the receipt that answered this request before."""
        with self._lock, _errors(self._path):
            row = self._db.execute(
                "SELECT file FROM receipt WHERE camera = ? AND request = ?", (camera, request)
            ).fetchone()
        return str(row[0]) if row else None

    def newest_receipt(self, camera: str) -> str | None:
        with self._lock, _errors(self._path):
            row = self._db.execute(
                "SELECT file FROM receipt WHERE camera = ? ORDER BY number DESC LIMIT 1", (camera,)
            ).fetchone()
        return str(row[0]) if row else None


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as err:
        hint = "check the disk and the room on it; restore a damaged file from its backup"
        raise database.storage_error(f"station state {path}", err, hint) from err
