"""How the station stands, camera by camera: for `bodycam-station status` and for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import EvidenceError
from agent.station import exchange, room
from agent.station.access import AccessLog
from agent.station.counting import Counting
from agent.station.index import Index
from agent.station.knowledge import Knowledge, cameras
from agent.station.layout import AgencyPaths
from agent.station.state import State


@dataclass(frozen=True, slots=True)
class Camera:
    """What of it is here, and what it owes: announced under its signature, and never stored. `purged_unsigned` are
    recordings purged without a signed note, `lost_segments` those that were gone before their purge,
    `unexplained_segments` those that no note names and that the access log does not call lost. `lacks_keys` are keys of
    the station that it does not pin, or not yet, in words.
    """

    camera: str
    revoked: bool
    epoch: int
    cosigned_leaves: int
    segments: int
    bytes: int
    recordings: int
    held: int
    purged: int
    purged_unsigned: int
    lost_segments: int
    unexplained_segments: int
    owed_segments: int
    owed_bytes: int
    owed_leaves: int
    newest_receipt_s: int | None
    left_over: int
    left_over_bytes: int
    conflicts: int
    lacks_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """`access_problem` is why the access log does not hold, None where it does; `access_head` the digest to note.
    `disk_full`: no segment is taken until there is room. `retention_problem` is why retention.toml cannot be read,
    `damaged_orders` why orders cannot be that would be served, by path.
    """

    cameras: tuple[Camera, ...]
    uploads: int
    free_bytes: int
    total_bytes: int
    disk_full: bool
    access_lines: int
    access_head: str
    access_problem: str | None
    retention_problem: str | None
    damaged_orders: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """By these names, but for `lost` of a camera (docs/dock-format.md)."""
        told = asdict(self)
        for camera in told["cameras"]:
            camera["lost"] = camera.pop("lost_segments")
        return told


def look(
    paths: AgencyPaths,
    index: Index,
    state: State,
    counting: Counting | None = None,
    access: AccessLog | None = None,
) -> Overview:
    """Who asks again and again keeps the `counting`, and the `access` log, so that it is walked now and then only.
    Raises StorageError.
    """
    knowledge, counting = Knowledge(paths, index, state), counting or Counting(paths, index)
    problem, head, names = None, None, cameras(paths)
    try:
        head = (access or AccessLog(paths.access)).verify(whole=access is None)
    except EvidenceError as err:
        problem = err.message
    space = os.statvfs(paths.station)
    return Overview(
        tuple(_camera(paths, name, knowledge, counting, state) for name in names),
        len(_names(paths.station / "uploads", ".part")),
        space.f_bavail * space.f_frsize,
        space.f_blocks * space.f_frsize,
        room.is_full(paths.station),
        head.count if head else 0,
        head.sha256 if head else "",
        problem,
        knowledge.retention_problem,
        tuple(one.why for one in counting.damaged_orders(names)),
    )


def _camera(paths: AgencyPaths, name: str, knowledge: Knowledge, counting: Counting, state: State) -> Camera:
    epoch, newest = state.newest_epoch(name), state.newest_receipt(name)
    heads = [state.head(name, number) for number in range(1, epoch + 1)]
    leaves = tuple(head.size for head in heads if head)
    counted = counting.of(name, leaves, knowledge)
    return Camera(
        name,
        paths.revocation(name).exists(),
        epoch,
        sum(leaves),
        counted.totals.segments,
        counted.totals.bytes,
        counted.totals.recordings,
        len(knowledge.held(name)),
        counted.totals.purged,
        counted.purged_unsigned,
        counted.lost_segments,
        counted.unexplained_segments,
        counted.owed_segments,
        counted.owed_bytes,
        counted.owed_leaves,
        int(newest.split("/")[1].split("-")[0]) if newest else None,
        counted.left_over,
        counted.left_over_bytes,
        counted.conflicts,
        exchange.lacks(paths, name),
    )


def _names(directory: Path, suffix: str) -> list[str]:
    return durable.names(directory, suffix) if directory.is_dir() else []


_GAUGES = (
    ("revoked", "revoked", "1 where the camera is revoked"),
    ("log_leaves", "cosigned_leaves", "leaves of its logs that were cosigned"),
    ("stored_segments", "segments", "segments stored and receipted"),
    ("stored_bytes", "bytes", "their size"),
    ("recordings", "recordings", "recordings stored"),
    ("held_recordings", "held", "recordings that a hold keeps"),
    ("purged_recordings", "purged", "recordings purged"),
    ("purged_unsigned", "purged_unsigned", "recordings purged without a signed note"),
    ("lost_segments", "lost_segments", "segments that were gone before their purge"),
    ("unexplained_segments", "unexplained_segments", "segments gone that no purge note names and no log calls lost"),
    ("owed_segments", "owed_segments", "segments that the camera sealed and the station never had"),
    ("owed_bytes", "owed_bytes", "their size"),
    ("owed_leaves", "owed_leaves", "cosigned leaves that no stored segment holds"),
    ("newest_receipt_seconds", "newest_receipt_s", "when its newest receipt was signed, seconds since 1970"),
    ("left_over", "left_over", "contents stored for their bytes alone, or without a receipt beside others"),
    ("left_over_bytes", "left_over_bytes", "their size"),
    ("conflicts", "conflicts", "conflicts filed, for people to look at"),
    ("keys_lacking", "lacks_keys", "keys of the station that the camera does not pin, or not yet"),
)
_PREFIX = "bodycam_station"


def metrics(found: Overview) -> str:
    """Prometheus' text format 0.0.4."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Overview) -> Iterator[str]:
    for name, field, about in _GAUGES:
        yield from _head(f"camera_{name}", about)
        for camera in found.cameras:
            value = getattr(camera, field)
            if value is not None:
                yield f'{_PREFIX}_camera_{name}{{camera="{camera.camera}"}} {_number(value)}'
    for name, value, about in (
        ("unfinished_uploads", found.uploads, "uploads that have begun and are not whole"),
        ("free_bytes", found.free_bytes, "free on the file system of the store"),
        ("total_bytes", found.total_bytes, "size of that file system"),
        ("disk_full", int(found.disk_full), "1 where no segment is taken until there is room"),
        ("access_log_lines", found.access_lines, "lines of the access log"),
        ("access_log_intact", int(found.access_problem is None), "1 where the access log's chain holds"),
        ("retention_valid", int(found.retention_problem is None), "1 where retention.toml holds or there is none"),
        ("damaged_orders", len(found.damaged_orders), "orders that cannot be read, and that no camera gets"),
    ):
        yield from _head(name, about)
        yield f"{_PREFIX}_{name} {value}"


def _number(value: int | tuple[str, ...]) -> int:
    return len(value) if isinstance(value, tuple) else int(value)


def _head(name: str, about: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {about}"
    yield f"# TYPE {_PREFIX}_{name} gauge"
