"""Room on the station's disk: a segment is begun where all of it fits beside those that are under way, and never in the
last of the room. So uploads that run do not fill the disk by halves, of which none can be finished (one that was cut
off keeps its bytes, and no room for the rest); and log, receipts, state and purge can still write when no segment fits
any more.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent import durable

RESERVE_BYTES = 64 << 20
"""Kept for everything but segments; of a small disk a sixteenth."""

FULL = (
    "THE DISK IS FULL: no segment is taken, cameras wait (507); receipts that exist are served\n"
    "  next: free space on this file system (`bodycam-station purge`), or give it a larger disk"
)


class Room:
    """Thread-safe within one process. Raises StorageError, which `durable.says_full`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._promised: dict[str, int] = {}
        self._lock = threading.Lock()

    def check(self, size: int) -> None:
        """Whether so many bytes more would fit now."""
        with self._lock:
            self._check(size)

    @contextmanager
    def promised(self, upload: str, size: int) -> Iterator[Callable[[int], None]]:
        """So much is kept free for this upload inside the block; the value takes the count of bytes written of it."""
        with self._lock:
            self._check(size)
            self._promised[upload] = size
        try:
            yield lambda count: self._took(upload, count)
        finally:
            with self._lock:
                del self._promised[upload]

    def _took(self, upload: str, count: int) -> None:
        with self._lock:
            self._promised[upload] -= count

    def _check(self, size: int) -> None:
        with durable.storage_errors(self._root, "no room for another segment in"):
            if _left(self._root) < size + sum(self._promised.values()):
                raise OSError(errno.ENOSPC, "full")


def is_full(root: Path) -> bool:
    """Whether not even the smallest segment is begun now. Raises StorageError."""
    with durable.storage_errors(root, "cannot ask for the room in"):
        return _left(root) <= 0


def _left(root: Path) -> int:
    """Free bytes for segments: without the reserve."""
    told = os.statvfs(root)
    return told.f_bavail * told.f_frsize - min(RESERVE_BYTES, told.f_blocks * told.f_frsize // 16)
