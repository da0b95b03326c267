"""Who wore a camera, in the station's index: by the order in which assignments were made, also where the camera's disk
refused one, so that its leaf came later (`agent/journal.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from agent.station.database import Database
from agent.station.indexed import Events, Moment, Worn

Ask = Callable[[str, list[str | int]], list[sqlite3.Row]]


def write(db: Database, read: Events) -> None:
    """Within a transaction."""
    db.executemany(
        "INSERT OR REPLACE INTO worn VALUES (?, ?, ?, ?, ?, ?)",
        [(w.camera, w.epoch, w.leaf, w.officer, w.unit, w.shift) for w in read.worn],
    )
    db.executemany("INSERT OR REPLACE INTO late VALUES (?, ?, ?, ?, ?)", [_row(one) for one in read.late])
    db.executemany("INSERT OR REPLACE INTO dropped VALUES (?, ?, ?)", [_row(one)[:3] for one in read.dropped])
    db.executemany("INSERT OR REPLACE INTO begun VALUES (?, ?, ?, ?, ?)", [_row(one) for one in read.begun])


def _row(one: Moment) -> tuple[str, int, int, str, int]:
    return one.camera, one.epoch, one.leaf, one.boot, one.mono_ns


def newest(ask: Ask, camera: str, epoch: int, leaf: int) -> Worn | None:
    """Before this leaf, which begins a segment of a recording: in this log, or later where it was late. None also where
    events were dropped since, of which it may have been one.
    """
    epoch, leaf = max([(epoch, leaf - 1), *_late(ask, camera, epoch, leaf)])
    rows = ask(
        "SELECT * FROM worn WHERE camera = ? AND epoch = ? AND leaf <= ? ORDER BY leaf DESC LIMIT 1",
        [camera, epoch, leaf],
    )
    if not rows:
        return None
    told = Worn(**rows[0])
    dropped = "SELECT 1 FROM dropped WHERE camera = ? AND epoch = ? AND leaf > ? AND leaf <= ? LIMIT 1"
    return None if ask(dropped, [camera, epoch, told.leaf, leaf]) else told


def _late(ask: Ask, camera: str, epoch: int, leaf: int) -> list[tuple[int, int]]:
    """Where the last stands that was to be written before this leaf, in the same boot. They are written in order."""
    rows = ask(
        "SELECT l.epoch, l.leaf FROM begun b JOIN late l ON l.camera = b.camera AND l.boot = b.boot "
        "AND l.mono_ns < b.mono_ns WHERE b.camera = ? AND b.epoch = ? AND b.leaf = ? "
        "ORDER BY l.mono_ns DESC, l.epoch DESC, l.leaf DESC LIMIT 1",
        [camera, epoch, leaf],
    )
    return [(row["epoch"], row["leaf"]) for row in rows]
