"""Segments on their way to sealed/, oldest first: what a failing disk refuses stays owed, and is tried again in order.

sealed/ is a prefix of the log at every instant: a segment follows only when the one before it is there, seal record
and all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.formats.seal import SealRecord
from agent.sealing.writer import SegmentWriter


class Closing:
    """`unannounced` are segments that are sealed while their seal leaves are still owed, oldest first; the caller
    takes from its left what it has announced. `flush_tiles` raises StorageError where it fails.
    """

    def __init__(
        self, sealed_dir: Path, flush_tiles: Callable[[], None], unannounced: Iterable[SealRecord] = ()
    ) -> None:
        self._dir, self._flush_tiles = sealed_dir, flush_tiles
        self._segments: deque[SegmentWriter] = deque()
        self._tiles_due = False
        self.unannounced = deque(unannounced)

    @property
    def owes(self) -> bool:
        """True while a segment is not sealed, or the tiles are not flushed since one was."""
        return self._tiles_due or bool(self._segments)

    def add(self, segment: SegmentWriter) -> None:
        """Take a segment that gets no more entries. Nothing is written before `settle`."""
        self._segments.append(segment)

    def owe_tiles(self) -> None:
        """The next `settle` flushes the tiles."""
        self._tiles_due = True

    def settle(self) -> None:
        """Seal what waits, then bring the tiles up to date. Raises StorageError at the first thing the disk refuses:
        that, and what comes after it, stays owed.
        """
        while self._segments:
            self.unannounced.append(self._segments[0].seal(self._dir))
            self._segments.popleft()
            self._tiles_due = True
        if self._tiles_due:
            self._flush_tiles()
            self._tiles_due = False

    def close(self) -> None:
        """Let go of the files as they are; recovery seals them."""
        for segment in self._segments:
            segment.close()
        self._segments.clear()
