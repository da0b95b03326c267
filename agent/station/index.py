"""What the station knows of what it stores, to be searched: an SQLite file that can be made anew at any time from the
stored segments, and holds no more than they say.

Without a key that is what leaves say in public: camera, recording, times, sizes, and what is still to come. Officers
and units come from the agency's own orders; marks and tags only from events that were opened with the agency's key.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from agent.station import database, indexworn
from agent.station.indexed import Events, Held, Mark, Owed, Segment, Totals, Unread, Worn
from agent.station.indextables import SCHEMA
from agent.station.summary import Summary

_PLACE = "coalesce(p.place, 'segments/' || s.camera || '/' || s.name || '.tar')"
_ELSEWHERE = {
    "place": _PLACE,
    "lost": "l.name IS NOT NULL",
    "unexplained": "u.name IS NOT NULL",
    "start_ns": "t.start_ns",
    "end_ns": "t.end_ns",
}
"""What a segment has from other tables than `segment`."""
_COLUMNS = tuple(f.name for f in fields(Segment) if f.name not in _ELSEWHERE)
_ASKED = ", ".join(f"{_ELSEWHERE.get(f.name, f's.{f.name}')} AS {f.name}" for f in fields(Segment))
_IS_FLAG = tuple(f.type == "bool" for f in fields(Segment))
_INSERT = f"INSERT INTO segment ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"


class Index:
    """Thread-safe; several processes may use it. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.RLock()
        with _errors(path):
            # It may hold what events say: for its owner alone from the first byte.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = database.Database(path, SCHEMA, "NORMAL")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- what is stored --------------------------------------------------------------------------------------------

    def add(
        self,
        camera: str,
        name: str,
        epoch: int,
        sha256: str,
        size: int,
        told: Summary,
        place: str,
        stored_s: int,
        until_s: int,
    ) -> None:
        """A stored segment, verified; again changes how long it is kept and where it lies, and nothing else. Where
        other bytes of it were stored before, and purged, it is a new one.
        """
        segment = Segment(
            camera, name, epoch, sha256, size, told.recording, told.seq, told.first, told.entries, told.parts,
            told.media_ns, told.begins, told.ends, told.vouched, told.started, told.ended, stored_s, until_s, None,
            False, place, False, False, told.start_ns, told.end_ns,
        )  # fmt: skip
        announced = [(camera, a.segment, epoch, a.size, a.first, a.entries) for a in told.announced]
        left = [(camera, a.segment, a.epoch, a.size, 0, 0) for a in told.left if a.epoch < epoch]
        with self._changes({camera}):
            self._db.execute(
                "DELETE FROM segment WHERE camera = ? AND name = ? AND sha256 != ? AND purged_s IS NOT NULL",
                (camera, name, sha256),
            )
            self._db.execute(
                f"{_INSERT} ON CONFLICT (camera, name) DO UPDATE SET purged_s = NULL, until_s = CASE "
                "WHEN until_s = 0 OR excluded.until_s = 0 THEN 0 ELSE max(until_s, excluded.until_s) END",
                _row(segment),
            )
            for state in ("lost", "unexplained"):
                self._are_not(state, [segment])
            self._last([segment])
            self._db.executemany("INSERT OR REPLACE INTO announced VALUES (?, ?, ?, ?, ?, ?)", announced)
            self._db.executemany("INSERT OR IGNORE INTO announced VALUES (?, ?, ?, ?, ?, ?)", left)
            self._db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)", (camera, name, sha256, place))

    def kept(self, camera: str, name: str, sha256: str, place: str) -> None:
        """Stored for its bytes alone: what an earlier epoch left over."""
        with self._changes({camera}):
            self._db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)", (camera, name, sha256, place))

    def holds(self, camera: str, name: str, sha256: str, held: Held, asked: int | None) -> None:
        """What is kept for its bytes was looked through. `asked` as in `Unread`."""
        row = (camera, name, sha256, held.epoch, held.first, held.end, held.broken, asked)
        with self._changes({camera}):
            self._db.execute("INSERT OR REPLACE INTO kept_held VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def purged(self, segments: Sequence[Segment], now_s: int, lost: Container[str] = ()) -> None:
        """They are gone, those whose names are in `lost` since before that."""
        with self._changes(s.camera for s in segments):
            self._db.executemany(
                "UPDATE segment SET purged_s = ? WHERE camera = ? AND name = ?",
                [(now_s, s.camera, s.name) for s in segments],
            )
            self._are_lost(s for s in segments if s.name in lost)

    def _are_lost(self, segments: Iterable[Segment]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO lost VALUES (?, ?)", [(s.camera, s.name) for s in segments])

    def _are_unexplained(self, segments: Iterable[Segment]) -> None:
        """But for those that this index knows to be purged."""
        self._db.executemany(
            "INSERT OR IGNORE INTO unexplained SELECT ?1, ?2 WHERE EXISTS "
            "(SELECT 1 FROM lost WHERE camera = ?1 AND name = ?2) OR NOT EXISTS "
            "(SELECT 1 FROM segment WHERE camera = ?1 AND name = ?2 AND purged_s IS NOT NULL)",
            [(s.camera, s.name) for s in segments],
        )

    def _are_not(self, state: str, segments: Iterable[Segment]) -> None:
        self._db.executemany(
            f"DELETE FROM {state} WHERE camera = ? AND name = ?", [(s.camera, s.name) for s in segments]
        )

    def gone(self, segments: Sequence[Segment]) -> None:
        """They were stored, and are not any longer, as others say: a row that is there only learns that, and how they
        went. What this index knows to be purged is not `unexplained` where a note is gone since.
        """
        with self._changes(s.camera for s in segments):
            self._are_unexplained(s for s in segments if s.unexplained)
            self._are_not("lost", (s for s in segments if not s.lost))
            self._are_not("unexplained", (s for s in segments if not s.unexplained))
            self._db.executemany(
                f"{_INSERT} ON CONFLICT (camera, name) DO UPDATE SET purged_s = coalesce(purged_s, excluded.purged_s)",
                [_row(s) for s in segments],
            )
            self._are_lost(s for s in segments if s.lost)
            self._last(segments)

    def _last(self, segments: Iterable[Segment]) -> None:
        """How long their parts are, where the index has these bytes."""
        self._db.executemany(
            "INSERT OR REPLACE INTO timeline SELECT camera, name, ?3, ?4 FROM segment "
            "WHERE camera = ?1 AND name = ?2 AND sha256 = ?5",
            [(s.camera, s.name, s.start_ns, s.end_ns, s.sha256) for s in segments if s.start_ns is not None],
        )

    def receipted(self, camera: str, told: Mapping[tuple[str, str], tuple[int, str]]) -> None:
        """By name and digest: the latest end that a receipt names, 0 for none, and where it lies. No end is brought
        forward.
        """
        with self._changes({camera}):
            self._db.executemany(
                "UPDATE segment SET until_s = CASE WHEN until_s = 0 OR ?1 = 0 THEN 0 ELSE max(until_s, ?1) END "
                "WHERE camera = ?2 AND name = ?3 AND sha256 = ?4",
                [(until_s, camera, name, sha256) for (name, sha256), (until_s, _) in told.items()],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)",
                [(camera, name, sha256, place) for (name, sha256), (_, place) in told.items()],
            )

    def opened(self, segment: Segment, read: Events) -> None:
        """Its events were read with the agency's key."""
        with self._changes({segment.camera}):
            self._db.executemany(
                "INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(m.camera, m.recording, m.epoch, m.leaf, m.at, m.text, m.tag) for m in read.marks],
            )
            indexworn.write(self._db, read)
            self._db.execute(
                "UPDATE segment SET opened = 1 WHERE camera = ? AND name = ?", (segment.camera, segment.name)
            )

    def count(self, camera: str, what: str, told: str) -> None:
        """What was counted of it, in whatever words, for as long as `what` it was counted over is the same."""
        with self._lock, _errors(self._path):
            self._db.execute("INSERT OR REPLACE INTO counted VALUES (?, ?, ?)", (camera, what, told))

    # -- questions -------------------------------------------------------------------------------------------------

    def segments(self, camera: str | None = None, recording: str | None = None) -> list[Segment]:
        """By camera, epoch and place in the log; of all, or of one camera, or one recording."""
        given = {"s.camera": camera, "s.recording": recording}
        return self._segments({column: value for column, value in given.items() if value is not None})

    def ending(self, camera: str, epoch: int, end: int) -> list[Segment]:
        """Those that are here and hold the leaf before this one as their last."""
        found = self._segments({"s.camera": camera, "s.epoch": epoch, "s.first + s.entries": end})
        return [one for one in found if one.purged_s is None]

    def _segments(self, wanted: Mapping[str, str | int]) -> list[Segment]:
        rows = self._ask(
            f"SELECT {_ASKED} FROM segment s "
            "LEFT JOIN place p ON p.camera = s.camera AND p.name = s.name AND p.sha256 = s.sha256 "
            "LEFT JOIN lost l ON l.camera = s.camera AND l.name = s.name "
            "LEFT JOIN unexplained u ON u.camera = s.camera AND u.name = s.name "
            "LEFT JOIN timeline t ON t.camera = s.camera AND t.name = s.name "
            f"WHERE {' AND '.join(['1', *(f'{column} = ?' for column in wanted)])} ORDER BY s.camera, s.epoch, s.first",
            [*wanted.values()],
        )
        return [_segment(row) for row in rows]

    def marks(self, camera: str, recording: str) -> list[Mark]:
        rows = self._ask("SELECT * FROM mark WHERE camera = ? AND recording = ? ORDER BY leaf", [camera, recording])
        return [Mark(**row) for row in rows]

    def worn(self, camera: str, epoch: int, leaf: int) -> Worn | None:
        """The newest that this log says before this leaf, the first of a segment of a recording, of who wears it, as
        far as it was opened: also behind it where the disk had refused that before. None also where events were dropped
        since.
        """
        return indexworn.newest(self._ask, camera, epoch, leaf)

    def opened_leaves(self, camera: str, epoch: int, begin: int, until: int) -> list[tuple[int, int]]:
        """Of opened segments of one log that end behind `begin`, and at `until` at most: (first, end), in order."""
        rows = self._ask(
            "SELECT first, first + entries FROM segment WHERE epoch = ? AND camera = ? AND first + entries > ? "
            "AND first + entries <= ? AND opened ORDER BY first + entries",
            [epoch, camera, begin, until],
        )
        return [(first, end) for first, end in rows]

    def behind(self, camera: str, epoch: int, leaf: int, count: int) -> list[Segment]:
        """Of one log the first that end behind this leaf, in order: at the next so many places."""
        rows = self._ask(
            "SELECT DISTINCT first + entries FROM segment WHERE epoch = ? AND camera = ? AND first + entries > ? "
            "ORDER BY first + entries LIMIT ?",
            [epoch, camera, leaf, count],
        )
        wanted = ({"s.camera": camera, "s.epoch": epoch, "s.first + s.entries": end} for (end,) in rows)
        return [segment for one in wanted for segment in self._segments(one)]

    def totals(self, camera: str) -> Totals:
        """Of one camera, counted by the database."""
        rows = self._ask(
            "SELECT count(*) FILTER (WHERE purged_s IS NULL) AS segments, "
            "coalesce(sum(size) FILTER (WHERE purged_s IS NULL), 0) AS bytes, "
            "count(DISTINCT recording) FILTER (WHERE purged_s IS NULL) AS recordings, "
            "count(DISTINCT recording) FILTER (WHERE purged_s IS NOT NULL) AS purged "
            "FROM segment WHERE camera = ?",
            [camera],
        )
        return Totals(**rows[0])

    def purged_recordings(self, camera: str) -> set[str]:
        """Of which something was purged that was there, as far as is known."""
        query = (
            "SELECT DISTINCT s.recording FROM segment s LEFT JOIN lost l ON l.camera = s.camera AND l.name = s.name "
            "LEFT JOIN unexplained u ON u.camera = s.camera AND u.name = s.name "
            "WHERE s.camera = ? AND s.purged_s IS NOT NULL AND l.name IS NULL AND u.name IS NULL"
        )
        return {str(row["recording"]) for row in self._ask(query, [camera])}

    def lost_segments(self, camera: str) -> int:
        """How many were gone before their purge."""
        return self._count("lost", camera)

    def unexplained_segments(self, camera: str) -> int:
        """How many are in no purge note, where the access log does not say that they were lost."""
        return self._count("unexplained", camera)

    def _count(self, table: str, camera: str) -> int:
        return int(self._ask(f"SELECT count(*) AS number FROM {table} WHERE camera = ?", [camera])[0]["number"])

    def owed(self, camera: str) -> list[Owed]:
        """What this camera has sealed, by its own signed word, and no receipt names."""
        return self._not_indexed(camera, "NOT")

    def left_over(self, camera: str) -> list[Owed]:
        """What this camera has sealed, and is stored for its bytes alone: damaged on the card, or of a log that ended
        before it.
        """
        return self._not_indexed(camera, "")

    def _not_indexed(self, camera: str, negated: str) -> list[Owed]:
        rows = self._ask(
            "SELECT a.* FROM announced a LEFT JOIN segment s ON s.camera = a.camera AND s.name = a.name "
            f"WHERE a.camera = ? AND s.name IS NULL AND {negated} EXISTS "
            "(SELECT 1 FROM place p WHERE p.camera = a.camera AND p.name = a.name) ORDER BY a.epoch, a.first",
            [camera],
        )
        return [Owed(**row) for row in rows]

    def kept_alone(self, camera: str) -> list[str]:
        """Places of what a receipt keeps for its bytes alone."""
        query = (
            "SELECT p.place FROM place p LEFT JOIN segment s ON s.camera = p.camera AND s.name = p.name "
            "AND s.sha256 = p.sha256 WHERE p.camera = ? AND s.name IS NULL ORDER BY p.place"
        )
        return [str(row["place"]) for row in self._ask(query, [camera])]

    def kept_unread(self, camera: str) -> list[Unread]:
        query = (
            "SELECT p.name, p.sha256, p.place, k.epoch, k.asked FROM place p "
            "LEFT JOIN segment s ON s.camera = p.camera AND s.name = p.name AND s.sha256 = p.sha256 "
            "LEFT JOIN kept_held k ON k.camera = p.camera AND k.name = p.name AND k.sha256 = p.sha256 "
            "WHERE p.camera = ? AND s.name IS NULL AND (k.name IS NULL OR k.asked IS NOT NULL) ORDER BY p.place"
        )
        return [Unread(**row) for row in self._ask(query, [camera])]

    def kept_waits(self, camera: str) -> bool:
        """Whether something was looked through of which the log did not say all."""
        return bool(self._ask("SELECT 1 FROM kept_held WHERE camera = ? AND asked IS NOT NULL LIMIT 1", [camera]))

    def kept_leaves(self, camera: str, epoch: int) -> list[Held]:
        query = "SELECT epoch, first, end, broken FROM kept_held WHERE camera = ? AND epoch = ? ORDER BY first, end"
        return [Held(**{**row, "broken": bool(row["broken"])}) for row in self._ask(query, [camera, epoch])]

    def live_places(self, camera: str) -> set[str]:
        """Of all that is evidence, and not purged."""
        query = (
            f"SELECT {_PLACE} AS place FROM segment s LEFT JOIN place p "
            "ON p.camera = s.camera AND p.name = s.name AND p.sha256 = s.sha256 "
            "WHERE s.camera = ? AND s.purged_s IS NULL"
        )
        return {str(row["place"]) for row in self._ask(query, [camera])}

    def change(self, camera: str) -> int:
        """Another number than before where anything of this camera was changed since, by any process."""
        return sum(row["number"] for row in self._ask("SELECT number FROM change WHERE camera = ?", [camera]))

    def counted(self, camera: str, what: str) -> str | None:
        """As it was told to `count` last, None where that was over something else."""
        rows = self._ask("SELECT told FROM counted WHERE camera = ? AND what = ?", [camera, what])
        return str(rows[0]["told"]) if rows else None

    def announced(self, camera: str, name: str) -> Owed | None:
        """What this camera said of this segment, whether it is here or not."""
        rows = self._ask("SELECT * FROM announced WHERE camera = ? AND name = ?", [camera, name])
        return Owed(**rows[0]) if rows else None

    def covered(self, camera: str, epoch: int) -> list[tuple[int, int]]:
        """Leaves of one log that stored segments hold, or held: (first, end), in order, joined where they meet."""
        joined: list[tuple[int, int]] = []
        for first, entries in self._ask(
            "SELECT first, entries FROM segment WHERE camera = ? AND epoch = ? ORDER BY first", [camera, epoch]
        ):
            if joined and first <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], first + entries))
            else:
                joined.append((first, first + entries))
        return joined

    def _ask(self, query: str, values: list[str | int]) -> list[sqlite3.Row]:
        with self._lock, _errors(self._path):
            found = self._db.execute(query, values)
            found.row_factory = sqlite3.Row
            return found.fetchall()

    @contextmanager
    def _changes(self, cameras: Iterable[str]) -> Iterator[None]:
        """One step, and the number of these cameras' next change."""
        with self._lock, _errors(self._path), database.transaction(self._db):
            yield
            self._db.executemany(
                "INSERT INTO change VALUES (?, 1) ON CONFLICT (camera) DO UPDATE SET number = number + 1",
                [(camera,) for camera in {*cameras}],
            )


def _row(segment: Segment) -> dict[str, Any]:
    """What the table `segment` has of it, by column."""
    return {column: getattr(segment, column) for column in _COLUMNS}


def _segment(row: sqlite3.Row) -> Segment:
    """Of what was `_ASKED`, in its order, since there may be a million. SQLite has no booleans."""
    values: list[Any] = [bool(value) if flag else value for value, flag in zip(row, _IS_FLAG, strict=True)]
    return Segment(*values)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as err:
        hint = "move it away: `bodycam-station index` makes it anew"
        raise database.storage_error(f"station index {path}", err, hint) from err
