"""What is counted over all that a camera has here, for `status` and for Prometheus. A station that holds a million
segments takes longer for it than Prometheus waits, so who asks again counts only what changed since; the index keeps it
for the next process.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from agent import __version__, durable
from agent.errors import StorageError
from agent.model import NS
from agent.station.index import Index
from agent.station.indexed import Totals
from agent.station.knowledge import Knowledge
from agent.station.layout import AgencyPaths
from agent.station.leftover import left_over
from agent.station.orders import Damaged, Stamp, damaged
from agent.station.purgenotes import noted

SETTLED_NS = 3 * NS
"""A directory that was changed less than this ago may change again and show the same time: the kernel stamps files by
its tick (up to 10 ms), and some file systems keep 2 s.
"""

_Stamp = tuple[int, ...]
_Key = tuple[int, tuple[int, ...], _Stamp, _Stamp, _Stamp]


@dataclass(frozen=True, slots=True)
class Counted:
    totals: Totals
    owed_segments: int
    owed_bytes: int
    owed_leaves: int
    purged_unsigned: int
    lost_segments: int
    unexplained_segments: int
    left_over: int
    left_over_bytes: int
    conflicts: int


class Counting:
    """Thread-safe: who asks meanwhile waits, and has the answer without counting. `now_ns` is by the clock that stamps
    files. Raises StorageError.
    """

    def __init__(self, paths: AgencyPaths, index: Index, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._paths, self._index, self._now_ns = paths, index, now_ns
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[_Key, Counted]] = {}
        self._whole_orders: dict[Path, Stamp] = {}

    def of(self, camera: str, heads: tuple[int, ...], knowledge: Knowledge) -> Counted:
        """`heads` are the sizes of its logs that were cosigned."""
        with self._lock:
            # What changes while it is counted has another key then.
            key, kept = self._key(camera, heads), self._kept.get(camera)
            if key and kept and kept[0] == key:
                return kept[1]
            counted = (self._remembered(camera, key) if key else None) or self._anew(camera, key, knowledge)
            if key:
                self._kept[camera] = key, counted
            return counted

    def _anew(self, camera: str, key: _Key | None, knowledge: Knowledge) -> Counted:
        counted = _count(self._paths, self._index, camera, knowledge)
        if key:
            # On a full disk the next process counts too.
            with suppress(StorageError):
                self._index.count(camera, _what(key), json.dumps(asdict(counted)))
        return counted

    def _remembered(self, camera: str, key: _Key) -> Counted | None:
        told = self._index.counted(camera, _what(key))
        try:
            found = json.loads(told or "")
            return Counted(**{**found, "totals": Totals(**found["totals"])})
        except durable.UNREADABLE:
            return None

    def damaged_orders(self, cameras: Iterable[str]) -> list[Damaged]:
        """What would be served to these, if it could be read; what could is not read again before it changes."""
        with self._lock:
            return damaged(self._paths.orders, cameras, self._whole_orders)

    def _key(self, camera: str, heads: tuple[int, ...]) -> _Key | None:
        """All that the count depends on; None where a change might not show in it."""
        now_ns, station = self._now_ns(), self._paths.station
        stored = _stamp(station / "segments" / camera, now_ns)
        conflicts = _stamp(station / "conflicts" / camera, now_ns)
        purges = _stamp(self._paths.purges(camera), now_ns)
        if stored is None or conflicts is None or purges is None:
            return None
        return self._index.change(camera), heads, stored, conflicts, purges


def _what(key: _Key) -> str:
    """Of another version what is counted may be something else."""
    return json.dumps([__version__, *key])


def _count(paths: AgencyPaths, index: Index, camera: str, knowledge: Knowledge) -> Counted:
    debt, left = knowledge.debt(camera), left_over(paths, index, camera)
    conflicts = paths.station / "conflicts" / camera
    return Counted(
        index.totals(camera),
        len(debt.segments),
        debt.size,
        debt.leaves,
        len(index.purged_recordings(camera) - noted(paths, camera)),
        index.lost_segments(camera),
        index.unexplained_segments(camera),
        len(left),
        sum(one.size for one in left),
        len(durable.names(conflicts, ".json")) if conflicts.is_dir() else 0,
    )


def _stamp(directory: Path, now_ns: int) -> _Stamp | None:
    """Another one after any change of a name in it; None where that is not so yet. The time of its own last change
    (st_ctime) cannot be put back as the other can (inode(7)).
    """
    with durable.storage_errors(directory, "cannot look at"):
        try:
            found = os.stat(directory)
        except FileNotFoundError:
            return ()
    if max(found.st_mtime_ns, found.st_ctime_ns) > now_ns - SETTLED_NS:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns
