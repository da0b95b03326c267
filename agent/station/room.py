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
            told = os.statvfs(self._root)
            reserve = min(RESERVE_BYTES, told.f_blocks * told.f_frsize // 16)
            if told.f_bavail * told.f_frsize < size + sum(self._promised.values()) + reserve:
                raise OSError(errno.ENOSPC, "full")
