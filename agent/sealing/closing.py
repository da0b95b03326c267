"""Segments on their way to sealed/, oldest first: what a failing disk refuses stays owed, and is tried again in order.

It is done in steps of one sync, and what is recorded may come between any two of them.

sealed/ is a prefix of the log at every instant: a segment follows only when the one before it is there, seal record
and all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent.formats.seal import SealRecord
from agent.sealing.writer import SegmentWriter


class Closing:
    """`unannounced` are segments that are sealed while their seal leaves are still owed, oldest first; the caller
    takes from its left what it has announced. `flushing_tiles` begins a flush; its steps raise StorageError where they
    fail.
    """

    def __init__(
        self, sealed_dir: Path, flushing_tiles: Callable[[], Iterator[None]], unannounced: Iterable[SealRecord] = ()
    ) -> None:
        self._dir, self._flushing_tiles = sealed_dir, flushing_tiles
        self._segments: deque[SegmentWriter] = deque()
        self._tiles_due = False
        self._steps: Iterator[None] | None = None
        self.unannounced = deque(unannounced)

    @property
    def owes(self) -> bool:
        """True while a segment is not sealed, or the tiles are not flushed since one was."""
        return self._tiles_due or bool(self._segments)

    def add(self, segment: SegmentWriter) -> None:
        """Take a segment that gets no more entries. Nothing is written before the next step."""
        self._segments.append(segment)

    def owe_tiles(self) -> None:
        """The tiles are to be as long as the log is now: a flush that was begun before is not enough."""
        self._tiles_due, self._steps = True, None

    def step(self) -> None:
        """The next step to seal what waits, then to bring the tiles up to date, while it `owes` one. Raises
        StorageError where the disk refuses it: that, and what comes after it, stays owed.
        """
        if self._steps is None:
            self._steps = self._all_steps()
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
        except BaseException:
            self._steps = None
            raise

    def _all_steps(self) -> Iterator[None]:
        """Until nothing is owed."""
        while self.owes:
            while self._segments:
                self.unannounced.append((yield from self._segments[0].sealing(self._dir)))
                self._segments.popleft()
                self._tiles_due = True
                yield
            yield from self._flushing_tiles()
            self._tiles_due = False

    def close(self) -> None:
        """Let go of the files as they are; recovery seals them."""
        for segment in self._segments:
            segment.close()
        self._segments.clear()
