"""The line about the card: how fast it writes, how long a sync takes, how much room there is."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent import durable
from agent.config import Config
from agent.controls.vigil import LIMIT_NS
from agent.errors import AgentError, Exit, StorageError
from agent.model import SegmentState
from agent.mounts import Mounts, must_be_there, read_mounts
from agent.selftest.line import Fault, Line, failed, judged
from agent.vaultparts import sealer_settings

NAME = "storage"
BULK, PIECE = 32 << 20, 1 << 20
SYNCS, RECORD = 100, 4096
P99_MS = 300.0
"""What a write may take so that a battery that falls out costs at most a second (docs/architecture.md)."""
LONGEST_MS = LIMIT_NS / 1e6
"""What no sync may take: after so long the light goes out, and the alarm says that nothing becomes durable."""
TIMES_MEDIA = 4
"""The card must take so many times what is recorded: the dock reads it back, and it becomes slower with age."""


class Disk(Protocol):
    """A file of the test's own in `place`; gone after `close`. Raises OSError."""

    @property
    def place(self) -> Path: ...
    def write(self, data: bytes) -> None: ...
    def sync(self) -> None: ...
    def free_bytes(self) -> int: ...
    def close(self) -> None: ...


class SpoolDisk:
    """Where the spool is, or will be. Raises StorageError where nothing can be written there."""

    def __init__(self, spool: Path) -> None:
        self.place = next(place for place in (spool, *spool.parents) if place.is_dir())
        self._path = self.place / f".selftest-{os.getpid()}.tmp"
        with durable.storage_errors(self._path, "cannot write"):
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        durable.write_all(self._fd, data)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def free_bytes(self) -> int:
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        os.close(self._fd)
        self._path.unlink(missing_ok=True)


Now = Callable[[], float]


def check(
    config: Config,
    open_disk: Callable[[Path], Disk] = SpoolDisk,
    now: Now = time.monotonic,
    mounts: Callable[[], Mounts] = read_mounts,
) -> Line:
    """Writes 32 MiB, then a hundred records, each synced."""
    spool = config.spool.dir
    need_mbs = TIMES_MEDIA * (config.video.bitrate_kbps + config.audio.bitrate_kbps) / 8000
    limit = f"at least {need_mbs:.1f} MB/s; p99 of a sync at most {P99_MS:.0f} ms, none over {LONGEST_MS:.0f} ms"
    try:
        with durable.storage_errors(spool, "cannot write into"):
            must_be_there(spool, mounts)
            _spool_must_be_there(config)
            needed, delivered = sealer_settings(config, spool).begins_bytes, _delivered_bytes(spool)
            limit += f"; at least {-(-needed >> 20)} MiB free, as the recorder asks for before it begins"
            place, speed, syncs, free_bytes = _measure(spool, open_disk, now)
    except AgentError as err:
        return failed(NAME, err, limit)
    p50, p99, longest = _quantile(syncs, 0.5), _quantile(syncs, 0.99), max(syncs)
    figures = {
        "write_mb_s": round(speed, 1),
        "sync_p50_ms": round(p50, 2),
        "sync_p99_ms": round(p99, 2),
        "sync_longest_ms": round(longest, 2),
        "syncs": len(syncs),
        "free_mib": free_bytes >> 20,
        "place": str(place),
        "delivered_bytes": delivered,
        "needed_bytes": needed,
    }
    took = f"sync p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {longest:.0f} ms"
    goes_first = f" and {delivered >> 20} MiB delivered, which may go" if delivered else ""
    measured = f"{speed:.0f} MB/s, {took}, {free_bytes >> 20} MiB free{goes_first} at {_where(place, spool, mounts())}"
    faults = []
    if speed < need_mbs:
        faults.append(Fault("too slow", "another card: one of class A2 or an SSD"))
    if p99 > P99_MS or longest > LONGEST_MS:
        faults.append(Fault("syncs take too long", "another card: this one stalls"))
    if free_bytes + delivered < needed:
        faults.append(Fault("too little room", "dock the camera, so that delivered recordings can go"))
    return judged(NAME, measured, limit, faults, Exit.STORAGE, figures)


def _spool_must_be_there(config: Config) -> None:
    """Another card in the place of the spool's says nothing of it. Raises StorageError where that is so; a camera that
    is not enrolled has no spool yet.
    """
    spool = config.spool.dir
    if not spool.is_dir() and config.sealing.identity_chain.exists():
        raise StorageError(
            f"the spool {spool} is not there, though this camera is enrolled",
            "mount the card that it lies on; where this camera never recorded, start the recorder once, which makes it",
        )


def _where(place: Path, spool: Path, mounts: Mounts) -> str:
    later = "" if place == spool else f", where {spool} will be"
    return f"{place}{later} (file system of {mounts.of(place)})"


def _delivered_bytes(spool: Path) -> int:
    """What a station has: the recorder deletes of it before it calls the card full. Raises OSError."""
    return sum(path.stat().st_size for path in (spool / SegmentState.DELIVERED.value).glob("*.tar"))


def _measure(spool: Path, open_disk: Callable[[Path], Disk], now: Now) -> tuple[Path, float, list[float], int]:
    """(where, MB/s, milliseconds of each sync, bytes free before anything was written)."""
    disk = open_disk(spool)
    try:
        free_bytes = disk.free_bytes()
        bulk = min(BULK, max(PIECE, free_bytes // 4 // PIECE * PIECE))
        piece, begin = os.urandom(PIECE), now()
        for _ in range(bulk // PIECE):
            disk.write(piece)
        disk.sync()
        speed = bulk / 1e6 / max(1e-6, now() - begin)
        syncs = []
        for _ in range(SYNCS):
            disk.write(piece[:RECORD])
            at = now()
            disk.sync()
            syncs.append((now() - at) * 1000)
    finally:
        disk.close()
    return disk.place, speed, syncs, free_bytes


def _quantile(values: list[float], share: float) -> float:
    """The smallest value that so large a share does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
