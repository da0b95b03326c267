"""Whose turn it is with the segment that is being written: a part's, an event's, or that of what is owed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType


class TurnLock:
    """A lock that the thread which has it may take again.

    A lock that is given back and wanted again at once is as a rule had again by the same thread: while parts wait for a
    slow disk that is theirs, for minutes. So whoever takes it `in_turn` goes behind who already waits for it in turn.
    """

    def __init__(self) -> None:
        self._lock, self._next = threading.RLock(), threading.Lock()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        self._take()

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self._give()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The lock, until the block ends."""
        # Who has it waits for nobody: one that waits for its turn waits for this very thread.
        has_it = self._owner == threading.get_ident()
        with nullcontext() if has_it else self._next:
            self._take()
        try:
            yield
        finally:
            self._give()

    def _take(self) -> None:
        self._lock.acquire()
        self._owner = threading.get_ident()
        self._depth += 1

    def _give(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
        self._lock.release()
