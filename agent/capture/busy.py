"""Whether what is done with each picture takes longer than the camera does: before any of them is lost, and also where
one is never done with.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from agent.capture.base import monotonic_ns

TURNS = 10
"""So many pictures are looked at: one that takes long is a hiccup, which the camera's buffers bear."""


class Busy:
    """Told as a picture begins, `usual_ns` after the one before, and as it is done with. From any thread."""

    def __init__(self, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self._now_ns, self._lock = now_ns, threading.Lock()
        self._took_ns: deque[int] = deque(maxlen=TURNS)
        self._usual_ns = 0.0
        self._begun_ns: int | None = None
        self._done_ns = 0

    def begin(self, usual_ns: float) -> None:
        with self._lock:
            self._begun_ns, self._usual_ns = self._now_ns(), usual_ns

    def done(self) -> None:
        with self._lock:
            if self._begun_ns is not None:
                self._done_ns = self._now_ns()
                self._took_ns.append(self._done_ns - self._begun_ns)
                self._begun_ns = None

    @property
    def behind(self) -> bool:
        """By the last TURNS, the one that goes on included; not where none comes any more."""
        with self._lock:
            now_ns, most_ns = self._now_ns(), TURNS * self._usual_ns
            if self._begun_ns is not None:
                return sum([*self._took_ns, now_ns - self._begun_ns][-TURNS:]) > most_ns
            return now_ns - self._done_ns < most_ns < sum(self._took_ns)
