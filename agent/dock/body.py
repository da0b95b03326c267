"""A segment on its way out: read from the open file in pieces, counted, slowed down, and stopped at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from agent.dock.station import HaltedError
from agent.errors import StorageError

PIECE_BYTES = 256 << 10
SLOW_PIECE_BYTES = 64 << 10
PIECE_S = 0.25
"""Where there is a limit, a piece takes so long: with four at a time none waits for its turn more than a second,
where the station's patience with a connection ends after some twenty.
"""
SENDER_KBPS = 1000
"""For each so much of a limit one segment at a time: of four that share little, none would be there soon."""


def senders(parallel: int, limit_kbps: int) -> int:
    """How many segments go at the same time."""
    return min(parallel, max(1, limit_kbps // SENDER_KBPS)) if limit_kbps else parallel


class Pace:
    """At most `limit_kbps` kbit/s over all segments together; 0 is no limit."""

    def __init__(self, limit_kbps: int, halt: threading.Event) -> None:
        self._bytes_s = limit_kbps * 125
        self.piece_bytes = min(SLOW_PIECE_BYTES, max(1, int(self._bytes_s * PIECE_S))) if limit_kbps else PIECE_BYTES
        """What goes at once at most."""
        self._halt = halt
        self._lock = threading.Lock()
        self._free_at_s = 0.0

    def take(self, count: int) -> None:
        """Return when `count` more bytes may go. Raises HaltedError."""
        if self._bytes_s:
            with self._lock:
                now = time.monotonic()
                start = max(self._free_at_s, now)
                self._free_at_s = start + count / self._bytes_s
            self._halt.wait(start - now)
        if self._halt.is_set():
            raise HaltedError("undocked while sending")

    def give_back(self, count: int) -> None:
        """Of what was taken so much does not go."""
        if self._bytes_s:
            with self._lock:
                self._free_at_s -= count / self._bytes_s


class SegmentBody:
    """What `requests` streams: `len` bytes from where `file` stands. Never more than one piece is in memory.

    `on_wait` hears that the next piece waits for its turn, `on_piece` that it goes now, or that it was the last.
    """

    def __init__(self, file: BinaryIO, length: int, pace: Pace, on_read: Callable[[int], None]) -> None:
        self._file, self._left, self._pace, self._on_read = file, length, pace, on_read
        self._length = length
        self.on_wait: Callable[[], None] = lambda: None
        self.on_piece: Callable[[bool], None] = lambda more: None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(PIECE_BYTES):
            yield data

    def read(self, size: int = PIECE_BYTES) -> bytes:
        """The next piece. Raises HaltedError, StorageError where the disk fails or the file is shorter than sealed."""
        wanted = min(size if size > 0 else PIECE_BYTES, self._left, self._pace.piece_bytes)
        if not wanted:
            self.on_piece(False)
            return b""
        self.on_wait()
        self._pace.take(wanted)
        self.on_piece(True)
        try:
            data = self._next(wanted)
        except StorageError:
            self._pace.give_back(wanted)
            raise
        self._left -= len(data)
        self._on_read(len(data))
        return data

    def _next(self, wanted: int) -> bytes:
        try:
            data = self._file.read(wanted)
        except OSError as err:
            raise StorageError(f"cannot read {self._file.name}: {err.strerror}", "the card may be failing") from err
        if len(data) < wanted:
            raise StorageError(f"{self._file.name} is shorter than when it was sealed", "verify the spool")
        return data
